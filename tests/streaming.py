"""Networks run position by position."""

import keras
import numpy as np
from keras import ops


def compiled(decoder):
    """An `IncrementalDecoder`, compiled on JAX, where each op would be compiled alone."""
    if keras.backend.backend() == "jax":
        import jax

        for name in (
            "prepare_weights",
            "start_row",
            "finish_row",
            "step",
            "prefill",
            "restore_row",
        ):
            setattr(decoder, name, jax.jit(getattr(decoder, name)))
    return decoder


def position_by_position(decoder, tokens, begin=0, together=False):
    """Returns what the heads are given, from position `begin` on.

    `together`: whether all contexts are at the same row, told by one number.
    """
    tokens = ops.convert_to_tensor(tokens)
    weights, found, current = decoder.prepare_weights(), [], decoder.empty_row(tokens)
    rows, inputs = decoder.empty_rows(tokens), None
    if begin:
        row = np.full(1 if together else len(tokens), begin // decoder.num_columns, "int32")
        rows, inputs = decoder.prefill(tokens, weights, ops.convert_to_tensor(row))
    for row in range(begin // decoder.num_columns, decoder.num_rows):
        at = ops.full((1 if together else tokens.shape[0],), row, dtype="int32")
        context, first = decoder.start_row(weights, rows, at), 0
        if row == begin // decoder.num_columns and begin % decoder.num_columns:
            current, first = decoder.restore_row(inputs, at[:1]), begin % decoder.num_columns
        for column in range(first, decoder.num_columns):
            here = tokens[:, row * decoder.num_columns + column]
            number = ops.convert_to_tensor(np.int32(column))
            hidden, current = decoder.step(here, number, weights, context, current)
            found.append(ops.convert_to_numpy(hidden))
        rows = decoder.finish_row(weights, rows, at, current)
    return np.stack(found, axis=1)
