"""Modalities and decoding steps of the network of a config."""

from mdnn.config.task_rules import rules_of


def embedding_modalities(config):
    """Returns the names of the input modalities, in the order of the embedding's tables.

    These are the modalities of the config, `blank` (the mask token) if a decoding that uses masks
    is trained, and `end` if the task has an end token. Puzzles mark unknown positions with a
    symbol instead of the mask token.
    """
    masks = config.train.objectives.whole and rules_of(config).has_mask
    mask = ("blank",) if masks else ()
    return (*config.tokens.modalities, *mask, *_end(config))


def heads_modalities(config):
    """Returns the names of the output modalities, in the order of the heads."""
    return (*config.tokens.modalities, *_end(config))


def _end(config):
    return ("end",) if rules_of(config).has_end else ()


def decoding(config):
    """Returns the options of the decoding steps of a config's network, a dict.

    They are keyword arguments of `decoding_steps`, `ModalityHeads`, `token_nll`,
    `TokenCrossEntropy` and `NetworkNLL`.
    """
    tokens = config.tokens
    return {
        "modalities": heads_modalities(config),
        "table": "bits" if tokens.table == "bits" else tokens.heads,
        "places": tokens.answer_coordinates,
        "base": tokens.base,
        "digits": tokens.digits,
        "subwords": tokens.subwords,
    }


def head_weights(heads):
    """Returns the variables that heads compute with, those that they share included."""
    return [*heads.variables, *getattr(heads, "tied_tables", {}).values()]
