"""What any layer must do, whatever it computes.

Each check takes a `Case` and a folder for files; `CHECKS` holds them all, to parametrize a test.
"""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
from backends import JIT, run, to_numpy
from keras import tree


@dataclass
class Case:
    """One configuration of a layer, with inputs that it takes.

    Args:
        make: Callable that makes a new layer; passes keyword arguments on to its constructor
            (`functools.partial(Layer, ...)`).
        shape: Shape of one example, without the batch.
        dtype: Dtype of the input.
        classes: Integers are drawn from `0 .. classes - 1`.
        more: Dict from the name of a further argument of `call` to its `(shape, dtype)`.
        call: Dict of arguments of `call` that are not tensors.
        inputs: Callable from a number of examples to the list of input arrays (the first, then
            `more` in order), where random ones will not do.
        float_dtype: Dtype of float outputs, where it is not the layer's compute dtype.
        unused: Names of weights that `fit` need not change.
        only_start: Names of arguments that set start values alone, and so are not in the config.
    """

    make: Callable
    shape: tuple
    dtype: str = "float32"
    classes: int = 4
    more: dict = field(default_factory=dict)
    call: dict = field(default_factory=dict)
    inputs: Callable | None = None
    float_dtype: str | None = None
    unused: tuple = ()
    only_start: tuple = ()

    def specs(self):
        """`(shape, dtype)` of each tensor argument."""
        return [(self.shape, self.dtype), *self.more.values()]

    def arrays(self, batch, seed=0):
        """Inputs of `batch` examples; fewer are the first of more."""
        if self.inputs is not None:
            return [np.asarray(array) for array in self.inputs(batch)]
        rng = np.random.default_rng(seed)
        result = []
        for shape, dtype in self.specs():
            if "float" in dtype:
                array = rng.normal(size=(5, *shape))
            else:
                array = rng.integers(self.classes, size=(5, *shape))
            result.append(array[:batch].astype(dtype))
        return result

    def __call__(self, layer, arrays, **call):
        """Calls the layer on symbols, tensors or arrays."""
        more = dict(zip(self.more, arrays[1:], strict=True))
        return layer(arrays[0], **more, **{**self.call, **call})

    def tensors(self, layer, arrays):
        """What the layer makes of arrays."""
        return run(lambda *a: self(layer, list(a)), *arrays)

    def outputs(self, layer, arrays):
        """What the layer makes of arrays: a flat list of numpy arrays."""
        return [to_numpy(y) for y in tree.flatten(self.tensors(layer, arrays))]

    def layer(self):
        """The layer of this case, for checks that leave it as it is: made once."""
        if "made" not in vars(self):
            vars(self)["made"] = self.new_layer()
        return vars(self)["made"]

    def new_layer(self, **kwargs):
        """A new layer, called on symbolic inputs, whose weights are neither zero nor equal."""
        layer = self.make(**kwargs)
        self(layer, self.symbols())
        rng = np.random.default_rng(7)
        for weight in layer.weights:
            if "float" in weight.dtype:
                weight.assign(rng.normal(size=weight.shape) / 2)
        return layer

    def symbols(self):
        """`keras.Input`s of an unknown number of examples."""
        return [keras.Input(shape, dtype=dtype) for shape, dtype in self.specs()]

    def model(self, layer):
        """A functional model of the layer alone."""
        symbols = self.symbols()
        return keras.Model(alone(symbols), self(layer, symbols))

    def model_outputs(self, model, arrays):
        """What a model of the layer makes of arrays: a flat list of numpy arrays."""
        return [to_numpy(y) for y in tree.flatten(run(lambda *a: model(alone(list(a))), *arrays))]


def alone(items):
    """The item of a list of one; a longer list as it is."""
    return items[0] if len(items) == 1 else items


def assert_equal(actual, expected):
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-6)


def shapes_of(structure):
    return [tuple(tensor.shape) for tensor in tree.flatten(structure)]


def dtypes_of(structure):
    return [keras.backend.standardize_dtype(t.dtype) for t in tree.flatten(structure)]


def check_config(case, path):
    """The config holds every argument, survives JSON, and makes an equal layer."""
    layer = case.layer()
    cls = type(layer)
    assert keras.saving.get_registered_name(cls) == f"mdnn>{cls.__name__}"
    config = layer.get_config()
    arguments = [
        p.name
        for p in inspect.signature(cls.__init__).parameters.values()
        if p.name != "self" and p.kind is not p.VAR_KEYWORD
    ]
    assert not set(arguments) - set(config) - set(case.only_start)
    revived = cls.from_config(json.loads(json.dumps(config)))
    assert revived.get_config() == config
    case(revived, case.symbols())
    revived.set_weights(layer.get_weights())
    arrays = case.arrays(2)
    assert_equal(case.outputs(revived, arrays), case.outputs(layer, arrays))
    serialized = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    assert keras.saving.deserialize_keras_object(serialized).get_config() == config


def check_build(case, path):
    """`build` alone makes all weights, from a shape without a number of examples."""
    called, built = case.layer(), case.make()
    shapes = [(None, *shape) for shape, _ in case.specs()]
    # Keras hands `build` one shape, or one per tensor argument if it asks for them.
    takes = len(inspect.signature(built.build).parameters)
    built.build(*shapes[:takes])
    assert built.built

    def weights(layer):
        return [(w.path.split("/", 1)[-1], tuple(w.shape), w.dtype) for w in layer.weights]

    expected = weights(called)
    assert weights(built) == expected
    assert len({name for name, _, _ in expected}) == len(expected)
    case.outputs(built, case.arrays(2))
    assert weights(built) == expected


def check_shapes(case, path):
    """Symbolic, computed and real shapes and dtypes agree."""
    layer = case.layer()
    symbolic = case(layer, case.symbols())
    arrays = case.arrays(2)
    real = case.tensors(layer, arrays)
    expected = shapes_of(real)
    assert [(2, *shape[1:]) for shape in shapes_of(symbolic)] == expected
    assert all(shape[0] is None for shape in shapes_of(symbolic))
    assert dtypes_of(symbolic) == dtypes_of(real)
    takes = len(inspect.signature(layer.compute_output_shape).parameters)
    computed = layer.compute_output_shape(*[a.shape for a in arrays][:takes])
    computed = computed if isinstance(real, (list, tuple, dict)) else [computed]
    computed = list(computed.values()) if isinstance(computed, dict) else computed
    assert [tuple(shape) for shape in computed] == expected


def check_file(case, path):
    """A functional model comes back from a `.keras` file, the layer's class and config with it."""
    layer = case.layer()
    model = case.model(layer)
    model.save(path / "model.keras")
    loaded = keras.saving.load_model(path / "model.keras")
    arrays = case.arrays(2)
    assert_equal(case.model_outputs(loaded, arrays), case.model_outputs(model, arrays))
    assert type(loaded.get_layer(layer.name)) is type(layer)
    assert loaded.get_layer(layer.name).get_config() == layer.get_config()


def check_export(case, path):
    """The exported SavedModel gives the same outputs, for any number of examples.

    On TensorFlow alone: from JAX, Keras exports through TensorFlow's converter.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    model = case.model(case.layer())
    model.export(path / "saved", verbose=False)
    loaded = tf.saved_model.load(path / "saved")
    for batch in (1, 3):
        arrays = case.arrays(batch)
        tensors = [tf.constant(array) for array in arrays]
        served = [to_numpy(y) for y in tree.flatten(loaded.serve(alone(tensors)))]
        assert_equal(served, case.model_outputs(model, arrays))


def check_half_precision(case, path):
    """Computes in half precision, keeps float32 weights, and stays near the exact result."""
    arrays = case.arrays(2)
    exact = case.outputs(case.layer(), arrays)
    for policy, tolerance in (("mixed_float16", 0.02), ("mixed_bfloat16", 0.1)):
        layer = case.new_layer(dtype=policy)
        assert all(w.dtype == "float32" for w in layer.weights if "float" in w.dtype)
        expected = case.float_dtype or policy.removeprefix("mixed_")
        symbolic = case(layer, case.symbols())
        real = case.tensors(layer, arrays)
        assert dtypes_of(symbolic) == dtypes_of(real)
        assert all(dtype == expected for dtype in dtypes_of(real) if "float" in dtype)
        for y, e in zip(tree.flatten(real), exact, strict=True):
            scale = max(np.abs(e).max(), 1)
            np.testing.assert_allclose(to_numpy(y) / scale, e / scale, atol=tolerance)


def check_fit(case, path):
    """One step of `fit`, compiled: a finite loss, and a change in every trainable weight."""
    layer = case.new_layer()
    symbols = case.symbols()
    y = [
        keras.layers.Flatten()(y)
        for y in tree.flatten(case(layer, symbols))
        if "float" in keras.backend.standardize_dtype(y.dtype)
    ]
    # A dense on top, so that layers without floats or weights can take a step, too.
    y = [*y, *(keras.layers.Flatten(dtype="float32")(s) for s in symbols)]
    model = keras.Model(alone(symbols), keras.layers.Dense(3)(keras.layers.Concatenate()(y)))
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=JIT)
    before = [np.array(w) for w in layer.get_weights()]
    trained = [any(w is t for t in layer.trainable_weights) for w in layer.weights]
    arrays = case.arrays(4)
    history = model.fit(alone(arrays), np.ones((4, 3), "float32"), batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for weight, old, trains in zip(layer.weights, before, trained, strict=True):
        new = to_numpy(weight)
        assert np.isfinite(new).all()
        if weight.name not in case.unused:
            assert trains == (new != old).any(), weight.path


def check_batch(case, path):
    """A model with an unknown number of examples takes 2 and 3, each example by itself."""
    model = case.model(case.layer())
    two = case.model_outputs(model, case.arrays(2))
    three = case.model_outputs(model, case.arrays(3))
    assert [len(y) for y in three] == [3] * len(three)
    assert_equal([y[:2] for y in three], two)


CHECKS = (
    check_config,
    check_build,
    check_shapes,
    check_file,
    check_export,
    check_half_precision,
    check_fit,
    check_batch,
)
