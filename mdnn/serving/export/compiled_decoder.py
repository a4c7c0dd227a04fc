"""A decoder of items inside the graph of a SavedModel, with the requests that it answers."""

import dataclasses

import numpy as np
import tensorflow as tf

from mdnn.generation.planning import coordinate_strides, modalities_of, num_masked
from mdnn.generation.token_decoder import at_positions
from mdnn.generation.windows import TOKEN_BYTES
from mdnn.tokens.modalities import modality


@dataclasses.dataclass(frozen=True)
class CompiledDecoder:
    """A decoder and the requests that it answers.

    Args:
        decodings: those of `mdnn.generation.options.DECODINGS` that it serves: parallel decoding
            is masked diffusion in one pass.
        open: whether the network chooses where the answer ends.
        decoder: `AutoregressiveDecoder` or `MaskedDiffusionDecoder`.
        max_tokens: int, the most positions that it decodes.
    """

    decodings: tuple[str, ...]
    open: bool
    decoder: object
    max_tokens: int

    def decode(self, kind, here, count, shape, inputs):
        """Decodes items of a kind, inside a graph.

        Args:
            kind: the kind of the items.
            here: bool `[batch]`, which requests this decoder answers.
            count: int32 `[batch]`, maximum number of tokens of each item.
            shape: list of int32 `[batch]`, the sizes of the items, one per coordinate.
            inputs: dict of the other inputs of the decoder; `answer`, `allowed`, those of sizes and
                those of masks are added.

        Returns:
            The tokens, int32 `[batch, positions, 4]`, and their number, int32 `[batch]`.
        """
        heads, positions = tuple(self.decoder.heads.modalities), self.decoder.positions
        count = tf.where(here, count, 0)
        batch, first = tf.size(count), inputs["first"]
        answer = modalities_of(kind, heads)
        allowed = answer + ("end",) * self.open
        inputs = dict(inputs)
        for name, names in (("answer", answer), ("allowed", allowed)):
            mask = np.array([[modal in names for modal in heads]], "int32")
            inputs[name] = tf.repeat(mask, batch, axis=0)
        steps, sizes = (
            tf.stack([tf.zeros_like(count) + size for size in strides], axis=1)
            for strides in coordinate_strides(shape)
        )
        if self.decodings == ("autoregressive",):
            inputs = inputs | {"count": count, "steps": steps, "sizes": sizes}
            decoded = self.decoder(inputs)
            positions = first[:, None] + tf.range(positions)
            return at_positions(decoded["tokens"], positions)[..., :TOKEN_BYTES], decoded["written"]
        masked = tf.where(here, num_masked(count, positions - first), 0)
        # One more than there may be tokens, for the [EOS].
        inputs = inputs | {"count": masked if self.open else count, "num_masked": masked}
        number = tf.range(self.max_tokens)[None, :, None]
        coordinates = number // steps[:, None] % sizes[:, None]
        mask = np.array([modality("blank").index, modality(kind).index, 0, 0], "int32")
        head = tf.zeros_like(coordinates[..., :1]) + mask
        item = tf.zeros_like(coordinates[..., :1]) + inputs["item"][:, None, None]
        masks = tf.concat([head, coordinates, item], axis=-1)
        masks = tf.where(number < masked[:, None, None], masks, 0)
        decoded = self.decoder(inputs | {"masks": masks})
        rest = [[0, 0], [0, positions - self.max_tokens], [0, 0]]
        tokens = tf.pad(decoded["tokens"][..., :TOKEN_BYTES], rest)
        return tokens, tf.minimum(decoded["written"], count)
