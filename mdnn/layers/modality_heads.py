"""One vector per position in, the scores of its unit out, decided step by step."""

import keras
import numpy as np
from keras import ops

from mdnn.layers.decoding_steps import (
    LARGEST,
    bit_channels,
    check_modalities,
    check_table,
    decoding_steps,
    number_bits,
)
from mdnn.layers.fused_ops import sparse_cross_entropy
from mdnn.layers.initializers import initializer_copy
from mdnn.layers.weight_rules import RuledLayer
from mdnn.tokens.features import COLUMNS, WIDTH, modality


@keras.saving.register_keras_serializable(package="mdnn")
class ModalityHeads(RuledLayer):
    """Scores of every step of a position's unit: its modality, its bytes one after another, its
    place.

    The paper's multi step output decoding. Each byte is conditioned on the bytes before it: the
    position's vector is multiplied by `1 + (a row for each earlier byte)` before the byte's own
    dense head, so the likelihood over all units is exact by the chain rule, with a few hundred
    classes instead of a million. The digits of a coordinate are conditioned on its higher ones in
    the same way.

    Args:
        modalities: names of the modalities that can be answered in, `"end"` among them where a
            context's end is answered.
        table: `"bytes"`; `"full"` for the paper's own heads, one class per code point and per
            16-bit sample; `"bits"` for no head at all: the position's first channels are the scores
            of the unit's bits, in the order in which `ModalityEmbedding` takes them.
        places: whether the unit's place is decided, too.
        base: int, base of the digits of places.
        digits: int, number of digits; places count modulo `base ** digits`.
        kernel_initializer: initializer of the heads.
        gate_initializer: initializer of the rows that condition a step on earlier ones.

    Input shape:
        `[batch, positions, width]`, and optionally `targets`: integer tokens `[batch, positions,
        8]`, the units whose likelihood is asked for.

    Output shape:
        `[batch, positions, classes]`, float32 scores (logits) of all steps side by side in the
        order of `decoding_steps(modalities, table, places, base, digits)`; of a bit the scores
        0 and its channel. Steps are conditioned on the earlier ones of `targets`; without
        `targets`, on the likeliest earlier ones.

    Raises:
        ValueError: modalities or a table that there are not, `"blank"`, which is asked for and
            never answered, nothing to decide; for `"bits"` a width of fewer channels than bits.
    """

    def __init__(
        self,
        modalities=("text",),
        table="bytes",
        places=False,
        base=32,
        digits=6,
        kernel_initializer=None,
        gate_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.modalities = check_modalities(modalities)
        if "blank" in self.modalities:
            raise ValueError(f"a blank is never an answer, received modalities={self.modalities}")
        self.table = check_table(table)
        self.places = bool(places)
        self.base = int(base)
        self.digits = int(digits)
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.RandomNormal(stddev=0.02)
        )
        self.gate_initializer = keras.initializers.get(gate_initializer or "zeros")
        self.steps = decoding_steps(
            self.modalities, self.table, self.places, self.base, self.digits
        )
        if not self.steps:
            raise ValueError(f"there is nothing to decide in modalities={self.modalities}")
        # Bits are chosen together where they make one number, as the other tables' steps.
        self._chosen = self.steps
        if self.table == "bits":
            self._channels = bit_channels(self.places, False, self.base, self.digits)
            bits = number_bits(self.base, self.digits)
            self._chosen = decoding_steps(self.modalities, "bytes", self.places, 2, bits)

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
        for step in self.steps:
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
        if targets is not None and targets.shape[-1] != WIDTH:
            raise ValueError(
                f"{self.name} takes targets [batch, positions, {WIDTH}], received "
                f"{tuple(targets.shape)}"
            )
        if self.table == "bits":
            ones = ops.cast(hidden[..., : len(self._channels)], "float32")
            pairs = ops.stack([ops.zeros_like(ones), ones], axis=-1)
            return ops.reshape(pairs, (*ops.shape(ones)[:-1], 2 * len(self._channels)))
        scores = []
        known = None if targets is None else ops.cast(targets, "int32")
        answers = {}
        for step in self.steps:
            score = self._score(step, hidden, answers)
            scores.append(score)
            answers[step.name] = ops.argmax(score, -1) if known is None else step.answer(known)
        return ops.concatenate(scores, axis=-1)

    def _score(self, step, hidden, answers):
        """Scores of a step `[..., classes]`, given the classes of earlier ones by name."""
        if self.table == "bits":
            return self._bit_score(step, hidden)
        for table, earlier in zip(self.gates[step.name], step.given, strict=True):
            rows = ops.cast(ops.take(table, answers[earlier], axis=0), hidden.dtype)
            hidden = hidden * (1.0 + rows)
        score = ops.matmul(hidden, ops.cast(self.kernels[step.name], hidden.dtype))
        return ops.cast(score, "float32") + ops.cast(self.biases[step.name], "float32")

    def _bit_score(self, step, hidden):
        """Scores of the numbers of a step: of each the sum of the scores of its bits that are 1.

        Bits are independent, so the softmax of these is the bits' product.
        """
        places = [k for k, (where, _) in enumerate(self._channels) if where == step.column]
        first, last = places[0], places[-1] + 1
        numbers = np.arange(step.classes) if step.values is None else np.array(step.values)
        numbers = numbers * step.divisor
        bits = np.array([bit for _, bit in self._channels[first:last]])
        patterns = (numbers[None] >> bits[:, None] & 1).astype("float32")
        return ops.matmul(ops.cast(hidden[..., first:last], "float32"), patterns)

    def nll(self, name, hidden, targets, step_weights=None):
        """Negative log-likelihood of units of one modality.

        Args:
            name: the modality's name.
            hidden: `[n, width]`.
            targets: int32 `[n, 8]`, the units: token rows of this modality.
            step_weights: dict from parts of a unit to what their steps count (see
                `mdnn.models.loss.token_nll`); `None`: 1 each.

        Returns:
            float32 `[n]`.
        """
        weights, answers, total = step_weights or {}, {}, ops.zeros_like(hidden[:, 0], "float32")
        for step in self._chosen:
            if step.kinds is not None and step.kinds != (name,):
                continue
            answers[step.name] = step.answer(targets)
            weight = weights.get(step.part, 1.0)
            if weight:
                score = self._score(step, hidden, answers)
                total = total + weight * sparse_cross_entropy(score, answers[step.name])
        return total

    def decode(self, hidden, choose, allowed=None, kinds=None):
        """Decides units step by step.

        Args:
            hidden: `[..., width]`.
            choose: function `(scores [..., classes], number of the step) -> integers [...]`.
                Steps of different modalities have the same numbers: one of them counts.
            allowed: bool `[..., number of modalities]`, broadcast, in the order of
                `modalities`: the scores of the others become -1e9. `None`: all. Where there
                is one modality alone, it is not asked.
            kinds: names of the modalities that may be decided for; of the others nothing is
                computed. `None`: all.

        Returns:
            int32 `[..., 8]`, token rows: modality, bytes (0 where the modality has fewer),
            places (0 where they are not decided), item 0.
        """
        hidden = ops.convert_to_tensor(hidden)
        shape = ops.shape(hidden)[:-1]
        names = self.modalities if kinds is None else [n for n in self.modalities if n in kinds]
        if not names:
            raise ValueError(f"{self.name} answers in {self.modalities}, received kinds={kinds}")
        number = 0
        index = ops.full(shape, modality(names[0]).index, dtype="int32")
        if len(names) > 1:
            step, number = self._chosen[0], 1
            score = self._score(step, hidden, {})
            may = np.array([name in names for name in self.modalities])
            if allowed is not None:
                may = ops.logical_and(ops.cast(allowed, "bool"), may)
            if allowed is not None or kinds is not None:
                score = ops.where(may, score, -1e9)
            found = {}
            step.write(found, ops.cast(choose(score, number - 1), "int32"))
            index = found["modality"]
        rows = {name: ops.zeros(shape, "int32") for name in COLUMNS}
        for name in names:
            steps = [step for step in self._chosen if step.kinds == (name,)]
            own = {key: ops.zeros(shape, "int32") for step in steps for key in step.columns}
            answers = {}
            for k, step in enumerate(steps):
                score = self._score(step, hidden, answers)
                answers[step.name] = ops.cast(choose(score, number + k), "int32")
                step.write(own, answers[step.name])
            is_own = ops.equal(index, modality(name).index)
            for key, value in own.items():
                rows[key] = ops.where(is_own, value, rows[key])
        rows["modality"] = index
        # Digits of a base that is no power of two may make a number beyond 32 bits.
        for key in ("place_1", "place_2", "place_3"):
            rows[key] = ops.where(rows[key] < 0, LARGEST, rows[key])
        return ops.stack([rows[key] for key in COLUMNS], axis=-1)

    def operations(self, input_shape):
        """Multiply-adds for one example."""
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
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "gate_initializer": keras.initializers.serialize(self.gate_initializer),
        }
