"""What the writers of items share: whole passes, and one unit chosen from scores."""

import keras
import numpy as np
from keras import ops

from mdnn.generation.sampling import choose, uniform
from mdnn.generation.writer import UNIT, known
from mdnn.models.compiling import without_xla
from mdnn.tokens.features import MODALITY, PLACES, modality


class ItemWriter(keras.Model):
    """Base of the writers of items: a network that answers in contexts, compiled once.

    A context's answer depends on its own tokens and seed alone, not on the rest of the batch.

    Args:
        model: a network as `mdnn.build` makes it.
        kinds: names of the modalities that units are chosen from; `None`: all.
        steps: int, how often the network is run on its own output; `None`: as it was built.
        sampler: one of `mdnn.generation.sampling.SAMPLERS`.
        words: int, size of the network's table of words.

    Call arguments:
        inputs: dict of, n contexts,
            `tokens` int32 `[n, positions, 8]`: the prompts, zeros elsewhere;
            `first` int32 `[n]`: the answer's first position, at least 1;
            `count` int32 `[n]`: units at most, 0 for contexts that fill a batch up;
            `least` int32 `[n]`: units before the answer may end;
            `item` int32 `[n]`: the answer's number;
            `own` int32 `[n, modalities]`: 1 for the heads' modalities that the answer's units may
            have; `allowed`: the same, with those that end it once chosen;
            `decoded` int32 `[n]`: 1 where places are the heads' choice;
            `seed` int32, `temperature` float32, `top_k` int32, `top_p` float32, all `[n]`.
    """

    def __init__(self, model, kinds=None, steps=None, sampler="filtered", words=0, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.network, self.heads = model, model.heads
        self.steps = steps
        self.kinds = tuple(kinds or self.heads.modalities)
        self.sampler, self.words = sampler, words
        self.positions = model.positions
        self.built = True
        without_xla(self)

    def hidden(self, tokens, causal):
        """What the heads are given in whole contexts: int32 `[n, positions, 8]` to `[n, positions,
        w]`."""
        return self.network.hidden(tokens, causal, self.steps, training=False)

    def decide(self, hidden, inputs, positions, number, turn=0):
        """Units chosen from what the heads are given.

        Args:
            hidden: `[n, units, width]`.
            inputs: the call's.
            positions: int32 `[n, units]`, the positions that the units are for: chance depends on
                them.
            number: int32 `[n, units]`, which unit of its answer each is.
            turn: int32, how many times such a position was decided before.

        Returns:
            int32 `[n, units, 8]`, places as the heads decide them (0 where they do not).
        """
        units = positions.shape[1]

        def spread(name):
            value = ops.repeat(inputs[name][:, None], units, axis=1)
            return ops.reshape(value, (-1,))

        settings = [spread(name) for name in ("temperature", "top_k", "top_p")]
        seed, places = spread("seed"), ops.reshape(positions, (-1,))

        def pick(scores, step):
            flat = ops.reshape(scores, (-1, scores.shape[-1]))
            place = None
            if self.sampler != "greedy":
                place = uniform(seed, places, step, turn)
            chosen = choose(flat, place, *settings, sampler=self.sampler)
            return ops.reshape(chosen, ops.shape(positions))

        may_end = (number >= inputs["least"][:, None])[..., None]
        allowed = ops.where(may_end, inputs["allowed"][:, None], inputs["own"][:, None])
        rows = self.heads.decode(hidden, pick, allowed > 0, self.kinds)
        if "text" in self.kinds:
            rows = ops.concatenate([known(rows[..., :UNIT], self.words), rows[..., UNIT:]], axis=-1)
        return rows

    def is_own(self, rows, inputs):
        """Whether rows `[n, units, 8]` are units of the answer: bool `[n, units]`."""
        indices = np.array([modality(name).index for name in self.heads.modalities], "int32")
        same = ops.equal(rows[..., MODALITY : MODALITY + 1], indices)
        return ops.any(ops.logical_and(same, inputs["own"][:, None] > 0), axis=-1)

    def placed(self, rows, places, inputs):
        """Rows `[n, units, 8]` at `places` `[n, units, 3]`, or where the heads decided."""
        decoded = inputs["decoded"][:, None, None] > 0
        places = ops.where(decoded, rows[..., PLACES], places)
        item = ops.zeros_like(rows[..., :1]) + inputs["item"][:, None, None]
        return ops.concatenate([rows[..., :UNIT], places, item], axis=-1)


def at_positions(values, positions):
    """`values` `[n, positions, k]` at int32 `positions` `[n, m]`: `[n, m, k]`."""
    size, width = values.shape[1], values.shape[2]
    # Not `take_along_axis`: its 64-bit whole numbers make oneDNN complain on many computers.
    start = ops.arange(ops.shape(values)[0], dtype="int32")[:, None] * size
    flat = ops.reshape(values, (-1, width))
    return ops.take(flat, start + ops.clip(positions, 0, size - 1), axis=0)
