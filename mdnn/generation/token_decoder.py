"""Defines the base class of the item decoders, which samples tokens from logits."""

import keras
import numpy as np
from keras import ops

from mdnn.generation.sampling import guided, sample, uniform
from mdnn.generation.windows import TOKEN_BYTES, sanitize_tokens
from mdnn.models.compiling import without_xla
from mdnn.tokens.features import COORDINATES, MODALITY
from mdnn.tokens.modalities import modality


class TokenDecoder(keras.Model):
    """Base class of models that decode answers in a batch of contexts; compiled once.

    The answer in a context depends only on its own tokens and seed, not on the rest of the batch.

    Args:
        network: `mdnn.models.network.Network`.
        kinds: names of the modalities to sample; `None`: all modalities of the heads.
        steps: int, number of refeed steps; `None`: as the network was built.
        sampler: one of `mdnn.generation.sampling.SAMPLERS`.
        words: int, size of the network's word table.
        negatives: int, number of negative prompts of each prompt, see
            `mdnn.generation.sampling.guided`. Their contexts follow the prompt's own in the batch
            and get the same answer. `None`: each call says their number.

    Call arguments:
        inputs: dict for n contexts, with
            `tokens` int32 `[n, positions, 8]`: the prompts, zeros elsewhere;
            `first` int32 `[n]`: first position of the answer, at least 1;
            `count` int32 `[n]`: maximum number of tokens of the answer, 0 for padding contexts;
            `least` int32 `[n]`: minimum number of tokens before the answer may end;
            `item` int32 `[n]`: number of the answer in its context;
            `answer` int32 `[n, modalities]`: 1 for modalities of the heads that the answer's
            tokens may have; `allowed`: the same plus the modalities that end the answer;
            `decoded` int32 `[n]`: 1 if the heads decide the coordinates, else 0;
            `seed` int32, `temperature` float32, `top_k` int32, `top_p` float32, all `[n]`; unless
            `negatives` is 0 also `guidance_scale` float32 `[n]`; where it is `None` also
            `negatives` int32, a scalar.
    """

    def __init__(
        self,
        network,
        kinds=None,
        steps=None,
        sampler="filtered",
        words=0,
        negatives=0,
        **kwargs,
    ):
        super().__init__(dtype="float32", **kwargs)
        self.negatives = negatives
        self.network, self.heads, self.steps = network, network.heads, steps
        self.kinds = tuple(kinds or self.heads.modalities)
        self.sampler, self.words = sampler, words
        self.positions = network.positions
        self.built = True
        without_xla(self)

    def decode(self, hidden, inputs, positions, number, denoising_step=0):
        """Samples tokens from the inputs of the heads.

        Args:
            hidden: `[n, tokens, width]`, inputs of the heads.
            inputs: the inputs of the call.
            positions: int32 `[n, tokens]`, positions of the tokens, which determine the random
                numbers.
            number: int32 `[n, tokens]`, indices of the tokens in their answers.
            denoising_step: int32, number of the denoising step, from 0.

        Returns:
            int32 `[n, tokens, 8]`; coordinates are 0 unless the heads decide them.
        """
        tokens = positions.shape[1]

        def each_token(name):
            return ops.reshape(ops.repeat(inputs[name][:, None], tokens, axis=1), (-1,))

        settings = [each_token(name) for name in ("temperature", "top_k", "top_p")]
        seed, index = each_token("seed"), ops.reshape(positions, (-1,))

        def pick(logits, step):
            if self.negatives != 0:
                each = ops.reshape(logits, (-1, tokens, logits.shape[-1]))
                logits = self._guided(each, inputs)
            flat = ops.reshape(logits, (-1, logits.shape[-1]))
            u = None
            if self.sampler != "greedy":
                u = uniform(seed, index, step, denoising_step)
            chosen = sample(flat, u, *settings, sampler=self.sampler)
            return ops.reshape(chosen, ops.shape(positions))

        may_end = (number >= inputs["least"][:, None])[..., None]
        allowed = ops.where(may_end, inputs["allowed"][:, None], inputs["answer"][:, None])
        decoded = self.heads.decode(hidden, pick, allowed > 0, self.kinds)
        if "text" in self.kinds:
            shown = sanitize_tokens(decoded[..., :TOKEN_BYTES], self.words)
            decoded = ops.concatenate([shown, decoded[..., TOKEN_BYTES:]], axis=-1)
        return decoded

    def _guided(self, logits, inputs):
        """Returns logits `[n, tokens, classes]` after guidance by the negative prompts."""
        scale = inputs["guidance_scale"][:, None, None]
        if self.negatives is not None:
            return guided(logits, scale, self.negatives)
        count = inputs["negatives"]
        return ops.cond(count > 0, lambda: guided(logits, scale, count), lambda: logits)

    def of_prompts(self, values, inputs):
        """Returns `values` `[n, tokens]` with those of a prompt at its negative prompts, too."""
        if self.negatives == 0:
            return values
        rows = 1 + (inputs["negatives"] if self.negatives is None else self.negatives)
        own = ops.reshape(values, (-1, rows, values.shape[-1]))[:, :1]
        return ops.reshape(ops.repeat(own, rows, axis=1), ops.shape(values))

    def belongs(self, tokens, inputs):
        """Returns which tokens belong to the answer and do not end it.

        Args:
            tokens: int32 `[n, tokens, 8]`.
            inputs: the inputs of the call.

        Returns:
            bool `[n, tokens]`.
        """
        indices = np.array([modality(name).index for name in self.heads.modalities], "int32")
        same = ops.equal(tokens[..., MODALITY : MODALITY + 1], indices)
        return ops.any(ops.logical_and(same, inputs["answer"][:, None] > 0), axis=-1)

    def with_coordinates(self, tokens, coordinates, inputs):
        """Sets the coordinates and the item number of tokens.

        Args:
            tokens: int32 `[n, tokens, 8]`.
            coordinates: int32 `[n, tokens, 3]`, coordinates for contexts in which the heads do not
                decide them.
            inputs: the inputs of the call.

        Returns:
            int32 `[n, tokens, 8]`.
        """
        decoded = inputs["decoded"][:, None, None] > 0
        coordinates = ops.where(decoded, tokens[..., COORDINATES], coordinates)
        item = ops.zeros_like(tokens[..., :1]) + inputs["item"][:, None, None]
        return ops.concatenate([tokens[..., :TOKEN_BYTES], coordinates, item], axis=-1)


def at_positions(values, positions):
    """Gathers `values` `[n, size, k]` at `positions` int32 `[n, m]`, clipped: `[n, m, k]`."""
    size, width = values.shape[1], values.shape[2]
    # Avoid `take_along_axis`: its 64-bit integers cause oneDNN warnings on many computers.
    start = ops.arange(ops.shape(values)[0], dtype="int32")[:, None] * size
    flat = ops.reshape(values, (-1, width))
    return ops.take(flat, start + ops.clip(positions, 0, size - 1), axis=0)
