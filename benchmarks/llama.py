"""Compares the native library with Keras, and with llama.cpp where it is installed.

    python benchmarks/llama.py [--model SmolLM2-135M-Instruct.Q4_1.gguf] [--llama PYTHON]
                               [--only small large llama 7b] [--threads 2]
                               [--engines native native-int8 keras]

`small`: the text networks of configs/, untrained, characters/s of both engines. `large`: a network
without attention of 100M weights, float32 against int4. `llama`: the model, imported into a run
folder, and llama.cpp through the interpreter PYTHON of an environment with llama-cpp-python; 128
tokens after a prompt of 131, and how often greedy tokens are equal (llama_agreement.py). Each
measurement runs in a process of its own; memory is what the process grew by after its imports, with
one text begun. `7b`, only where it is named: a network of LLaMA 7B's shape (llama_7b.py, 8 GB of
disk). benchmarks/finetune.py derives a new model from an imported one.
"""

import argparse
import json
import pathlib
import resource
import sys
import tempfile
import time

import llama_7b
from benchmark_runs import ProcessError, in_own_process
from llama_agreement import agreement

ROOT = pathlib.Path(__file__).parents[1]
PROMPT = "Once upon a time there was a small town between two rivers. " * 40
PROMPT_TOKENS, TOKENS = 131, 128
CONTEXT = 512
"""Positions that all engines have caches for."""

LARGE = [
    "context.grid=[256]",
    "backbone.width=1024",
    "backbone.depth=14",
    "backbone.layer.1.width=1536",
    "tokens.base=16",
]
"""Changes of configs/text.toml that make 100M weights."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--llama", metavar="PYTHON")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=["small", "large", "llama"])
    parser.add_argument("--engines", nargs="+", default=["native", "native-int8", "keras"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(CHILDREN[options.child.split(" ")[0]](*options.child.split(" ")[1:])))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            PARTS[name](options, pathlib.Path(folder))


def child(*words, python=sys.executable):
    """Runs a function of `CHILDREN` in a process of its own; returns its dict."""
    environment = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    words = " ".join(map(str, words))
    try:
        return in_own_process(__file__, "--child", words, python=python, environment=environment)
    except ProcessError as error:
        return {"error": str(error)}


# === Parts ===


def small(options, folder):
    print("| network | engine | 1 text | 16 texts | 64 texts | characters/s, ready after |")
    for name in ("text", "text-grid", "text-10min", "transformer"):
        run = child("make", name, folder / name)["run"]
        for engine in ("keras", "native"):
            found = child("characters", run, engine)
            speeds = " | ".join(f"{speed:,.0f}" for speed in found["speeds"])
            print(f"| {name} | {engine} | {speeds} | {found['ready']:.1f} s |", flush=True)


def large(options, folder):
    made = child("make", "text", folder / "large", *LARGE)
    small_run = child("quantize", made["run"], folder / "large-int4")["run"]
    print(f"{made['parameters']:,} weights without attention, characters/s and MB held:")
    for run in (made["run"], small_run):
        found = child("characters", run, "native", 1)
        print(f"{pathlib.Path(run).name}: {found['speeds'][0]:,.1f}, {found['held']:,.0f} MB")


def llama(options, folder):
    if options.model is None:
        print("llama: pass --model FILE.gguf")
        return
    run = child("import", options.model, folder / "llama")
    if "error" in run:
        print(run["error"])
        return
    print("| engine | tokens/s | prompt, tokens/s | MB held | ready after |")
    engines, seen = options.engines, set()
    words = ("reference", options.model, options.threads)
    # In turns: a machine's speed changes within minutes.
    for name in (["llama.cpp"] * bool(options.llama) + engines) * 2:
        if name == "llama.cpp":
            found = child(*words, python=options.llama)
        elif name == "keras" and "keras" in seen:
            continue
        else:
            found = child("tokens", run["run"], name)
        seen.add(name)
        if "error" in found:
            print(f"| {name} | {found['error']} |", flush=True)
            continue
        print(
            f"| {name} | {found['speed']:.1f} | {found['prompt']:.0f} | {found['held']:.0f} | "
            f"{found['ready']:.1f} s |",
            flush=True,
        )

    print("The next greedy token, given the same text so far:")
    try:
        lines = agreement(run["run"], options.model, options.llama, options.threads)
    except ProcessError as error:
        lines = [str(error)]
    print("\n".join(lines), flush=True)


def seven_billion(options, folder):
    llama_7b.measured(folder, blocks=32, threads=options.threads)


PARTS = {"small": small, "large": large, "llama": llama, "7b": seven_billion}


# === What processes of their own do ===


def make(name, out, *changes):
    """Writes an untrained network as a run folder."""
    import numpy as np

    import mdnn

    network = mdnn.build(mdnn.load_config(ROOT / "configs" / f"{name}.toml", list(changes)))
    rng = np.random.default_rng(0)
    for weight in network.weights:
        if weight.path.endswith(("_gate_1", "_gate_2")):
            weight.assign(rng.normal(size=weight.shape).astype("float32") / 10)
    mdnn.save(network, out)
    return {"run": str(out), "parameters": network.count_params()}


def quantize(run, out):
    import mdnn

    return {"run": str(mdnn.quantize(run, "int4", out=out))}


def import_model(model, out):
    import mdnn

    return {"run": str(mdnn.import_weights(model, out, context=CONTEXT)["run"])}


def _held():
    with open("/proc/self/status", encoding="utf-8") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _engine(run, name):
    from mdnn.generation.engines import text_engine
    from mdnn.runs.run_folder import open_run

    before, start = _held(), time.perf_counter()
    run = open_run(run)
    engine = text_engine(run, name)
    return run, engine, before, start


def _start(run, engine, prompt, texts=1):
    import numpy as np

    from mdnn.generation.windows import encode_prompts

    window, filled = encode_prompts(run.tokenizer, [prompt] * texts, engine.positions)
    filled = np.minimum(filled, PROMPT_TOKENS)
    window[:, PROMPT_TOKENS:] = 0
    settings = {
        "seed": np.arange(texts, dtype="int32"),
        "temperature": np.full(texts, 0.8, "float32"),
        "top_k": np.zeros(texts, "int32"),
        "top_p": np.ones(texts, "float32"),
    }
    return engine.start(window, filled, settings)


def characters(run, engine, *sizes):
    """Characters per second of batches of several sizes."""
    import tensorflow  # noqa: F401  # counted among the imports

    run, engine, before, start = _engine(run, engine)
    speeds = []
    for texts in map(int, sizes or (1, 16, 64)):
        groups = _start(run, engine, "The ", texts)
        groups.decode(1)
        if not speeds:
            ready = time.perf_counter() - start
        count, done, begun = engine.chunk, 0, time.perf_counter()
        while time.perf_counter() - begun < 3:
            groups.decode(count)
            done += count
        speeds.append(texts * done / (time.perf_counter() - begun))
    return {"speeds": speeds, "held": _held() - before, "ready": ready}


def tokens(run, engine):
    """Tokens per second of one text, and of its prompt."""
    import tensorflow  # noqa: F401  # counted among the imports

    run, engine, before, start = _engine(run, engine)
    prompts, speeds, ready = [], [], None
    for _ in range(3):
        groups = _start(run, engine, PROMPT)
        begun = time.perf_counter()
        groups.decode(1)
        prompts.append(PROMPT_TOKENS / (time.perf_counter() - begun))
        ready = ready or time.perf_counter() - start
        groups.decode(min(8, engine.chunk))
        done, begun = 0, time.perf_counter()
        while done < TOKENS:
            groups.decode(min(engine.chunk, TOKENS - done))
            done += min(engine.chunk, TOKENS - done)
        speeds.append(done / (time.perf_counter() - begun))
        held = _held() - before
        # Its caches make room for those of the next text, as llama.cpp's do.
        del groups
    found = {"speed": max(speeds), "prompt": max(prompts), "held": held}
    return found | {"ready": ready, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def reference(model, threads):
    """The same through llama-cpp-python, in its environment."""
    from llama_cpp import Llama

    before, start = _held(), time.perf_counter()
    made = Llama(model, n_ctx=CONTEXT, n_threads=int(threads), verbose=False)
    ids = made.tokenize(PROMPT.encode())[:PROMPT_TOKENS]
    prompts, speeds, ready = [], [], None
    for _ in range(3):
        made.reset()
        begun = time.perf_counter()
        made.eval(ids)
        prompts.append(len(ids) / (time.perf_counter() - begun))
        ready = ready or time.perf_counter() - start
        begun = time.perf_counter()
        for _ in range(TOKENS):
            made.eval([made.sample(temp=0.8)])
        speeds.append(TOKENS / (time.perf_counter() - begun))
    found = {"speed": max(speeds), "prompt": max(prompts), "held": _held() - before}
    return found | {"ready": ready}


CHILDREN = {
    "make": make,
    "quantize": quantize,
    "import": import_model,
    "characters": characters,
    "tokens": tokens,
    "reference": reference,
}

if __name__ == "__main__":
    main()
