"""Decodes the next token of each text and adds it to the state of the decoding loop."""

from keras import ops

from mdnn.generation.completions.grammar_mask import GrammarMask
from mdnn.generation.completions.score_offsets import ScoreOffsets
from mdnn.generation.completions.token_picker import TokenPicker, token_steps
from mdnn.generation.windows import TOKEN_BYTES, sanitize_tokens
from mdnn.layers.mixing.decoding_cache import set_index


def write_token(decoder, state, hidden, position, settings, tables):
    """Decodes the token after a position and returns the updated state.

    Args:
        decoder: `mdnn.generation.text_decoder.TextDecoder`.
        state: dict of tensors, the state of its loop.
        hidden: `[batch, width]`, inputs of the heads at the position.
        position: int32 `[1]`.
        settings: dict of tensors `[batch]`, those inputs of the decoder that say how to sample.
        tables: dict of the arrays of a grammar, empty without one.
    """
    window, filled, written = state["window"], state["filled"], state["written"]

    mask = None
    if decoder.grammar:
        left = settings["max_tokens"] - written
        mask = GrammarMask(token_steps(decoder.heads), tables, state["grammar_state"], left)
    offsets = None
    if decoder.offsets:
        penalties = (settings[name] for name in ("presence", "frequency"))
        offsets = ScoreOffsets(decoder.heads, hidden, state, *penalties)
    picker = TokenPicker(
        decoder.heads, decoder.sampler, settings, written, mask, offsets, decoder.log_probabilities
    )
    token = sanitize_tokens(decoder.heads.decode(hidden, picker)[:, :TOKEN_BYTES], decoder.words)
    behind = position[0] + 1
    # Keep the token of a prompt that is longer than `position`.
    is_new = filled == behind
    token = ops.where(is_new[:, None], token, ops.take(window, behind, axis=0))
    decoded = {"decoded": token, "hidden": hidden}
    if decoder.log_probabilities:
        decoded["log_probability"] = picker.log_probability(token)
    further = {} if offsets is None else offsets.next_tables(token, is_new)
    if decoder.grammar:
        after = mask.next_state(token)
        further["grammar_state"] = ops.where(is_new, after, state["grammar_state"])
    return {
        **further,
        "window": set_index(window, behind, token),
        "filled": filled + ops.cast(is_new, "int32"),
        "written": written + ops.cast(is_new, "int32"),
        "done": state["done"] + 1,
        **{
            name: set_index(state[name], state["done"], decoded[name])
            for name in decoded
            if name in state
        },
    }
