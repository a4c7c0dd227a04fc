"""Defines `ModalityHeads`: one vector per position to the scores of a token's decoding steps."""

import keras
import numpy as np
from keras import ops

from mdnn.layers.decoding_steps import (
    bit_channels,
    bit_scores,
    check_modalities,
    check_table,
    decoding_steps,
    number_bits,
)
from mdnn.layers.fused_ops import sparse_cross_entropy
from mdnn.layers.initializers import initializer_copy
from mdnn.layers.weight_rules import RuledLayer, get_initializer
from mdnn.tokens.features import MAX_TOKEN_VALUE, NUM_FEATURES, TOKEN_FEATURES
from mdnn.tokens.modalities import modality


@keras.saving.register_keras_serializable(package="mdnn")
class ModalityHeads(RuledLayer):
    """Scores the decoding steps of a token: its modality, then its bytes, then its coordinates.

    Implements the paper's multi-step output decoding. Each byte is conditioned on the bytes before
    it: the position's vector is multiplied by `1 + (a row for each earlier byte)` before the dense
    head of the byte. By the chain rule the likelihood over all tokens is exact, with a few hundred
    classes instead of a million. The digits of a coordinate are conditioned on the higher digits
    in the same way.

    Args:
        modalities: names of the modalities to predict, including `"end"` if end tokens are
            predicted.
        table: `"bytes"`; `"full"` for the paper's heads, with one class per code point and per
            16-bit sample; `"bits"` for no heads: the first channels are the scores of the token's
            bits, in the order of `ModalityEmbedding`.
        places: bool, whether to predict coordinates.
        base: int, base of the coordinates' digits.
        digits: int, number of digits; coordinates are predicted modulo `base ** digits`.
        subwords: int, size of the vocabulary of subwords.
        tied: bool, whether the head of subwords is the embedding's table, given by `tie`.
        kernel_initializer: initializer of the heads.
        gate_initializer: initializer of the rows that condition a step on earlier steps.

    Input shape:
        `[batch, positions, width]`, and optionally `targets`: integer tokens
        `[batch, positions, 8]`.

    Output shape:
        `[batch, positions, classes]`, float32 scores (logits) of all steps, concatenated in the
        order of `decoding_steps(modalities, table, places, base, digits)`; with `"bits"` the
        scores of a bit are 0 and its channel. Steps are conditioned on the classes of `targets` or,
        without `targets`, on the most likely classes of earlier steps.

    Raises:
        ValueError: `modalities` or `table` is unknown, `"blank"` (never a prediction) is
            included, there is no decoding step, or, with `"bits"`, the width is less than the
            number of bits.
    """

    def __init__(
        self,
        modalities=("text",),
        table="bytes",
        places=False,
        base=32,
        digits=6,
        subwords=0,
        tied=False,
        kernel_initializer=None,
        gate_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.modalities = check_modalities(modalities)
        if "blank" in self.modalities:
            raise ValueError(
                f"modalities: 'blank' cannot be predicted, received modalities={self.modalities}"
            )
        self.table = check_table(table)
        self.places = bool(places)
        self.base = int(base)
        self.digits = int(digits)
        self.subwords, self.tied = int(subwords), bool(tied)
        # Tables of the embedding that are kernels, by steps. Not tracked by Keras: the embedding
        # has these weights.
        object.__setattr__(self, "tied_tables", {})
        self.kernel_initializer = get_initializer(
            kernel_initializer or get_initializer("random_normal", stddev=0.02)
        )
        self.gate_initializer = get_initializer(gate_initializer or "zeros")
        self.steps = decoding_steps(
            self.modalities, self.table, self.places, self.base, self.digits, self.subwords
        )
        if not self.steps:
            raise ValueError(f"no decoding step in modalities={self.modalities}")
        # With "bits", the bits of a byte or digit are sampled together, as in the other forms.
        self.chosen_steps = self.steps
        if self.table == "bits":
            self._channels = bit_channels(self.places, False, self.base, self.digits)
            bits = number_bits(self.base, self.digits)
            self.chosen_steps = decoding_steps(self.modalities, "bytes", self.places, 2, bits)

    def tie(self, embedding):
        """Makes the table of subwords of a built `ModalityEmbedding` the head of subwords."""
        (name,) = (name for name in self.modalities if modality(name).sized_by_vocabulary)
        self.tied_tables[self.steps[-1].name] = embedding.byte_tables[name][0]

    def build(self, hidden_shape, targets_shape=None):
        width = hidden_shape[-1]
        self.kernels, self.biases, self.gates = {}, {}, {}
        if self.table == "bits":
            if width < len(self._channels):
                raise ValueError(
                    f"{self.name} needs a channel for each of {len(self._channels)} bits, "
                    f"received shape {tuple(hidden_shape)}"
                )
            return
        classes = {step.name: step.classes for step in self.steps}
        if self.tied != bool(self.tied_tables):
            raise ValueError(f"{self.name}: expected tie() before build() if and only if tied=True")
        for step in self.steps:
            if step.name not in self.tied_tables:
                self.kernels[step.name] = self.add_weight(
                    name=f"{step.name}_kernel",
                    shape=(width, step.classes),
                    initializer=initializer_copy(self.kernel_initializer, len(self.weights)),
                )
            self.biases[step.name] = self.add_weight(
                name=f"{step.name}_bias", shape=(step.classes,), initializer="zeros"
            )
            self.gates[step.name] = [
                self.add_weight(
                    name=f"{step.name}_gate_{k + 1}",
                    shape=(classes[earlier], width),
                    initializer=initializer_copy(self.gate_initializer, len(self.weights)),
                )
                for k, earlier in enumerate(step.given)
            ]

    def call(self, hidden, targets=None):
        if targets is not None and targets.shape[-1] != NUM_FEATURES:
            raise ValueError(
                f"{self.name}: expected targets [batch, positions, {NUM_FEATURES}], received "
                f"{tuple(targets.shape)}"
            )
        if self.table == "bits":
            ones = ops.cast(hidden[..., : len(self._channels)], "float32")
            pairs = ops.stack([ops.zeros_like(ones), ones], axis=-1)
            return ops.reshape(pairs, (*ops.shape(ones)[:-1], 2 * len(self._channels)))
        scores = []
        targets = None if targets is None else ops.cast(targets, "int32")
        answers = {}
        for step in self.steps:
            score = self._score(step, hidden, answers)
            scores.append(score)
            answers[step.name] = ops.argmax(score, -1) if targets is None else step.answer(targets)
        return ops.concatenate(scores, axis=-1)

    def scores_of(self, step, hidden, answers):
        """Returns the scores of a step, `[..., classes]`, given the classes of earlier steps.

        Args:
            step: one of `steps`.
            hidden: `[..., width]`.
            answers: dict from the names of earlier steps to their classes, integers `[...]`.
        """
        return self._score(step, hidden, answers)

    def _score(self, step, hidden, answers):
        """See `scores_of`."""
        if self.table == "bits":
            return bit_scores(step, hidden, self._channels)
        for table, earlier in zip(self.gates[step.name], step.given, strict=True):
            rows = ops.cast(ops.take(table, answers[earlier], axis=0), hidden.dtype)
            hidden = hidden * (1.0 + rows)
        score = self._product(step, hidden)
        return ops.cast(score, "float32") + ops.cast(self.biases[step.name], "float32")

    def _product(self, step, hidden):
        """Returns the product of `hidden` with the kernel of a step, `[..., classes]`."""
        tied = step.name not in self.kernels
        kernel = self.tied_tables[step.name] if tied else self.kernels[step.name]
        # Weights that are held as codes multiply from them (`mdnn.runs.packed_variable`).
        if hasattr(kernel, "product"):
            y = kernel.product(hidden, "last" if tied else "first")
            if y is not None:
                return y
        kernel = ops.cast(kernel, hidden.dtype)
        return ops.matmul(hidden, ops.transpose(kernel) if tied else kernel)

    def nll(self, name, hidden, targets, step_weights=None):
        """Computes the negative log-likelihood of tokens of one modality.

        Args:
            name: str, the modality.
            hidden: float tensor `[n, width]`.
            targets: int32 `[n, 8]`, tokens of this modality.
            step_weights: dict from groups of steps to loss weights (see
                `mdnn.models.loss.token_nll`); `None` for weight 1.

        Returns:
            float32 `[n]`, in nats.
        """
        weights, answers, total = step_weights or {}, {}, ops.zeros_like(hidden[:, 0], "float32")
        for step in self.chosen_steps:
            if step.kinds is not None and step.kinds != (name,):
                continue
            answers[step.name] = step.answer(targets)
            weight = weights.get(step.group, 1.0)
            if weight:
                score = self._score(step, hidden, answers)
                total = total + weight * sparse_cross_entropy(score, answers[step.name])
        return total

    def decode(self, hidden, choose, allowed=None, kinds=None):
        """Samples tokens step by step.

        Args:
            hidden: float tensor `[..., width]`.
            choose: function `(scores [..., classes], step number) -> integers [...]`. Steps of
                different modalities share numbers, since only one modality's steps apply.
            allowed: bool `[..., number of modalities]`, broadcast, in the order of
                `modalities`: scores of the other modalities become -1e9. `None` for all; ignored
                if there is only one modality.
            kinds: names of the modalities that may be predicted; the steps of others are not
                computed. `None` for all.

        Returns:
            int32 `[..., 8]`, tokens: modality, bytes (0 if the modality has fewer), coordinates
            (0 if they are not predicted), item 0.
        """
        hidden = ops.convert_to_tensor(hidden)
        shape = ops.shape(hidden)[:-1]
        names = self.modalities if kinds is None else [n for n in self.modalities if n in kinds]
        if not names:
            raise ValueError(
                f"{self.name}: expected kinds among {self.modalities}, received kinds={kinds}"
            )
        number = 0
        index = ops.full(shape, modality(names[0]).index, dtype="int32")
        if len(names) > 1:
            step, number = self.chosen_steps[0], 1
            score = self._score(step, hidden, {})
            may = np.array([name in names for name in self.modalities])
            if allowed is not None:
                may = ops.logical_and(ops.cast(allowed, "bool"), may)
            if allowed is not None or kinds is not None:
                score = ops.where(may, score, -1e9)
            columns = {}
            step.write(columns, ops.cast(choose(score, number - 1), "int32"))
            index = columns["modality"]
        token = {name: ops.zeros(shape, "int32") for name in TOKEN_FEATURES}
        for name in names:
            steps = [step for step in self.chosen_steps if step.kinds == (name,)]
            columns = {key: ops.zeros(shape, "int32") for step in steps for key in step.columns}
            answers = {}
            for k, step in enumerate(steps):
                score = self._score(step, hidden, answers)
                answers[step.name] = ops.cast(choose(score, number + k), "int32")
                step.write(columns, answers[step.name])
            is_modality = ops.equal(index, modality(name).index)
            for key, value in columns.items():
                token[key] = ops.where(is_modality, value, token[key])
        token["modality"] = index
        # With a base that is not a power of two the digits may overflow 32 bits.
        for key in ("place_1", "place_2", "place_3"):
            token[key] = ops.where(token[key] < 0, MAX_TOKEN_VALUE, token[key])
        return ops.stack([token[key] for key in TOKEN_FEATURES], axis=-1)

    def operations(self, input_shape):
        """Counts the multiply-adds for one example."""
        _, positions, width = input_shape
        if self.table == "bits":
            return 0
        return positions * width * sum(step.classes for step in self.steps)

    def compute_output_shape(self, hidden_shape, targets_shape=None):
        return (*hidden_shape[:-1], sum(step.classes for step in self.steps))

    def compute_output_spec(self, hidden, targets=None):
        return keras.KerasTensor(self.compute_output_shape(hidden.shape), "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "modalities": self.modalities,
            "table": self.table,
            "places": self.places,
            "base": self.base,
            "digits": self.digits,
            "subwords": self.subwords,
            "tied": self.tied,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "gate_initializer": keras.initializers.serialize(self.gate_initializer),
        }
