"""Reads `logit_bias`, the biases of a request for the scores of single tokens."""

from mdnn.errors import MdnnError
from mdnn.generation.options.token_offsets import token_biases
from mdnn.serving.openai.parameters import ApiError


def biases_of_request(values, completions):
    """Returns pairs of a token id and the bias of its log-probability, a tuple.

    Args:
        values: dict, the checked parameters of a request.
        completions: what answers completions, `mdnn.generation.completions.completion`.

    Raises:
        ApiError: see `mdnn.generation.options.token_offsets.token_biases`; or a network that has no
            biases.
    """
    table = values.get("logit_bias", {})
    if not table:
        return ()
    if not completions.variants:
        raise ApiError(
            "logit_bias: not supported by a SavedModel; serve the run folder",
            "logit_bias",
            "unsupported_parameter",
        )
    try:
        return token_biases(table, completions.tokenizer)
    except MdnnError as error:
        raise ApiError(str(error), "logit_bias", "invalid_value") from None
