"""How fast a network of texts writes, and that it writes the same: the README's table.

For each config characters per second at three sizes of a batch, of the writer that keeps what it
computed, of the one that runs the whole network for every character, and of the SavedModel; the
milliseconds to the first character; memory before and after a long text; the largest difference
of a score between the two writers, and whether their texts are equal, likeliest and drawn, beyond
the end of the context. Run it on a machine that does nothing else:

    python benchmarks/generate.py
    python benchmarks/generate.py --run runs/mine --json figures.json
    KERAS_BACKEND=jax python benchmarks/generate.py     # without the SavedModel
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CONFIGS = ("text", "text-grid")
BATCHES = (1, 8, 64)
PROMPT = "The first line of a text that goes on "


def main():
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path(__file__).parents[1] / "configs"
    parser.add_argument(
        "configs", nargs="*", help="config files", default=[folder / f"{c}.toml" for c in CONFIGS]
    )
    parser.add_argument("--run", help="a trained run, in place of configs and untrained networks")
    parser.add_argument("--long", type=int, default=20_000, help="characters of the long text")
    parser.add_argument("--json", help="a file for all figures")
    options = parser.parse_args()
    from mdnn import MdnnError
    from mdnn.runtime import quiet_import

    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        quiet_import()
    try:
        rows = []
        with tempfile.TemporaryDirectory() as scratch:
            for run in _runs(options, scratch):
                rows.append(_measured(run, options.long))
    except MdnnError as error:
        print(f"benchmarks/generate.py: error: {error}", file=sys.stderr)
        return 2
    _show(rows)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


def _runs(options, scratch):
    """The trained run, or one for each config with the weights that training starts from."""
    from mdnn import load_config
    from mdnn.models.builder import build
    from mdnn.runs.run_folder import Run, open_run, write_run

    if options.run:
        yield open_run(options.run)
        return
    for path in options.configs:
        config = load_config(path)
        run = Run(Path(scratch) / Path(path).stem, config).holding(build(config))
        run.path.mkdir()
        write_run(run.path, config, (), run.model)
        yield run


def _measured(run, long):
    """All figures of one network, a dict."""
    import keras

    from mdnn import MdnnError

    if run.config.context.layout != "stream" or not run.config.train.objectives.autoregressive:
        raise MdnnError(f"{run.path}: expected a network of texts that writes in turn")
    backend = keras.backend.backend()
    row = {
        "network": run.path.name,
        "backend": backend,
        "parameters": int(run.model.count_params()),
        "positions": run.config.context.positions,
        "speed": {},
        "first_ms": {},
    }
    writers = {"streaming": _Streaming(run), "full pass": _Whole(run)}
    if backend == "tensorflow":
        writers["SavedModel"] = _Served(run)
    for name, writer in writers.items():
        row["speed"][name] = {}
        for batch in BATCHES:
            print(f"{row['network']}: {name}, batch {batch}", file=sys.stderr)
            # The first call compiles; a text of positions goes beyond the end of the context.
            writer(batch, 1)
            count = run.config.context.positions if name != "full pass" else max(16, 64 // batch)
            seconds = _seconds(lambda w=writer, b=batch, n=count: w(b, n))
            count = max(count, int(count / seconds / 2)) if name != "full pass" else count
            best = min(_seconds(lambda w=writer, b=batch, n=count: w(b, n)) for _ in range(3))
            row["speed"][name][batch] = round(count * batch / best)
        # Otherwise it writes 16 at a call.
        writer = _Whole(run, chunk=1) if name == "full pass" else writer
        times = [_seconds(lambda w=writer: w(1, 1)) for _ in range(10)][1:]
        row["first_ms"][name] = round(1000 * statistics.median(times), 1)
    print(f"{row['network']}: a text of {long} characters", file=sys.stderr)
    row |= {"long": long, "memory_mb": [_memory()]}
    writers["streaming"](1, long)
    row["memory_mb"].append(_memory())
    return row | _compared(run)


def _seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _memory():
    """Megabytes that this process has in memory."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return round(pages * resource.getpagesize() / 1e6)
    except OSError:
        # The most so far, in KiB (on macOS in bytes).
        unit = 1 if sys.platform == "darwin" else 1024
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def _settings(batch, temperature):
    return {
        "seed": np.arange(batch, dtype="int32"),
        "temperature": np.full(batch, temperature, "float32"),
        "top_k": np.zeros(batch, "int32"),
        "top_p": np.ones(batch, "float32"),
    }


def _start(run, batch):
    from mdnn.generation.writer import start_window

    window, filled = start_window(run.tokenizer, [PROMPT] * batch, run.config.context.positions)
    return {"window": window, "filled": filled, "written": np.zeros(batch, "int32")}


class _Streaming:
    """Units that `StreamWriter` writes: `[units, batch, 4]`."""

    def __init__(self, run, **options):
        from mdnn.generation.stream import StreamWriter

        self.run = run
        words = len(run.words)
        self.writer = StreamWriter(run.model, words=words, sampler="plain", **options)

    def __call__(self, batch, count, temperature=0.8):
        from mdnn.generation.batch_groups import Together

        start = _start(self.run, batch)
        settings = _settings(batch, temperature)
        together = Together(self.writer, start["window"], start["filled"], settings)
        chunk = self.writer.chunk
        pieces = [together.write(min(chunk, count - done)) for done in range(0, count, chunk)]
        return np.concatenate([np.stack(piece, axis=1) for piece in pieces])

    def hidden(self, count, temperature=0.8):
        """What the heads are given behind one prompt, of a writer that `shows`."""
        state = self.writer.predict_on_batch(_start(self.run, 1))
        settings, found = _settings(1, temperature), []
        for done in range(0, count, self.writer.chunk):
            piece = min(self.writer.chunk, count - done)
            asked = {"count": np.array([piece], "int32")}
            state = self.writer.predict_on_batch(state | settings | asked)
            del state["units"]
            found.append(state.pop("hidden")[:piece])
        return np.concatenate(found)[:, 0]


class _Whole:
    """Units that `Writer` writes, at least so many: `[units, batch, 4]`."""

    def __init__(self, run, chunk=16):
        from mdnn.generation.writer import Writer

        self.run, self.writer = run, Writer(run.model, chunk=chunk, words=len(run.words))

    def __call__(self, batch, count, temperature=0.8):
        state, units = _start(self.run, batch), []
        for _ in range(0, count, self.writer.chunk):
            state = self.writer.predict_on_batch(state | _settings(batch, temperature))
            units.append(state.pop("units"))
        return np.concatenate(units, axis=1)[:, :count].transpose(1, 0, 2)


class _Served:
    """Texts that the SavedModel writes."""

    def __init__(self, run):
        import tensorflow as tf

        import mdnn

        self.folder = tempfile.TemporaryDirectory()
        self.model = tf.saved_model.load(str(mdnn.export(run, self.folder.name)))

    def __call__(self, batch, count, temperature=0.8):
        import tensorflow as tf

        answer = self.model.signatures["generate"](
            prompt=tf.constant([PROMPT] * batch),
            length=tf.constant(count),
            temperature=tf.constant(temperature),
            seed=tf.constant(0),
        )
        return answer["text"].numpy()


def _compared(run):
    """Whether both writers write the same, and how far their scores are apart: a dict."""
    from mdnn.generation.writer import reread, token_rows
    from mdnn.models.compiling import without_xla

    positions, keep = run.config.context.positions, reread(run.config.context.grid)
    count = 2 * positions
    streaming, whole = _Streaming(run), _Whole(run)
    found = {"compared": count}
    for name, temperature in (("drawn_equal", 0.8), ("likeliest_equal", 0.0)):
        units = streaming(1, count, temperature)
        found[name] = bool(np.array_equal(units, whole(1, count, temperature)))
    targets = token_rows(units[:, 0])
    hidden = _Streaming(run, shows=True).hidden(count, 0.0)
    ours = np.asarray(run.model.get_layer("heads")(hidden[None], targets[None]))[0]
    # The same windows, each through the whole network.
    window = [list(row) for row in _start(run, 1)["window"][0] if row[0]]
    places = []
    tokens, asked = np.zeros((2, count, positions, 8), "int32")
    for number, unit in enumerate(units[:, 0]):
        tokens[number, : len(window), :4] = window
        tokens[number, : len(window), 4] = np.arange(len(window))
        places.append(len(window) - 1)
        asked[number, places[-1]] = targets[number]
        window = [*window, list(unit)] if len(window) < positions else [*window, list(unit)][-keep:]
    without_xla(run.model)
    theirs = []
    for start in range(0, count, 16):
        part = slice(start, start + 16)
        scores = run.model.predict_on_batch({"tokens": tokens[part], "targets": asked[part]})
        theirs += [row[place] for row, place in zip(scores, places[part], strict=True)]
    theirs = np.stack(theirs)
    found["score_difference"] = float(np.abs(ours - theirs).max())
    found["largest_score"] = float(np.abs(theirs).max())
    return found


def _show(rows):
    """Prints the tables."""
    for row in rows:
        print(
            f"\n{row['network']}: {row['parameters']:,} parameters, {row['positions']} positions, "
            "on "
            f"{row['backend']}\n\n| characters/s | "
            + " | ".join(f"batch {batch}" for batch in BATCHES)
            + " | first character |\n|---|---|---|---|---|"
        )
        for name, speed in row["speed"].items():
            cells = " | ".join(f"{speed[batch]:,}" for batch in BATCHES)
            print(f"| {name} | {cells} | {row['first_ms'][name]} ms |")
        before, after = row["memory_mb"]
        same = {True: "the same", False: "DIFFERENT"}
        print(
            f"\nMemory {before:,} MB before a text of {row['long']:,} characters, {after:,} MB "
            f"after. {row['compared']} characters of both writers: likeliest "
            f"{same[row['likeliest_equal']]}, drawn {same[row['drawn_equal']]}; scores differ by "
            f"at most {row['score_difference']:.1e} (the largest is {row['largest_score']:.1f})."
        )


if __name__ == "__main__":
    sys.exit(main())
