"""The base of the decoders of items: whole passes, and tokens sampled from logits."""

import keras
import numpy as np
from keras import ops

from mdnn.generation.sampling import sample, uniform
from mdnn.generation.windows import TOKEN_BYTES, sanitize_tokens
from mdnn.models.compiling import without_xla
from mdnn.tokens.features import MODALITY, PLACES, modality


class TokenDecoder(keras.Model):
    """A network that answers in contexts, compiled once.

    The answer of a context depends on its own tokens and seed alone, not on the rest of the batch.

    Args:
        network: `mdnn.models.network.Network`.
        kinds: names of the modalities that tokens are sampled from; `None`: all.
        steps: int, how often the network is run on its own output; `None`: as it was built.
        sampler: one of `mdnn.generation.sampling.SAMPLERS`.
        words: int, size of the network's table of words.

    Call arguments:
        inputs: dict of, n contexts,
            `tokens` int32 `[n, positions, 8]`: the prompts, zeros elsewhere;
            `first` int32 `[n]`: the answer's first position, at least 1;
            `count` int32 `[n]`: the most tokens of the answer, 0 for contexts that fill a batch up;
            `least` int32 `[n]`: tokens before the answer may end;
            `item` int32 `[n]`: the answer's number in its context;
            `answer` int32 `[n, modalities]`: 1 for the heads' modalities that the answer's tokens
            may have; `allowed`: the same, with those that end it once they are sampled;
            `decoded` int32 `[n]`: 1 where the heads decide the coordinates;
            `seed` int32, `temperature` float32, `top_k` int32, `top_p` float32, all `[n]`.
    """

    def __init__(self, network, kinds=None, steps=None, sampler="filtered", words=0, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.network, self.heads, self.steps = network, network.heads, steps
        self.kinds = tuple(kinds or self.heads.modalities)
        self.sampler, self.words = sampler, words
        self.positions = network.positions
        self.built = True
        without_xla(self)

    def decode(self, hidden, inputs, positions, number, denoising_step=0):
        """Samples tokens from what the heads are given.

        Args:
            hidden: `[n, tokens, width]`.
            inputs: the call's.
            positions: int32 `[n, tokens]`, where the tokens belong: randomness depends on it.
            number: int32 `[n, tokens]`, the tokens' numbers in their answers.
            denoising_step: int32, how often such a position was decoded before.

        Returns:
            int32 `[n, tokens, 8]`, coordinates as the heads decide them (0 where they do not).
        """
        tokens = positions.shape[1]

        def each_token(name):
            return ops.reshape(ops.repeat(inputs[name][:, None], tokens, axis=1), (-1,))

        settings = [each_token(name) for name in ("temperature", "top_k", "top_p")]
        seed, place = each_token("seed"), ops.reshape(positions, (-1,))

        def pick(logits, step):
            flat = ops.reshape(logits, (-1, logits.shape[-1]))
            u = None
            if self.sampler != "greedy":
                u = uniform(seed, place, step, denoising_step)
            chosen = sample(flat, u, *settings, sampler=self.sampler)
            return ops.reshape(chosen, ops.shape(positions))

        may_end = (number >= inputs["least"][:, None])[..., None]
        allowed = ops.where(may_end, inputs["allowed"][:, None], inputs["answer"][:, None])
        decoded = self.heads.decode(hidden, pick, allowed > 0, self.kinds)
        if "text" in self.kinds:
            shown = sanitize_tokens(decoded[..., :TOKEN_BYTES], self.words)
            decoded = ops.concatenate([shown, decoded[..., TOKEN_BYTES:]], axis=-1)
        return decoded

    def belongs(self, tokens, inputs):
        """Returns whether tokens `[n, tokens, 8]` are the answer's, not its end: bool."""
        indices = np.array([modality(name).index for name in self.heads.modalities], "int32")
        same = ops.equal(tokens[..., MODALITY : MODALITY + 1], indices)
        return ops.any(ops.logical_and(same, inputs["answer"][:, None] > 0), axis=-1)

    def placed(self, tokens, places, inputs):
        """Returns tokens with their item's number, at `places` or where the heads decided.

        Args:
            tokens: int32 `[n, tokens, 8]`.
            places: int32 `[n, tokens, 3]`, coordinates.
            inputs: the call's.
        """
        decoded = inputs["decoded"][:, None, None] > 0
        places = ops.where(decoded, tokens[..., PLACES], places)
        item = ops.zeros_like(tokens[..., :1]) + inputs["item"][:, None, None]
        return ops.concatenate([tokens[..., :TOKEN_BYTES], places, item], axis=-1)


def at_positions(values, positions):
    """Returns `values` `[n, size, k]` at int32 `positions` `[n, m]`: `[n, m, k]`."""
    size, width = values.shape[1], values.shape[2]
    # Not `take_along_axis`: its 64-bit integers make oneDNN complain on many computers.
    start = ops.arange(ops.shape(values)[0], dtype="int32")[:, None] * size
    flat = ops.reshape(values, (-1, width))
    return ops.take(flat, start + ops.clip(positions, 0, size - 1), axis=0)
