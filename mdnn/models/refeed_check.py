"""What a config's `[refeed]` needs: keys that go together."""

from mdnn.errors import MdnnError


def check_refeed(config):
    """Refuses keys of `[refeed]` that do not go together.

    Args:
        config: `mdnn.Config`.

    Raises:
        MdnnError: the first key that does not go with the others.
    """
    refeed = config.refeed
    if refeed.backprop > refeed.steps:
        raise MdnnError(
            f"refeed.backprop: expected at most refeed.steps = {refeed.steps}, "
            f"received {refeed.backprop}"
        )
    if refeed.remat and _has_dropout(config):
        raise MdnnError(
            "refeed.remat: gradients would draw dropout anew; expected backbone.branch.*.dropout "
            "= 0, received another"
        )
    if refeed.start == "learned" and 0 < refeed.backprop < refeed.steps:
        raise MdnnError(
            "refeed.start: no gradient reaches a learned start through refeed.backprop = "
            f"{refeed.backprop} of refeed.steps = {refeed.steps} steps; take 0 (all)"
        )
    _check_rule(refeed, config)


def _has_dropout(config):
    return any(b.dropout for branch in config.backbone.branch for b in (branch, *branch.block))


def _check_rule(refeed, config):
    rule = refeed.rule
    if rule == "sampled" and not 0 < refeed.backprop < refeed.steps:
        raise MdnnError(
            "refeed.backprop: rule 'sampled' draws from refeed.backprop to refeed.steps = "
            f"{refeed.steps} steps, expected 1 to {refeed.steps - 1}, received {refeed.backprop}"
        )
    if rule in ("sampled", "length") and _has_dropout(config):
        raise MdnnError(
            f"refeed.rule: the steps that {rule!r} takes without gradient have no dropout; "
            "expected backbone.branch.*.dropout = 0, received another"
        )
    if rule == "sampled" and refeed.segments > 1:
        raise MdnnError(
            "refeed.segments: rule 'sampled' carries no state on, expected 1, received "
            f"{refeed.segments}"
        )
    if rule == "halt" and refeed.segments == 1:
        raise MdnnError("refeed.segments: rule 'halt' needs some to choose from, received 1")
    if refeed.progressive < 1 and rule != "sampled":
        raise MdnnError("refeed.progressive: expected 1 without rule 'sampled', received another")
    length = refeed.length
    if (rule == "length") != bool(length.per_given or length.per_asked):
        raise MdnnError(
            "refeed.length: rule 'length', and no other, has per_given or per_asked above 0"
        )
    if length.most and length.most < length.least:
        raise MdnnError(
            f"refeed.length.most: expected 0 (no limit) or at least refeed.length.least = "
            f"{length.least}, received {length.most}"
        )
    folds = any(branch.kind == "fold" for branch in config.backbone.branch)
    if folds and (refeed.inner or refeed.damping):
        raise MdnnError("backbone.branch: folds take no refeed.inner and no refeed.damping")
    if config.tokens.fields and refeed.what != "state":
        raise MdnnError(
            f"refeed.what: expected 'state' with tokens.fields, received {refeed.what!r}"
        )
