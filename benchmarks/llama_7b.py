"""A network of LLaMA 7B's shape with random 4-bit weights: memory and tokens per second.

Writes a GGUF file of Q4_0 (3.8 GB), imports it, opens the run in processes of their own with the
engines `native` and `native-int8`, and writes tokens greedily; prints the memory that each holds,
the bytes that a token reads, and the share of the bandwidth with which this machine reads memory.
Both files are removed at the end. It takes 8 GB of disk and up to 12 GB of memory:

    python benchmarks/llama_7b.py [--threads 2] [--folder FOLDER] [--blocks 32]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmark_runs import in_own_process, timed, write_figures

ROOT = Path(__file__).parents[1]
WIDTH, HIDDEN, HEADS, VOCABULARY = 4096, 11008, 32, 32000
GROUP = 32
"""Weights of a block of Q4_0: a float16 scale and 16 bytes of codes."""
CONTEXT, PROMPT, TOKENS = 256, 16, 16


def main():
    """Prints the figures; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=32, help="of the network (32)")
    parser.add_argument("--threads", type=int, help="(all cores)")
    parser.add_argument("--folder", help="where the files are written (a temporary folder)")
    parser.add_argument("--json", help="a file for all figures")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(written(*options.child, options.threads)))
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = measured(Path(folder), options.blocks, options.threads)
    write_figures(options.json, figures)
    return 0


def measured(folder, blocks, threads=None):
    """Writes, imports and runs the network; returns the figures, a dict."""
    import mdnn

    begun = time.perf_counter()
    size = write_gguf(folder / "random.gguf", blocks)
    made = time.perf_counter()
    facts = mdnn.import_weights(folder / "random.gguf", folder / "run", context=CONTEXT)
    (folder / "random.gguf").unlink()
    print(
        f"{facts['parameters']:,} weights: {size:,} bytes written in {made - begun:.0f} s, "
        f"imported in {time.perf_counter() - made:.0f} s",
        flush=True,
    )
    more = [] if threads is None else ["--threads", threads]
    environment = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    figures = {"parameters": facts["parameters"], "bytes": size}
    for engine in ("native", "native-int8"):
        words = ["--child", folder / "run", engine, *more]
        found = in_own_process(__file__, *words, environment=environment)
        share = found["share"] = found["tokens"] * found["weights"] / found["bandwidth"]
        print(
            f"{engine}: opened in {found['opened']:.1f} s, holds {found['held']:,.0f} MB (most on "
            f"the way {found['peak']:,.0f}); {found['tokens']:.2f} tokens/s, prompt "
            f"{found['prompt']:.1f}; {found['weights'] / 1e9:.2f} GB per token, {share:.0%} of "
            f"{found['bandwidth'] / 1e9:.1f} GB/s with {found['threads']} threads",
            flush=True,
        )
        figures[engine] = found
    return figures


# === The file ===


def write_gguf(path, blocks, width=WIDTH, hidden=HIDDEN, heads=HEADS, vocabulary=VOCABULARY):
    """Writes a GGUF file with random weights, tensor by tensor; returns its bytes."""
    import gguf

    kind, draw = gguf.GGMLQuantizationType.Q4_0, np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(blocks)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(hidden)
    writer.add_context_length(2048)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    names += [f"t{number}" for number in range(vocabulary - len(names))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(names)
    writer.add_token_scores([-float(number) for number in range(vocabulary)])
    writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * (vocabulary - 259)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {"token_embd": (vocabulary, width), "output": (vocabulary, width)}
    for n in range(blocks):
        shapes |= {f"blk.{n}.attn_{name}": (width, width) for name in ("q", "k", "v", "output")}
        shapes |= {f"blk.{n}.ffn_{name}": (hidden, width) for name in ("gate", "up")}
        shapes[f"blk.{n}.ffn_down"] = (width, hidden)
    norms = ["output_norm"]
    norms += [f"blk.{n}.{name}_norm" for n in range(blocks) for name in ("attn", "ffn")]
    for name, (rows, columns) in shapes.items():
        shape = (rows, columns // GROUP * (2 + GROUP // 2))
        writer.add_tensor_info(f"{name}.weight", shape, np.uint8, np.prod(shape), raw_dtype=kind)
    for name in norms:
        writer.add_tensor_info(f"{name}.weight", (width,), np.float32, 4 * width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for rows, columns in shapes.values():
        writer.write_tensor_data(_blocks(draw, rows, columns))
    for _ in norms:
        writer.write_tensor_data(np.ones(width, "float32"))
    writer.close()
    return path.stat().st_size


def _blocks(draw, rows, columns):
    """Returns the bytes of random weights of variance 1 / columns."""
    data = np.frombuffer(draw.bytes(rows * columns // GROUP * (2 + GROUP // 2)), "uint8")
    data = data.reshape(rows, columns // GROUP, 2 + GROUP // 2).copy()
    # Codes from -8 to 7 have a standard deviation of 4.6.
    data[..., :2] = np.array([columns**-0.5 / 4.6], "<f2").view("uint8")
    return data.reshape(rows, -1)


# === What a process of its own does ===


def written(run, engine, threads=None):
    """Opens the run and writes with an engine; returns a dict of figures."""
    import tensorflow  # noqa: F401  # counted among the imports

    from mdnn.generation.engines import text_engine
    from mdnn.runs.run_folder import open_run

    before, begun = _memory("VmRSS"), time.perf_counter()
    run = open_run(run)
    engine = text_engine(run, engine)
    if threads is not None:
        engine.threads = threads
    opened = time.perf_counter() - begun
    window = np.zeros((1, engine.positions, 8), "int32")
    ids = np.random.default_rng(0).integers(300, VOCABULARY, PROMPT)
    window[0, :PROMPT] = run.tokenizer.tokens(ids)
    settings = {
        "seed": np.zeros(1, "int32"),
        "temperature": np.zeros(1, "float32"),
        "top_k": np.zeros(1, "int32"),
        "top_p": np.ones(1, "float32"),
    }
    texts = engine.start(window, np.array([PROMPT], "int32"), settings)
    begun = time.perf_counter()
    texts.decode(1)
    prompt = PROMPT / (time.perf_counter() - begun)
    begun = time.perf_counter()
    for _ in range(TOKENS):
        texts.decode(1)
    tokens = TOKENS / (time.perf_counter() - begun)
    held = _memory("VmRSS") - before
    return {
        "opened": opened,
        "prompt": prompt,
        "tokens": tokens,
        "held": held,
        "peak": _memory("VmHWM") - before,
        "weights": engine.plan.bytes - run.config.tokens.subwords * WIDTH * 9 // 16,
        "threads": engine.threads,
        "bandwidth": bandwidth(engine.threads),
    }


def bandwidth(threads, seconds=4.0):
    """Returns the bytes per second that threads read together, each the maximum of its own array.

    The arrays do not fit the caches of a server, of which the largest hold some 500 MB: the
    weights of a network of this size do not either.
    """
    import concurrent.futures

    size = 1 << 30
    arrays = [np.ones(size // 8, "int64") for _ in range(threads)]

    def read(array):
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            array.max()
            count += size
        return count

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        begun = time.perf_counter()
        total = sum(pool.map(read, arrays))
        return total / (time.perf_counter() - begun)


def _memory(name):
    with open("/proc/self/status", encoding="utf-8") as status:
        line = next(line for line in status if line.startswith(name))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main() if "--child" in sys.argv else timed(main))
