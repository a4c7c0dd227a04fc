"""What the positions of a config's network hold and answer: its modalities and decoding steps."""

from mdnn.config.task_rules import rules_of


def embedding_modalities(config):
    """Names of the modalities that positions may hold, in the order of the embedding's tables.

    The config's own, `blank` where the network learns to fill blanks, `end` where contexts
    have one. What is asked for in a puzzle is a symbol of its own.
    """
    masks = config.train.objectives.whole and rules_of(config).has_mask
    blank = ("blank",) if masks else ()
    return (*config.tokens.modalities, *blank, *_end(config))


def heads_modalities(config):
    """Names of the modalities that positions may answer in, in the order of the heads."""
    return (*config.tokens.modalities, *_end(config))


def _end(config):
    return ("end",) if rules_of(config).has_end else ()


def decoding(config):
    """How the network of a config decides units: a dict.

    These are arguments, by name, of `decoding_steps`, `ModalityHeads`, `token_nll`,
    `TokenCrossEntropy` and `nll_model` alike.
    """
    tokens = config.tokens
    return {
        "modalities": heads_modalities(config),
        "table": "bits" if tokens.table == "bits" else tokens.heads,
        "places": tokens.answer_coordinates,
        "base": tokens.base,
        "digits": tokens.digits,
    }
