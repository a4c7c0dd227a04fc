"""Signatures of served functions: dtypes and shapes by name."""

import base64
import dataclasses

from mdnn.tokens.modalities import item_kinds, modality

# TensorFlow's names of dtypes by numpy's (types.proto).
DTYPES = {
    "string": "DT_STRING",
    "bool": "DT_BOOL",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    **{
        f"{sign}int{bits}": f"DT_{sign}int{bits}".upper()
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}


@dataclasses.dataclass(frozen=True)
class Spec:
    """A tensor's dtype and shape.

    Args:
        dtype: numpy's name, or `"string"`.
        shape: tuple of int, `None` for a size that is open; `None` for an open rank.
    """

    dtype: str
    shape: tuple | None

    @property
    def batched(self):
        """Whether the first axis is the batch."""
        return bool(self.shape) and self.shape[0] is None

    def fits(self, shape):
        """Returns whether a shape fits."""
        if self.shape is None:
            return True
        pairs = zip(self.shape, shape, strict=False)
        return len(shape) == len(self.shape) and all(a in (None, b) for a, b in pairs)

    def metadata(self, name):
        """Returns TensorFlow Serving's TensorInfo in JSON."""
        sizes = [-1 if size is None else size for size in self.shape or ()]
        shape = {"dim": [{"size": str(size), "name": ""} for size in sizes]}
        shape["unknown_rank"] = self.shape is None
        return {"dtype": DTYPES.get(self.dtype, "DT_INVALID"), "tensor_shape": shape, "name": name}


@dataclasses.dataclass(frozen=True)
class Signature:
    """A function that is served.

    Args:
        name: its name.
        inputs, outputs: dicts from names to `Spec`s.
        defaults: dict from names of inputs that a request may leave out to strings, their values.
    """

    name: str
    inputs: dict
    outputs: dict
    defaults: dict = dataclasses.field(default_factory=dict)

    def metadata(self):
        """Returns TensorFlow Serving's SignatureDef in JSON."""
        tables = {
            side: {name: spec.metadata(f"{self.name}_{name}:0") for name, spec in specs.items()}
            for side, specs in (("inputs", self.inputs), ("outputs", self.outputs))
        }
        defaults = {name: _string_tensor(value) for name, value in self.defaults.items()}
        return tables | {"method_name": "tensorflow/serving/predict", "defaults": defaults}


def _string_tensor(value):
    """Returns TensorFlow's TensorProto of a string in JSON, in which bytes are base64."""
    data = base64.b64encode(value.encode("utf-8")).decode("ascii")
    shape = {"dim": [], "unknown_rank": False}
    return {"dtype": "DT_STRING", "tensor_shape": shape, "string_val": [data]}


def is_file(name):
    """Returns whether an output holds files.

    TensorFlow Serving would write their bytes into a JSON string, which cannot hold them, unless
    the name ends with `_bytes`.
    """
    forms = (modality(kind) for kind in item_kinds())
    return any(form.key == name and form.served_by and not form.printable for form in forms)
