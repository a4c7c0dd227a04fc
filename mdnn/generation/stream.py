"""Writing texts with what was computed kept: a character costs one position, not a context."""

import keras
from keras import ops

from mdnn.generation.sampling import choose, uniform
from mdnn.generation.writer import UNIT, known, reread, token_rows_at
from mdnn.layers.mixing.decoding_cache import set_index
from mdnn.models.compiling import compile_with_xla
from mdnn.models.incremental import IncrementalDecoder


class StreamWriter(keras.Model):
    """A network that continues contexts; what it writes is what `Writer` writes.

    All contexts of a batch are at the same position: it begins at the shortest prompt's last one,
    and a context whose prompt is longer is given that until its own turn comes. A context that is
    full is left for a new one that begins with its last units (`mdnn.generation.writer.reread`).
    A call is either the first, which reads the prompts, or one of those that go on from what the
    one before gave; each is compiled once for a size of the batch, on TensorFlow by XLA: on a CPU
    a step of few numbers is hundreds of small operations, of which XLA makes one loop.

    Args:
        model: a network as `mdnn.build` makes it, causal.
        chunk: int, units written at a call at most.
        sampler: one of `mdnn.generation.sampling.SAMPLERS`.
        words: int, size of the network's table of words.
        steps: int, how often the network is run on its own output; `None`: as it was built.
        xla: whether XLA compiles it on TensorFlow.
        shows: whether what the heads were given is returned, too.

    Call arguments:
        inputs: dict of `window` and `filled` as of `Writer` (and `written`, zeros), for the first
            call; for the others of what `StreamWriter` returned, but `units`, and of
            `count` int32 `[1]`, units to write, at most `chunk`, and
            `seed`, `temperature`, `top_k` and `top_p` as of `Writer`.

    Returns:
        dict of tensors to go on with; of the calls that write, too: `units` int32
        `[chunk, batch, 4]`, the first `count` of them what was written. What a context has before
        its own turn comes, as many units as its prompt is longer than the shortest, is its prompt.

    Attributes:
        traces: int, how often it was compiled.
    """

    def __init__(
        self,
        model,
        chunk=256,
        sampler="filtered",
        words=0,
        steps=None,
        xla=True,
        shows=False,
        **kwargs,
    ):
        super().__init__(dtype="float32", **kwargs)
        self.network = model
        self.decoder = IncrementalDecoder(model, steps)
        self.heads = model.heads
        self.positions = self.decoder.num_rows * self.decoder.num_columns
        self.keep = reread(self.decoder.grid)
        self.chunk, self.sampler, self.words, self.shows = chunk, sampler, words, shows
        compile_with_xla(self, xla)
        self.traces = 0
        self.built = True

    def call(self, inputs):
        self.traces += 1
        return self.go(inputs) if "count" in inputs else self.start(inputs)

    def start(self, inputs):
        """Reads prompts: the state to begin with."""
        window, filled = inputs["window"], inputs["filled"]
        prepared = self.decoder.prepare_weights()
        # One position more, for the unit in hand when the context is full.
        window = ops.transpose(ops.pad(window, [[0, 0], [0, 1], [0, 0]]), (1, 0, 2))
        return {
            "window": window,
            "filled": filled,
            "written": inputs["written"],
            "prepared": prepared,
            **self._read(
                window, self.positions, ops.min(filled, axis=0, keepdims=True) - 1, prepared
            ),
        }

    def _read(self, window, positions, position, prepared):
        """What is kept of the first `positions` of a window when `position` `[1]` is the next to
        run."""
        units = ops.transpose(window[:positions], (1, 0, 2))
        rows, inputs = self.decoder.prefill(token_rows_at(units, 0), prepared)
        row = position // self.decoder.num_columns
        return {
            "position": position,
            "rows": rows,
            "given": self.decoder.start_row(prepared, rows, row),
            "kept": self.decoder.restore_row(inputs, row),
        }

    def go(self, inputs):
        """Writes `count` units per row."""
        names = ("window", "filled", "written", "position", "rows", "given", "kept")
        state = {name: inputs[name] for name in names}
        settings = {name: inputs[name] for name in ("seed", "temperature", "top_k", "top_p")}
        prepared, row = inputs["prepared"], self.decoder.num_columns
        count = ops.minimum(inputs["count"][0], self.chunk)
        batch = ops.shape(state["filled"])[0]
        found = {"units": ops.zeros((self.chunk, batch, UNIT), "int32")}
        if self.shows:
            dtype = self.decoder.dtype
            found["hidden"] = ops.zeros((self.chunk, batch, self.decoder.width), dtype)

        def unfinished(done, found, state):
            return done < count

        def write(done, found, state):
            # Inner and outer loop, so that what is done once for a row is no branch of each step.
            column = state["position"][0] % row
            carried = ("window", "filled", "written", "kept")

            def in_row(done, column, *_):
                return ops.logical_and(done < count, column < row)

            def step(done, column, found, own):
                position = state["position"][0] - state["position"][0] % row + column
                new, own = self._step(position, column, own, state["given"], prepared, settings)
                found = {name: set_index(found[name], done, new[name]) for name in found}
                return done + 1, column + 1, found, own

            own = {name: state[name] for name in carried}
            begun = done
            done, column, found, own = ops.while_loop(in_row, step, (done, column, found, own))
            after = {**state, **own, "position": state["position"] + (done - begun)}
            after = ops.cond(
                ops.equal(column, row), lambda: self._next_row(after, prepared), lambda: after
            )
            return done, found, after

        done = ops.zeros_like(count)
        _, found, state = ops.while_loop(unfinished, write, (done, found, state))
        return {**state, "prepared": prepared, **found}

    def _step(self, position, column, own, given, prepared, settings):
        """Runs a position and decides the unit behind it: `units` and `hidden`, and what is
        carried."""
        window, filled, written = own["window"], own["filled"], own["written"]
        here = ops.take(window, position, axis=0)[:, None]
        tokens = token_rows_at(here, position)[:, 0]
        hidden, kept = self.decoder.step(tokens, column, prepared, given, own["kept"])

        def decide(scores, number):
            place = None
            if self.sampler != "greedy":
                place = uniform(settings["seed"], written, number)
            chosen = settings["temperature"], settings["top_k"], settings["top_p"]
            return choose(scores, place, *chosen, sampler=self.sampler)

        unit = known(self.heads.decode(hidden, decide)[:, :UNIT], self.words)
        # A longer prompt has this unit already.
        new = filled == position + 1
        unit = ops.where(new[:, None], unit, ops.take(window, position + 1, axis=0))
        return {"units": unit, "hidden": hidden}, {
            "window": set_index(window, position + 1, unit),
            "filled": filled + ops.cast(new, "int32"),
            "written": written + ops.cast(new, "int32"),
            "kept": kept,
        }

    def _next_row(self, state, prepared):
        """The state behind a row's last column: at the next row, or in a new context."""

        def again():
            rest = self.positions + 1 - self.keep
            window = ops.pad(state["window"][rest:], [[0, rest], [0, 0], [0, 0]])
            seen = self.keep if self.decoder.takes_prefix else self.positions
            position = ops.zeros_like(state["position"]) + (self.keep - 1)
            return {
                **state,
                "window": window,
                "filled": ops.zeros_like(state["filled"]) + self.keep,
                **self._read(window, seen, position, prepared),
            }

        def further():
            row = state["position"] // self.decoder.num_columns
            rows = self.decoder.finish_row(prepared, state["rows"], row - 1, state["kept"])
            return {**state, "rows": rows, "given": self.decoder.start_row(prepared, rows, row)}

        if self.decoder.num_rows == 1:
            return again()
        return ops.cond(ops.equal(state["position"][0], self.positions), again, further)
