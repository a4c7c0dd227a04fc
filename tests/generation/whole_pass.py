"""Decoding with a pass over the whole context for every token: what decoders are tested against."""

import numpy as np
from keras import ops

from mdnn.generation.autoregressive import AutoregressiveDecoder
from mdnn.generation.sampling import sample, uniform
from mdnn.generation.token_decoder import at_positions
from mdnn.generation.windows import (
    TOKEN_BYTES,
    overlap_length,
    pad_features,
    sanitize_tokens,
)


class WholePassDecoder(AutoregressiveDecoder):
    """Decodes items as its base does, without caches."""

    def call(self, inputs):
        nothing = ops.zeros_like(inputs["count"])
        state = {"tokens": inputs["tokens"], "written": nothing, "stopped": nothing}

        def write(state):
            position = inputs["first"] + state["written"]
            hidden = self.network.hidden(state["tokens"], True, self.steps, training=False)
            hidden = at_positions(hidden, position[:, None] - 1)
            return (self._write(state, hidden, position, inputs),)

        (state,) = ops.while_loop(
            lambda state: ops.any(self._pending(state, inputs)), write, (state,)
        )
        return state


def continue_texts(model, window, filled, settings, count, words=0):
    """Continues texts by passes over whole windows, in numpy.

    Args:
        model: a network as `mdnn.build` makes it.
        window, filled: as `mdnn.generation.windows.encode_prompts` returns them.
        settings: dict of arrays `seed`, `temperature`, `top_k` and `top_p`, an entry a text.
        count: tokens to decode of each text.
        words: size of the network's table of words.

    Returns:
        int32 `[texts, count, 4]`.
    """
    overlap = overlap_length(model.grid)
    window, filled, decoded = window.copy(), filled.copy(), []
    rows = np.arange(len(filled))
    for number in range(count):
        tokens = pad_features(window)
        tokens[..., TOKEN_BYTES] = np.arange(window.shape[1]) * (window[..., 0] > 0)
        hidden = model.hidden(ops.convert_to_tensor(tokens), True)
        last = ops.convert_to_tensor(ops.convert_to_numpy(hidden)[rows, filled - 1])

        def pick(logits, step, number=number):
            written = np.full(len(rows), number, "int32")
            u = uniform(settings["seed"], written, step)
            return sample(logits, u, *(settings[k] for k in ("temperature", "top_k", "top_p")))

        token = sanitize_tokens(model.heads.decode(last, pick)[:, :TOKEN_BYTES], words)
        token = ops.convert_to_numpy(token)
        decoded.append(token)
        for row in rows:
            if filled[row] == window.shape[1]:
                filled[row] = overlap
                kept = window[row, window.shape[1] + 1 - overlap :].copy()
                window[row] = 0
                window[row, : overlap - 1] = kept
                window[row, overlap - 1] = token[row]
            else:
                window[row, filled[row]] = token[row]
                filled[row] += 1
    return np.stack(decoded, axis=1)
