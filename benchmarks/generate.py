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

import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmark_runs import CONFIGS, benchmark_parser, timed, write_figures

NAMES = ("text", "text-grid")
BATCHES = (1, 8, 64)
PROMPT = "The first line of a text that goes on "


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "json")
    parser.add_argument(
        "configs", nargs="*", help="config files", default=[CONFIGS / f"{c}.toml" for c in NAMES]
    )
    parser.add_argument("--run", help="a trained run, in place of configs and untrained networks")
    parser.add_argument("--long", type=int, default=20_000, help="characters of the long text")
    options = parser.parse_args()
    from mdnn.runtime import quiet_import

    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        quiet_import()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for run in _runs(options, scratch):
            rows.append(_measured(run, options.long))
    _show(rows)
    write_figures(options.json, rows)
    return 0


def _runs(options, scratch):
    """The trained run, or one for each config with the weights that training starts from."""
    from mdnn import load_config
    from mdnn.models.builder import build
    from mdnn.runs.run_files import write_run
    from mdnn.runs.run_folder import Run, open_run

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
    from mdnn.generation.windows import encode_prompts

    window, filled = encode_prompts(run.tokenizer, [PROMPT] * batch, run.config.context.positions)
    return {"window": window, "filled": filled, "written": np.zeros(batch, "int32")}


class _Streaming:
    """Tokens that `TextDecoder` decodes: `[tokens, batch, 4]`."""

    def __init__(self, run, **options):
        from mdnn.generation.text_decoder import TextDecoder

        self.run = run
        words = len(run.words)
        self.decoder = TextDecoder(run.model, words=words, sampler="plain", **options)

    def __call__(self, batch, count, temperature=0.8):
        from mdnn.generation.batch_groups import BatchGroups

        start = _start(self.run, batch)
        settings = _settings(batch, temperature)
        groups = BatchGroups(self.decoder, start["window"], start["filled"], settings)
        chunk = self.decoder.chunk
        pieces = [groups.decode(min(chunk, count - done)) for done in range(0, count, chunk)]
        return np.concatenate([np.stack(piece, axis=1) for piece in pieces])

    def hidden(self, count, temperature=0.8):
        """What the heads are given after one prompt, of a decoder with `return_hidden`."""
        state = self.decoder.predict_on_batch(_start(self.run, 1))
        settings, hidden = _settings(1, temperature), []
        for done in range(0, count, self.decoder.chunk):
            piece = min(self.decoder.chunk, count - done)
            inputs = {"count": np.array([piece], "int32")}
            state = self.decoder.predict_on_batch(state | settings | inputs)
            del state["decoded"]
            hidden.append(state.pop("hidden")[:piece])
        return np.concatenate(hidden)[:, 0]


class _Whole:
    """Tokens decoded by a pass over the whole context for each: `[tokens, batch, 4]`."""

    def __init__(self, run):
        from mdnn.generation.windows import overlap_length

        self.run, self.model = run, _full_pass(run)
        self.overlap = overlap_length(run.config.context.grid)

    def __call__(self, batch, count, temperature=0.8):
        window, filled, _ = _start(self.run, batch).values()
        settings, decoded = _settings(batch, temperature), []
        for number in range(count):
            inputs = {
                "window": window,
                "filled": filled,
                "written": np.full(batch, number, "int32"),
            }
            token = np.asarray(self.model.predict_on_batch(inputs | settings))
            decoded.append(token)
            # All contexts are equally full.
            if filled[0] == window.shape[1]:
                rest = window[:, window.shape[1] + 1 - self.overlap :].copy()
                window[:] = 0
                window[:, : rest.shape[1]] = rest
                filled[:] = rest.shape[1]
            window[:, filled[0]] = token
            filled += 1
        return np.stack(decoded)


def _full_pass(run):
    """A model of windows that gives the next token of each, `[batch, 4]`."""
    import keras

    from mdnn.generation.sampling import sample, uniform
    from mdnn.generation.token_decoder import at_positions
    from mdnn.generation.windows import sanitize_tokens, with_coordinates
    from mdnn.models.compiling import without_xla

    class FullPass(keras.Model):
        def __init__(self):
            super().__init__()
            self.network, self.built = run.model, True
            without_xla(self)

        def call(self, inputs):
            hidden = self.network.hidden(with_coordinates(inputs["window"]), True)
            last = at_positions(hidden, inputs["filled"][:, None] - 1)[:, 0]
            settings = [inputs[name] for name in ("temperature", "top_k", "top_p")]

            def pick(logits, step):
                u = uniform(inputs["seed"], inputs["written"], step)
                return sample(logits, u, *settings, sampler="plain")

            return sanitize_tokens(self.network.heads.decode(last, pick)[:, :4], len(run.words))

    return FullPass()


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
    from mdnn.generation.windows import overlap_length, pad_features
    from mdnn.models.compiling import without_xla

    positions, keep = run.config.context.positions, overlap_length(run.config.context.grid)
    count = 2 * positions
    streaming, whole = _Streaming(run), _Whole(run)
    found = {"compared": count}
    for name, temperature in (("drawn_equal", 0.8), ("likeliest_equal", 0.0)):
        units = streaming(1, count, temperature)
        found[name] = bool(np.array_equal(units, whole(1, count, temperature)))
    targets = pad_features(units[:, 0])
    hidden = _Streaming(run, return_hidden=True).hidden(count, 0.0)
    ours = np.asarray(run.model.heads(hidden[None], targets[None]))[0]
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
    sys.exit(timed(main))
