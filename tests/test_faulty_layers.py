"""Each layer check finds the fault that it is there for."""

import keras
import pytest
from keras import ops
from layer_checks import CHECKS, Case

register = keras.saving.register_keras_serializable(package="mdnn")


@register
class Sound(keras.layers.Layer):
    """`x * scale + power * shift`, with one weight each: passes every check."""

    def __init__(self, power=1, **kwargs):
        super().__init__(**kwargs)
        self.power = power

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],))
        self.shift = self.add_weight(name="shift", shape=(input_shape[-1],))
        self.built = True

    def call(self, x):
        return ops.add(ops.multiply(x, self.scale), self.power * ops.convert_to_tensor(self.shift))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "power": self.power}


class Unregistered(Sound):
    pass


@register
class ForgetsAnArgument(Sound):
    def get_config(self):
        return keras.layers.Layer.get_config(self)


@register
class ForgetsAValue(Sound):
    def get_config(self):
        return {**super().get_config(), "power": 1}


@register
class BuildsInCall(Sound):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],))

    def call(self, x):
        if not hasattr(self, "shift"):
            self.shift = self.add_weight(name="shift", shape=(x.shape[-1],))
        return super().call(x)


@register
class WrongShape(Sound):
    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 1)


@register
class WrongDtype(Sound):
    def call(self, x):
        return ops.cast(super().call(x), "float32")


@register
class UnusedWeight(Sound):
    def call(self, x):
        return ops.multiply(x, self.scale)


@register
class NoGradient(Sound):
    def call(self, x):
        return ops.stop_gradient(super().call(x))


@register
class MixesTheBatch(Sound):
    def call(self, x):
        return super().call(x) + ops.mean(x, axis=0, keepdims=True)


@register
class FixedBatch(Sound):
    def call(self, x):
        return ops.reshape(super().call(x), (2, 3))


@register
class LosesAWeight(Sound):
    def save_own_variables(self, store):
        store["0"] = self.scale

    def load_own_variables(self, store):
        self.scale.assign(store["0"])


# layer, check, what the check must raise
FAULTS = [
    (Unregistered, "check_config", AssertionError),
    (ForgetsAnArgument, "check_config", AssertionError),
    (ForgetsAValue, "check_config", AssertionError),
    (BuildsInCall, "check_build", ValueError),  # Keras' own
    (WrongShape, "check_shapes", AssertionError),
    (WrongDtype, "check_half_precision", AssertionError),
    (UnusedWeight, "check_fit", AssertionError),
    (NoGradient, "check_fit", AssertionError),
    (MixesTheBatch, "check_batch", AssertionError),
    (FixedBatch, "check_batch", Exception),  # the backend's own
    (LosesAWeight, "check_file", AssertionError),
]


def make(cls):
    return Case(lambda **kwargs: cls(power=2, **kwargs), (3,))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_sound_layer_passes(check, tmp_path):
    check(make(Sound), tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Keras, of weights without gradients
@pytest.mark.parametrize(("cls", "name", "error"), FAULTS)
def test_fault_is_found(cls, name, error, tmp_path):
    (check,) = (check for check in CHECKS if check.__name__ == name)
    with pytest.raises(error):
        check(make(cls), tmp_path)


def test_export_is_compared(tmp_path):
    """A layer that computes something else in a graph than eagerly."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the check does nothing on this backend")
    import tensorflow as tf

    @register
    class OtherInAGraph(Sound):
        def call(self, x):
            return super().call(x) * (1 if tf.executing_eagerly() else 2)

    (check,) = (check for check in CHECKS if check.__name__ == "check_export")
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check(make(OtherInAGraph), tmp_path)
