"""Checks that the keys of a config's `[refeed]` table are compatible."""

from mdnn.config.task_rules import rules_of
from mdnn.errors import MdnnError


def stops_positions(config):
    """Returns whether each position of a context takes its own number of refeed steps.

    Args:
        config: `mdnn.Config`.
    """
    adaptive = config.refeed.step_schedule in ("length", "halt")
    return adaptive and not rules_of(config).stops_examples


def trained_steps(config):
    """Returns the number of refeed steps that a network is trained to answer after.

    With deep supervision these are the steps of all `refeed.supervision_steps`. A puzzle network's
    own calls are one of them; its evaluation repeats them (`mdnn.tasks.puzzle_evaluator`).

    Args:
        config: `mdnn.Config`.
    """
    refeed = config.refeed
    repeats = 1 if rules_of(config).stops_examples else refeed.supervision_steps
    return refeed.steps * repeats


def check_refeed(config):
    """Refuses incompatible keys of `[refeed]`.

    Args:
        config: `mdnn.Config`.

    Raises:
        MdnnError: names the first incompatible key.
    """
    refeed = config.refeed
    if refeed.bptt_steps > refeed.steps:
        raise MdnnError(
            f"refeed.bptt_steps: expected at most refeed.steps = {refeed.steps}, "
            f"received {refeed.bptt_steps}"
        )
    if refeed.gated_steps:
        _check_gates(refeed, config)
    if refeed.remat and _has_dropout(config):
        raise MdnnError(
            "refeed.remat: recomputing a step would draw other dropout: expected "
            "backbone.layer.*.dropout = 0 in every layer"
        )
    if refeed.initial_state == "learned" and 0 < refeed.bptt_steps < refeed.steps:
        raise MdnnError(
            "refeed.initial_state: 'learned' needs gradients through all steps: expected "
            f"refeed.bptt_steps = 0 (all), received {refeed.bptt_steps} of {refeed.steps} steps"
        )
    if refeed.feedback != "state":
        _check_feedback(config)
    _check_rule(refeed, config)
    if not rules_of(config).stops_examples:
        _check_positions(refeed)


def _check_positions(refeed):
    """Refuses keys of `[refeed]` where each position takes its own number of steps."""
    if refeed.step_schedule == "length":
        for key, expected in (("bptt_steps", 0), ("remat", False), ("supervision_steps", 1)):
            if (value := getattr(refeed, key)) != expected:
                raise MdnnError(
                    f"refeed.{key}: expected {expected} with step_schedule = 'length', in which "
                    f"positions stop at different steps, received {value}"
                )
        if refeed.steps_by_length.most > refeed.steps:
            raise MdnnError(
                f"refeed.steps_by_length.most: expected at most refeed.steps = {refeed.steps}, "
                f"received {refeed.steps_by_length.most}"
            )
    default = type(refeed).halt_exploration_prob
    if refeed.halt_exploration_prob != default:
        raise MdnnError(
            f"refeed.halt_exploration_prob: expected {default} outside puzzles, where training "
            f"stops no position early, received {refeed.halt_exploration_prob}"
        )


def _check_gates(refeed, config):
    most = min(refeed.steps - 1, refeed.bptt_steps or refeed.steps)
    if refeed.gated_steps > most:
        raise MdnnError(
            f"refeed.gated_steps: expected at most {most}, steps with gradient after a first one, "
            f"received {refeed.gated_steps}"
        )
    if (
        refeed.step_schedule != "fixed"
        or refeed.supervision_steps > 1
        or ("symbol" in config.tokens.modalities)
    ):
        raise MdnnError(
            "refeed.gated_steps: steps that are added to a trained network need a fixed number of "
            "steps and no deep supervision; other networks choose their number when they are used"
        )


def _check_feedback(config):
    refeed, tokens = config.refeed, config.tokens
    if tokens.candidates:
        raise MdnnError(
            "refeed.feedback: expected 'state' with tokens.candidates, received "
            f"{refeed.feedback!r}"
        )
    if tokens.table != "bits" and tokens.table != tokens.heads:
        raise MdnnError(
            f"refeed.feedback: {refeed.feedback!r} embeds the heads' answers, expected "
            f"tokens.heads = tokens.table, received {tokens.heads!r} and {tokens.table!r}"
        )
    if refeed.inner_steps:
        raise MdnnError(
            "refeed.feedback: expected 'state' with refeed.inner_steps above 0, received "
            f"{refeed.feedback!r}"
        )


def _has_dropout(config):
    return any(b.dropout for layer in config.backbone.layer for b in (layer, *layer.block))


def _check_rule(refeed, config):
    rule = refeed.step_schedule
    if rule == "sampled" and not 0 < refeed.bptt_steps < refeed.steps:
        raise MdnnError(
            "refeed.bptt_steps: step_schedule = 'sampled' draws refeed.bptt_steps to refeed.steps "
            f"steps: expected 1 to {refeed.steps - 1}, received {refeed.bptt_steps}"
        )
    if rule in ("sampled", "length") and _has_dropout(config):
        raise MdnnError(
            f"refeed.step_schedule: {rule!r} takes steps without gradient, which have no dropout: "
            "expected backbone.layer.*.dropout = 0 in every layer"
        )
    if rule == "sampled" and refeed.supervision_steps > 1:
        raise MdnnError(
            "refeed.supervision_steps: expected 1 with step_schedule = 'sampled', which carries no "
            f"state, received {refeed.supervision_steps}"
        )
    if rule == "halt" and refeed.supervision_steps == 1:
        raise MdnnError(
            "refeed.supervision_steps: expected at least 2 with step_schedule = 'halt', received 1"
        )
    if refeed.progressive < 1 and rule != "sampled":
        raise MdnnError(
            "refeed.progressive: expected 1 without step_schedule = 'sampled', received "
            f"{refeed.progressive}"
        )
    length = refeed.steps_by_length
    if (rule == "length") != bool(length.per_given or length.per_unknown):
        raise MdnnError(
            "refeed.steps_by_length: expected per_given or per_unknown above 0 if and only if "
            f"step_schedule = 'length', received step_schedule = {rule!r}"
        )
    if length.most and length.most < length.least:
        raise MdnnError(
            "refeed.steps_by_length.most: expected 0 (no limit) or at least "
            "refeed.steps_by_length.least = "
            f"{length.least}, received {length.most}"
        )
