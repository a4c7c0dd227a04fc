"""Counts greedy tokens that engines choose alike, given the same text so far; for llama.py.

    python benchmarks/llama_agreement.py RUN MODEL.gguf [--llama PYTHON] [--threads 2]

Ten prompts are continued by 64 tokens each, by llama.cpp through the interpreter PYTHON of an
environment with llama-cpp-python, else by the native library. Then `native`, `native-int8` and
`benchmarks/numpy_llama.py`, a network in float64 that reads the file MODEL.gguf, choose the token
after every prefix of these texts.
"""

import argparse
import json
import pathlib
import sys

from benchmark_runs import in_own_process, refusing

ROOT = pathlib.Path(__file__).parents[1]
TOKENS, CONTEXT = 64, 512
PROMPTS = (
    "The capital of France is",
    "Once upon a time there was a fox who",
    "To bake a loaf of bread, first",
    "Water boils at",
    "The three most important rules of chess are",
    "def add(a, b):\n    return",
    "My favourite season is autumn, because",
    "In the year 1666 the city of London",
    "A healthy breakfast could be",
    "The sun is a star that",
)
"""What ten greedy texts begin with."""


def main():
    """Prints the shares; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--llama", metavar="PYTHON")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", choices=("texts", "choices"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child == "texts":
        print(json.dumps(llama_texts(options.model, options.threads)))
    elif options.child == "choices":
        print(json.dumps(choices(options.run, options.model, json.load(sys.stdin))))
    else:
        for line in agreement(options.run, options.model, options.llama, options.threads):
            print(line, flush=True)
    return 0


def agreement(run, model, llama=None, threads=2):
    """Returns lines that say how often engines choose alike.

    Args:
        run: path of the imported run folder.
        model: path of the GGUF file.
        llama: interpreter with llama-cpp-python, or `None`.
        threads: int, of llama.cpp.
    """
    words = __file__, run, model, "--threads", threads
    texts = None
    if llama:
        texts = in_own_process(*words, "--child", "texts", python=llama)
    environment = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    found = in_own_process(
        *words, "--child", "choices", environment=environment, given=json.dumps(texts)
    )
    count, apart = found.pop("tokens"), found.pop("apart")
    lines = [f"{pair}: {same / count:.1%} of {count} ({same})" for pair, same in found.items()]
    return [*lines, f"scores of native differ from numpy's by at most {apart:.1e}"]


def llama_texts(model, threads):
    """Returns greedy texts of llama.cpp, pairs of the ids of prompt and continuation."""
    from llama_cpp import Llama

    made, texts = Llama(model, n_ctx=CONTEXT, n_threads=threads, verbose=False), []
    for prompt in PROMPTS:
        made.reset()
        start, ids = made.tokenize(prompt.encode()), []
        made.eval(start)
        for _ in range(TOKENS):
            ids.append(made.sample(temp=0.0))
            made.eval(ids[-1:])
        texts.append((start, ids))
    return texts


def choices(run, model, texts=None):
    """Counts tokens that two engines choose alike.

    Args:
        run, model: see `agreement`.
        texts: result of `llama_texts`; `None` for greedy texts of the native library.

    Returns:
        Dict of counts by the names of pairs; `tokens`, the number of all; `apart`, the largest
        difference of a score of `native` from that of numpy.
    """
    import numpy as np
    from numpy_llama import logits, read_gguf

    from mdnn.generation.engines import text_engine
    from mdnn.runs.run_folder import open_run

    run = open_run(run)
    engines = {name: text_engine(run, name) for name in ("native", "native-int8")}
    weights, arguments = read_gguf(model)
    # Converted once for all texts.
    weights = {name: np.asarray(values, "float64") for name, values in weights.items()}
    source = "llama.cpp" if texts else "native"
    texts = texts or [greedy(run, engines["native"], prompt) for prompt in PROMPTS]
    pairs = [("native", "numpy"), ("native-int8", "native")]
    if source == "llama.cpp":
        pairs += [("native", source), ("native-int8", source)]
    counts = {f"{one} as {other}": 0 for one, other in pairs} | {"tokens": 0}
    apart = 0.0
    for start, ids in texts:
        every, first = np.array([*start, *ids]), len(start) - 1
        tokens = run.tokenizer.tokens(every)[:, :4]
        scores = {
            name: engine.scores(tokens, np.roll(tokens, -1, axis=0))[1][first:-1]
            for name, engine in engines.items()
        }
        scores["numpy"] = logits(weights, every, **arguments)[first:-1]
        apart = max(apart, float(np.abs(scores["native"] - scores["numpy"]).max()))
        found = {name: each.argmax(-1) for name, each in scores.items()}
        found["llama.cpp"] = np.array(ids)
        for one, other in pairs:
            counts[f"{one} as {other}"] += int((found[one] == found[other]).sum())
        counts["tokens"] += len(ids)
    return counts | {"apart": apart}


def greedy(run, engine, prompt):
    """Returns the ids of a prompt and of its greedy continuation."""
    import numpy as np

    from mdnn.generation.windows import encode_prompts

    window, filled = encode_prompts(run.tokenizer, [prompt], engine.positions)
    settings = {
        "seed": np.zeros(1, "int32"),
        "temperature": np.zeros(1, "float32"),
        "top_k": np.zeros(1, "int32"),
        "top_p": np.ones(1, "float32"),
    }
    texts = engine.start(window, filled, settings)
    tokens = np.concatenate([texts.decode(1)[0] for _ in range(TOKENS)])
    start = run.tokenizer.ids_from_tokens(window[0, : filled[0]])
    return list(map(int, start)), list(map(int, run.tokenizer.ids_from_tokens(tokens)))


if __name__ == "__main__":
    sys.exit(refusing(main))
