"""Reads long prompts in pieces: memory does not grow with the prompt beside the caches."""

import keras
import numpy as np
from keras import ops

from mdnn.generation.windows import with_coordinates
from mdnn.models.compiling import predicted


def read_prompts(decoder, inputs, progress=None):
    """Reads prompts, in a call for each piece, and returns the initial state of decoding.

    Args:
        decoder: `mdnn.generation.text_decoder.TextDecoder`.
        inputs: dict of arrays, those of its first call.
        progress: function called with the completed fraction, 0 to 1, if there are several pieces;
            `None` for none.

    Returns:
        The result of the first call.
    """
    network, window = decoder.incremental, inputs["window"]
    # The last piece is read by the call that begins decoding.
    count = (int(inputs["filled"].min()) - 1) // network.piece if network.piece else 0
    if not count:
        return predicted(decoder, inputs)
    tell, size = progress or (lambda fraction: None), network.piece
    read = network.empty_reading(len(window))
    read = keras.tree.map_structure(ops.convert_to_numpy, read)
    identity = {name: inputs[name] for name in ("identity",) if name in inputs}
    for k in range(count):
        tell(k / (count + 1))
        arrays = {
            "piece": window[:, k * size : (k + 1) * size],
            "first": np.array([k * size // network.num_columns], "int32"),
            "read": read,
        }
        read = predicted(decoder, arrays | identity)["read"]
    tell(count / (count + 1))
    state = predicted(decoder, inputs | {"read": read})
    tell(1.0)
    return state


def caches_by_piece(network, window, row, weights, read=None):
    """Reads the beginning of a context piece by piece, inside a compiled function.

    Args:
        network: `mdnn.models.incremental.IncrementalDecoder` with a `piece`.
        window: int32 `[positions + 1, batch, 4]`.
        row: int32 `[1]`, the row at which decoding goes on.
        weights: result of `network.prepare_weights`.
        read: `past_rows` after the pieces before that of the row; `None` reads these, too.

    Returns:
        dict of `past_rows`, `row_context` and `current_row`.
    """
    size, rows = network.piece, network.piece // network.num_columns
    batch, features = ops.shape(window)[1], window.shape[2]

    def tokens(number):
        start = ops.stack([number * size, ops.zeros_like(number), ops.zeros_like(number)])
        piece = ops.slice(window, start, (size, batch, features))
        return with_coordinates(ops.transpose(piece, (1, 0, 2)), number * size)

    last = row // rows
    if read is None:

        def read_next(number, past_rows):
            first = ops.reshape(number * rows, (1,))
            return number + 1, network.read(tokens(number), weights, past_rows, first)[1]

        start = ops.zeros_like(last[0]), network.empty_reading(batch)
        _, read = ops.while_loop(lambda number, _: number < last[0], read_next, start)
    _, past_rows, inputs = network.read(tokens(last[0]), weights, read, last * rows, row)
    return {
        "past_rows": past_rows,
        "row_context": network.start_row(weights, past_rows, row),
        "current_row": network.restore_row(inputs, row, last * rows),
    }
