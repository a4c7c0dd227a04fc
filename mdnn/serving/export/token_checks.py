"""Validates tokens of a request inside a graph, before the network runs."""

import numpy as np
import tensorflow as tf

from mdnn.layers.decoding_steps import column
from mdnn.serving.export.graph_files import require
from mdnn.tokens.features import BYTES, MAX_TOKEN_VALUE, MODALITY, NUM_FEATURES, TOKEN_FEATURES
from mdnn.tokens.modalities import MAX_MODALITIES, MODALITIES, modality, modality_at


def validate_tokens(tokens, modalities, words=0, subwords=0):
    """Returns tokens after a check that the network has tables for all of them.

    A table gives something for any number: without this a row that means nothing would be
    answered as if it were another one. Coordinates and items wrap around (see
    `mdnn.layers.modality_embedding.digit_rows`); they are only not negative.

    Args:
        tokens: int32 `[batch, positions, 8]`.
        modalities: names of those that positions may hold, padding aside.
        words: int, how many words the network has.
        subwords: int, how many subwords the network has.

    Returns:
        `tokens`. A modality that the network does not have, a byte that its modality does not
        have, a word or subword beyond the last one, a coordinate or an item below 0 is an
        InvalidArgumentError of one line that names row, position and column.
    """
    names = ("padding", *modalities)
    indices = sorted(modality(name).index for name in names)
    kind = tf.clip_by_value(column(tokens, "modality"), 0, MAX_MODALITIES - 1)
    most = tf.gather(_most(), kind)
    for name, size, count in (("word", words, 2), ("subword", subwords, 3)):
        if size:
            last = [(size - 1) >> 8 * k & 255 for k in range(count - 1, -1, -1)]
            most = _at_most(most, tokens, kind == modality(name).index, last)
    is_known = tf.reduce_any(column(tokens, "modality")[..., None] == indices, axis=-1)
    good = (tokens >= 0) & (tokens <= most)
    good &= is_known[..., None] | (np.arange(NUM_FEATURES) != MODALITY)
    # The first that is not; one more entry, so that there is one where all are good.
    at = tf.argmax(tf.concat([tf.reshape(~good, [-1]), [True]], 0), output_type=tf.int32)
    received, most = (tf.concat([tf.reshape(x, [-1]), [0]], 0)[at] for x in (tokens, most))
    expected = tf.where(
        at % NUM_FEATURES == MODALITY,
        f"expected {', '.join(modality_at(index).name for index in indices)} "
        f"({', '.join(map(str, indices))})",
        tf.strings.join(["expected 0 to ", tf.as_string(most)]),
    )
    position = at // NUM_FEATURES
    fine = require(
        tf.reduce_all(good),
        "tokens: row ",
        position // tokens.shape[1] + 1,
        ", position ",
        position % tokens.shape[1] + 1,
        ": ",
        tf.gather(TOKEN_FEATURES, at % NUM_FEATURES),
        ": ",
        expected,
        ", received ",
        received,
    )
    with tf.control_dependencies([fine]):
        return tf.identity(tokens)


def _at_most(most, tokens, is_kind, last):
    """Returns the largest values with those of a modality lowered to the bytes of its last number.

    A byte is limited where all bytes before it are those of the last number.

    Args:
        most: int32 `[batch, positions, 8]`.
        tokens: int32 of the same shape.
        is_kind: boolean `[batch, positions]`, where the modality is.
        last: list of ints, the bytes of the last number, most significant first.
    """
    for k, byte in enumerate(last):
        is_column = np.arange(NUM_FEATURES) == BYTES.start + k
        most = tf.where(is_kind[..., None] & is_column, byte, most)
        is_kind &= column(tokens, f"byte_{k + 1}") == byte
    return most


def _most():
    """Returns the largest value of each column for each modality, int32 `[modalities, 8]`.

    What a modality leaves empty is a byte at most, as it is in any other.
    """
    most = np.full((MAX_MODALITIES, NUM_FEATURES), MAX_TOKEN_VALUE, "int32")
    most[:, MODALITY] = MAX_MODALITIES - 1
    most[:, BYTES] = 255
    for each in MODALITIES.values():
        most[each.index, BYTES][: len(each.bytes)] = np.array(each.bytes, int) - 1
    return most
