"""One vector per slot in, the scores of its unit out, decided step by step."""

import keras
from keras import ops

from mdnn.layers.initializer_copies import initializer_copy
from mdnn.layers.modality_embedding import check_modalities, column
from mdnn.tokens.units import WIDTH, modality


def decoding_steps(modalities):
    """What a slot's unit is decided by, in order.

    First the modality, where there is more than one; then the bytes of each modality's units.

    Args:
        modalities: names of modalities.

    Returns:
        List of `(name of the step, column of the token row, number of classes, modality or
        None)`. The classes of the modality step are the modalities in the order given.
    """
    modalities = [modality(name) for name in modalities]
    steps = []
    if len(modalities) > 1:
        steps.append(("modality", "modality", len(modalities), None))
    for kind in modalities:
        for k, classes in enumerate(kind.bytes):
            steps.append((f"{kind.name}_byte_{k + 1}", f"byte_{k + 1}", classes, kind))
    return steps


@keras.saving.register_keras_serializable(package="mdnn")
class ModalityHeads(keras.layers.Layer):
    """Scores of every step of a slot's unit: which modality, then its bytes one after another.

    Each byte is conditioned on the bytes before it: the slot's vector is multiplied by
    `1 + (a row for each earlier byte)` before the byte's own dense head, so the likelihood over
    all units is exact by the chain rule, with a few hundred classes instead of a million.

    Args:
        modalities: names of the modalities that can be answered in.
        kernel_initializer: initializer of the heads.
        gate_initializer: initializer of the rows that condition a byte on earlier ones.

    Input shape:
        `[batch, slots, width]`, and optionally `targets`: integer tokens `[batch, slots, 8]`,
        the units whose likelihood is asked for.

    Output shape:
        `[batch, slots, classes]`, float32 scores (logits) of all steps side by side in the
        order of `decoding_steps(modalities)`. Bytes are conditioned on the earlier bytes of
        `targets`; without `targets`, on the likeliest earlier bytes.
    """

    def __init__(self, modalities=("text",), kernel_initializer=None, gate_initializer=None, **kw):
        super().__init__(**kw)
        self.modalities = check_modalities(modalities)
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.RandomNormal(stddev=0.02)
        )
        self.gate_initializer = keras.initializers.get(gate_initializer or "zeros")
        self.steps = decoding_steps(self.modalities)

    def build(self, hidden_shape, targets_shape=None):
        width = hidden_shape[-1]
        self.kernels, self.biases, self.gates = {}, {}, {}
        for name, _, classes, kind in self.steps:
            self.kernels[name] = self.add_weight(
                name=f"{name}_kernel",
                shape=(width, classes),
                initializer=initializer_copy(self.kernel_initializer, len(self.weights)),
            )
            self.biases[name] = self.add_weight(
                name=f"{name}_bias", shape=(classes,), initializer="zeros"
            )
            earlier = self._earlier(name, kind)
            self.gates[name] = [
                self.add_weight(
                    name=f"{name}_gate_{k + 1}",
                    shape=(rows, width),
                    initializer=initializer_copy(self.gate_initializer, len(self.weights)),
                )
                for k, rows in enumerate(earlier)
            ]

    def _earlier(self, name, kind):
        """Numbers of classes of the bytes that come before a step's own."""
        return () if kind is None else kind.bytes[: int(name.rsplit("_", 1)[1]) - 1]

    def call(self, hidden, targets=None):
        if targets is not None and targets.shape[-1] != WIDTH:
            raise ValueError(
                f"{self.name} takes targets [batch, slots, {WIDTH}], received {targets.shape}"
            )
        scores = []
        known = None if targets is None else ops.cast(targets, "int32")
        chosen = {}
        for name, where, _, kind in self.steps:
            earlier = chosen.setdefault(kind.name if kind else None, [])
            score = self._score(name, hidden, earlier)
            scores.append(score)
            earlier.append(ops.argmax(score, axis=-1) if known is None else column(known, where))
        return ops.concatenate(scores, axis=-1)

    def _score(self, name, hidden, earlier):
        for table, byte in zip(self.gates[name], earlier, strict=False):
            byte = ops.minimum(byte, table.shape[0] - 1)
            hidden = hidden * (1.0 + ops.take(table, byte, axis=0))
        score = ops.matmul(hidden, self.kernels[name]) + self.biases[name]
        return ops.cast(score, "float32")

    def decode(self, hidden, choose):
        """Decides units step by step.

        Args:
            hidden: `[..., width]`.
            choose: function `(scores [..., classes], number of the step) -> int32 [...]`.

        Returns:
            int32 `[..., 4]`: modality, byte_1, byte_2, byte_3 (0 where the modality has fewer).
        """
        number = 0
        shape = ops.shape(hidden)[:-1]
        kinds = [modality(name) for name in self.modalities]
        index = ops.full(shape, kinds[0].index, dtype="int32")
        if len(kinds) > 1:
            place = choose(self._score("modality", hidden, []), number)
            index = ops.take(ops.convert_to_tensor([k.index for k in kinds], "int32"), place)
            number += 1
        unit = [ops.zeros(shape, "int32") for _ in range(3)]
        for kind in kinds:
            earlier = []
            for k in range(len(kind.bytes)):
                score = self._score(f"{kind.name}_byte_{k + 1}", hidden, earlier)
                earlier.append(ops.cast(choose(score, number + k), "int32"))
            for k, byte in enumerate(earlier):
                unit[k] = ops.where(ops.equal(index, kind.index), byte, unit[k])
        return ops.stack([index, *unit], axis=-1)

    def operations(self, input_shape):
        """Multiply-adds for one example."""
        _, slots, width = input_shape
        return slots * width * sum(classes for _, _, classes, _ in self.steps)

    def compute_output_shape(self, hidden_shape, targets_shape=None):
        return (*hidden_shape[:-1], sum(classes for _, _, classes, _ in self.steps))

    def compute_output_spec(self, hidden, targets=None):
        return keras.KerasTensor(self.compute_output_shape(hidden.shape), "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "modalities": self.modalities,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "gate_initializer": keras.initializers.serialize(self.gate_initializer),
        }
