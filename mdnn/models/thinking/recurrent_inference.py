"""Solves puzzles with any number of refeed steps."""

import math

import keras
import numpy as np
from keras import ops

from mdnn.errors import MdnnError
from mdnn.models.compiling import predicted, without_xla
from mdnn.models.thinking.halting import CERTAIN

# Largest number of positions in one call.
CALL_POSITIONS = 8192


class RecurrentInference:
    """Runs a puzzle network step by step and exposes its states.

    Args:
        model: a network of puzzles, as returned by `mdnn.build`.
        config: its `mdnn.Config`.
        batch: int, puzzles per call; `None` to derive it from the puzzle's size.
    """

    def __init__(self, model, config, batch=None):
        self.network, self.refeed = model, config.refeed
        positions = max(1, config.tokens.candidates) * config.context.positions
        self.batch = batch or max(1, min(256, CALL_POSITIONS // positions))
        self.answered_steps = _AnsweredSteps(model)
        without_xla(self.answered_steps)

    def begin(self, numbers, seed=0):
        """Returns the states before the first step.

        Args:
            numbers: integers `[n]`, numbers of the puzzles; a random initial state is a pure
                function of the seed and the puzzle's number.
            seed: int.

        Returns:
            List of float32 arrays `[n, *grid, width]`.
        """
        refeed, shape = self.network.refeed, (*self.network.grid, self.network.width)
        states = []
        for k in range(refeed.states):
            state = np.zeros((len(numbers), *shape), dtype="float32")
            if refeed.first is not None:
                state += keras.ops.convert_to_numpy(refeed.first[k])
            if refeed.initial_state == "random":
                for row, number in enumerate(numbers):
                    own = np.random.default_rng([seed % 2**32, k, int(number)])
                    state[row] = own.standard_normal(shape, dtype="float32")
            states.append(state)
        return states

    def advance(self, tokens, states, steps):
        """Runs refeed steps.

        Args:
            tokens: int32 `[n, positions, 8]`, at most `batch` puzzles; fewer are padded.
            states: list, result of `begin`, or `states` of a previous call.
            steps: int from 1.

        Returns:
            dict of `states`, a list as above; `scores`, float32 `[n, positions, classes]`;
            `change`, float32 `[n]`, the norm of the last step's change of the state relative to
            the state's norm; and with a halting head `stop`, its scores `[n]`.
        """
        count, more = len(tokens), self.batch - len(tokens)
        inputs = {
            "tokens": _filled(tokens, more),
            "states": [_filled(state, more) for state in states],
            "steps": np.array([steps], dtype="int32"),
        }
        found = predicted(self.answered_steps, inputs)
        found["states"] = [np.asarray(state)[:count] for state in found["states"]]
        return {
            name: value if name == "states" else np.asarray(value)[:count]
            for name, value in found.items()
        }

    def curve(self, tokens, steps, seed=0, progress=None):
        """Yields the results after each of several numbers of steps.

        Args:
            tokens: int32 `[n, positions, 8]`.
            steps: increasing ints from 1.
            seed: int, seed of random initial states.
            progress: function called with the fraction done, 0 to 1.

        Yields:
            `(slice of the puzzles, number of steps, result of advance)`.
        """
        done, whole = 0, -(-len(tokens) // self.batch) * steps[-1]
        for start in range(0, len(tokens), self.batch):
            own = slice(start, min(len(tokens), start + self.batch))
            states, before = self.begin(np.arange(own.start, own.stop), seed), 0
            for number in steps:
                found = self.advance(tokens[own], states, number - before)
                states = found["states"]
                done += number - before
                before = number
                yield own, number, found
                if progress is not None:
                    progress(done / whole)

    def finished(self, tokens, wanted, halts=False, seed=0, progress=None):
        """Yields the result of each puzzle after its own number of steps.

        A finished puzzle is replaced in the batch by the next one.

        Args:
            tokens: int32 `[n, positions, 8]`.
            wanted: integers `[n]`, largest number of steps of each puzzle.
            halts: bool, whether the halting head may finish a puzzle earlier, after a multiple
                of the config's `refeed.steps`.
            seed: int, seed of random initial states.
            progress: function called with the fraction done, 0 to 1.

        Yields:
            `(number of the puzzle, steps used, scores [positions, classes])`, in any order.
        """
        count, size = len(tokens), min(self.batch, len(tokens))
        rows = np.arange(size)
        states, used = self.begin(rows, seed), np.zeros(size, dtype=int)
        following, done = size, 0
        period = self.refeed.steps if halts else np.inf
        while rows.size:
            left = np.minimum(wanted[rows] - used, period - used % period if halts else period)
            steps = int(left.min())
            found = self.advance(tokens[rows], states, steps)
            used = used + steps
            over = used >= wanted[rows]
            if halts:
                over |= (used % period == 0) & (found["stop"] > CERTAIN)
            for row in np.flatnonzero(over):
                yield rows[row], int(used[row]), found["scores"][row]
            done += int(over.sum())
            new = np.arange(following, min(count, following + int(over.sum())))
            following += len(new)
            first = self.begin(new, seed)
            rows = np.concatenate([rows[~over], new])
            used = np.concatenate([used[~over], np.zeros(len(new), dtype=int)])
            states = [
                np.concatenate([state[~over], begun])
                for state, begun in zip(found["states"], first, strict=True)
            ]
            if progress is not None:
                progress(done / count)


def steps_by_length(length, unknown):
    """Returns the number of steps of each puzzle by its length, integers `[n]`.

    Args:
        length: `mdnn.config.training_tables.Length`.
        unknown: bool `[n, positions]`, true for the positions to solve.
    """
    number = unknown.sum(axis=1)
    steps = length.per_unknown * number + length.per_given * (unknown.shape[1] - number)
    most = length.most or math.inf
    return np.clip(np.ceil(steps), length.least, most).astype("int64")


def check_step_counts(steps):
    """Returns numbers of steps as an increasing list without duplicates.

    Args:
        steps: int, or an iterable of ints.

    Raises:
        MdnnError: the list is empty, or a value is not an integer from 1 to 1,000,000.
    """
    listed = [steps] if isinstance(steps, int) else list(steps)
    for number in listed:
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 10**6:
            raise MdnnError(
                f"steps: expected whole numbers from 1 to 1,000,000, received {number!r}"
            )
    if not listed:
        raise MdnnError("steps: expected at least one number of steps, received none")
    return sorted(set(listed))


def check_num_starts(num_starts, config):
    """Refuses several starts that would all have the same initial state.

    Raises:
        MdnnError: `num_starts` is not an integer from 1 to 1000, or it is above 1 and the initial
            state is not random.
    """
    if (
        isinstance(num_starts, bool)
        or not isinstance(num_starts, int)
        or not 1 <= num_starts <= 1000
    ):
        raise MdnnError(
            f"num_starts: expected a whole number from 1 to 1000, received {num_starts!r}"
        )
    if num_starts > 1 and config.refeed.initial_state != "random":
        raise MdnnError(
            "num_starts: expected a network that was trained with refeed.initial_state = "
            "'random', received "
            f"one of refeed.initial_state = {config.refeed.initial_state!r}, which always begins "
            "in the same state"
        )


def check_halts(config):
    """Refuses adaptive numbers of steps for a network without a halting head.

    Raises:
        MdnnError: the network has no halting head.
    """
    if config.refeed.step_schedule != "halt":
        raise MdnnError(
            "adaptive: expected a network that was trained with refeed.step_schedule = 'halt', "
            "received one of "
            f"refeed.step_schedule = {config.refeed.step_schedule!r}: it has no halting head"
        )


def _filled(array, more):
    return (
        np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)]) if more else array
    )


class _AnsweredSteps(keras.Model):
    """Maps a dict of `tokens`, `states` and `steps` to the result of
    `RecurrentInference.advance`."""

    def __init__(self, network):
        super().__init__(name="answered_steps", dtype="float32")
        self.network = network
        self.built = True

    def call(self, batch, training=None):
        network = self.network
        x = network.embed(batch["tokens"])
        states = tuple(ops.cast(state, x.dtype) for state in batch["states"])
        before = network.iterate(x, states, 0, batch["steps"][0] - 1, training=False)
        after = network.iterate(x, before, 1, training=False)
        hidden = network.read_out(after[0])
        axes = tuple(range(1, len(x.shape)))
        moved = ops.sqrt(ops.sum(ops.square(after[0] - before[0]), axis=axes))
        norm = ops.sqrt(ops.sum(ops.square(after[0]), axis=axes))
        found = {
            "states": list(after),
            "scores": network.heads(hidden),
            "change": moved / ops.maximum(norm, 1e-9),
        }
        if network.halt is not None:
            found["stop"] = network.halt.stop(hidden)
        return found
