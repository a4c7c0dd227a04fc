"""Defines the loss: nats per token, by the chain rule over the token's decoding steps."""

import dataclasses

import keras
import numpy as np
from keras import ops

from mdnn.errors import did_you_mean
from mdnn.layers.decoding_steps import check_modalities, column, decoding_steps, is_any
from mdnn.layers.fused_ops import sparse_cross_entropy
from mdnn.models.head_options import decoding
from mdnn.tokens.features import NUM_FEATURES
from mdnn.tokens.modalities import modality

# Groups of decoding steps that can be weighted.
STEP_GROUPS = ("modality", "byte_1", "byte_2", "byte_3", "coordinate")


def token_nll(targets, scores, modalities, step_weights=None, **options):
    """Computes the negative log-likelihood of tokens.

    Args:
        targets: int tokens `[..., 8]`, the correct tokens.
        scores: `[..., classes]`, as returned by `ModalityHeads` for the same targets.
        modalities: names of the heads' modalities, in their order.
        step_weights: dict from groups of steps (`"modality"`, `"byte_1"` to `"byte_3"`,
            `"coordinate"`) to the weights of their decoding steps; missing groups have weight 1. A
            step of the table `"full"` has the weight of `byte_1`.
        **options: the other arguments of `decoding_steps`: `table`, `places`, `base`, `digits`,
            `subwords`.

    Returns:
        Two float32 tensors `[...]`: the loss of each position in nats, 0 for padding; and a mask,
        1 for targets of these modalities and 0 for padding. Inside a compiled function, where the
        values of `targets` are unknown, a target of another modality counts as padding.

    Raises:
        ValueError: heads with other steps made the scores, or a target has another modality and the
            values of `targets` are known.
    """
    check_targets(targets, modalities)
    kind = column(targets, "modality")
    counted = is_any(kind, modalities)
    weights = step_weights or {}
    total = ops.zeros_like(counted)
    steps = decoding_steps(modalities, **options)
    ends = np.cumsum([step.classes for step in steps]).tolist()
    check_scores(scores, ends[-1], modalities, options)
    # Not slices: the gradient of each would be a tensor of all scores, mostly zeros.
    pieces = ops.split(scores, ends[:-1], axis=-1) if len(steps) > 1 else [scores]
    for step, piece in zip(steps, pieces, strict=True):
        weight = weights.get(step.group, 1.0)
        if weight == 0 or step.kinds == ():
            continue
        nll = sparse_cross_entropy(piece, step.answer(targets))
        has = counted if step.kinds is None else step.has(targets)
        total = total + nll * (has if weight == 1 else has * weight)
    return total, counted


def check_scores(scores, classes, modalities, options):
    """Refuses scores of heads with other decoding steps, whose classes would be mixed up.

    Args:
        scores: tensor `[..., classes]`.
        classes: int, the expected number of scores per position.
        modalities: names of the heads' modalities, for errors.
        options: dict of the heads' other options, for errors.

    Raises:
        ValueError: another number of scores per position than `classes`.
    """
    if scores.shape[-1] not in (None, classes):
        given = "".join(f", {name}={value!r}" for name, value in options.items())
        raise ValueError(
            f"the loss of modalities={list(modalities)}{given} takes {classes} scores per "
            f"position, received {scores.shape[-1]}: expected the options of the network's heads"
        )


def check_targets(targets, modalities):
    """Refuses targets of modalities that the heads lack, if their values are known.

    Raises:
        ValueError: a target has none of the modalities.
    """
    if isinstance(targets, keras.KerasTensor):
        return
    try:
        kinds = np.unique(ops.convert_to_numpy(column(targets, "modality")))
    except Exception:
        # Each backend raises its own error for values that are unknown while tracing.
        return
    known = [0, *(modality(name).index for name in modalities)]
    if not np.isin(kinds, known).all():
        raise ValueError(
            f"targets of the modalities {list(modalities)} have the indices {known[1:]} "
            f"(0: padding), received {kinds.tolist()}"
        )


@keras.saving.register_keras_serializable(package="mdnn")
class TokenCrossEntropy(keras.losses.Loss):
    """Computes the mean loss in nats per token over the positions whose target is not padding.

    The value of a position is the weight of its target's modality times its nats, divided by the
    mean weight over all positions. Padding has weight 0. Keras takes the mean of these values,
    each multiplied by its `sample_weight` if given.

    Args:
        modalities: names of the heads' modalities, in their order.
        table, places, base, digits, subwords: see `ModalityHeads`.
        modality_weights: dict from names of modalities to the weights of their tokens; missing
            modalities have weight 1. The weight of an `end` token is multiplied by that of the
            token before it (whose modality is its first byte), so that weights do not change how
            often the network ends its output.
        step_weights: dict from groups of steps to the weights of their steps (see `token_nll`).

    Call arguments:
        y_true: int tokens `[batch, positions, 8]`.
        y_pred: scores `[batch, positions, classes]` of `ModalityHeads`.

    Raises:
        ValueError: a weight has an unknown modality or group or is negative; `y_true` holds no
            tokens; heads with other options made the scores; or a target has a modality
            that the heads lack and its value is known (see `token_nll`).
    """

    def __init__(
        self,
        modalities=("text",),
        table="bytes",
        places=False,
        base=32,
        digits=6,
        modality_weights=None,
        step_weights=None,
        subwords=0,
        name="loss",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.modalities = check_modalities(modalities)
        self.options = {
            "table": table,
            "places": bool(places),
            "base": int(base),
            "digits": int(digits),
            "subwords": int(subwords),
        }
        self.modality_weights = _weights(modality_weights, self.modalities, "modality")
        self.step_weights = _weights(step_weights, STEP_GROUPS, "group of steps")

    def __call__(self, y_true, y_pred, sample_weight=None):
        rows = ops.cast(y_true, "int32")
        if rows.shape[-1] not in (None, NUM_FEATURES):
            raise ValueError(
                f"y_true: expected tokens [batch, positions, {NUM_FEATURES}], received the shape "
                f"{tuple(rows.shape)}"
            )
        # Keras casts both to float32, which is exact only up to 2 ** 24: pass 16-bit halves.
        halves = ops.concatenate([rows // 65_536, rows % 65_536], axis=-1)
        return super().__call__(halves, y_pred, sample_weight=sample_weight)

    def call(self, y_true, y_pred):
        rows = ops.cast(y_true, "int32")
        if rows.shape[-1] == 2 * NUM_FEATURES:
            rows = rows[..., :NUM_FEATURES] * 65_536 + rows[..., NUM_FEATURES:]
        nll, weight = token_nll(rows, y_pred, self.modalities, self.step_weights, **self.options)
        if any(value != 1 for value in self.modality_weights.values()):
            weight = self.weights(rows)
            nll = nll * weight
        # Keras takes the mean over all positions; this makes it a mean without padding.
        return nll / ops.maximum(ops.mean(weight), 1e-9)

    def weights(self, rows):
        """Returns the weight of each token's modality.

        Args:
            rows: int32 `[..., 8]`, the correct tokens.

        Returns:
            float32 `[...]`, 0 for padding.
        """
        counts = {name: self.modality_weights.get(name, 1.0) for name in self.modalities}
        kind = column(rows, "modality")
        weight = sum(count * is_any(kind, [name]) for name, count in counts.items())
        weighted = {name: count for name, count in counts.items() if name != "end" and count != 1}
        if "end" in counts and weighted:
            ended = column(rows, "byte_1")
            factor = 1.0 + sum((count - 1.0) * is_any(ended, [n]) for n, count in weighted.items())
            weight = weight * ops.where(is_any(kind, ["end"]) > 0, factor, 1.0)
        return weight

    def get_config(self):
        return {
            **super().get_config(),
            "modalities": self.modalities,
            **self.options,
            "modality_weights": self.modality_weights,
            "step_weights": self.step_weights,
        }


def _weights(weights, known, what):
    weights = {name: float(value) for name, value in (weights or {}).items()}
    for name in weights:
        if name not in known:
            raise ValueError(
                f"weights: unknown {what} {name!r}{did_you_mean(name, known)}; "
                f"known: {', '.join(known)}"
            )
        if not 0 <= weights[name] < np.inf:
            raise ValueError(
                f"weights: expected {what} {name!r} at least 0, received {weights[name]}"
            )
    return weights


def loss_for(config):
    """Returns the `TokenCrossEntropy` of a config, with its weights."""
    options = decoding(config)
    weights = dataclasses.asdict(config.loss.modality)
    return TokenCrossEntropy(
        **options,
        modality_weights={name: weights.get(name, 1.0) for name in options["modalities"]},
        step_weights=dataclasses.asdict(config.loss.step),
    )


@keras.saving.register_keras_serializable(package="mdnn")
class TokenNLL(keras.layers.Layer):
    """Wraps `token_nll` in a layer, so that it is compiled as part of a model.

    Args:
        modalities: names of the heads' modalities, in their order.
        table, places, base, digits, subwords: see `ModalityHeads`.

    Call arguments:
        targets: int tokens `[batch, positions, 8]`.
        scores: `[batch, positions, classes]`.

    Output shape:
        float32 `[batch, positions]`.
    """

    def __init__(
        self, modalities, table="bytes", places=False, base=32, digits=6, subwords=0, **kwargs
    ):
        # Keep the dtype of the scores under every dtype policy.
        super().__init__(autocast=False, **kwargs)
        self.modalities = list(modalities)
        self.options = {
            "table": table,
            "places": bool(places),
            "base": int(base),
            "digits": int(digits),
            "subwords": int(subwords),
        }

    def call(self, targets, scores):
        return token_nll(targets, scores, self.modalities, **self.options)[0]

    def get_config(self):
        return {**super().get_config(), "modalities": self.modalities, **self.options}
