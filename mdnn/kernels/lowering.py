"""Lowers the blocks of a network to the operations of a plan."""

import ctypes

import numpy as np
from keras import ops

from mdnn.activations import Partial, serialize
from mdnn.errors import MdnnError
from mdnn.kernels import structures as c
from mdnn.kernels.matrices import Arrays, Codes
from mdnn.layers.rms_norm import RMSNorm
from mdnn.layers.weight_rules import RuledLayerNormalization
from mdnn.models.blocks.feed_forward import FeedForwardBlock, LinearBlock
from mdnn.models.blocks.mixing_block import MixingBlock


class NotLoweredError(MdnnError):
    """Raised for a network that the native library cannot run; names the block."""


class Lowering:
    """Collects the operations, registers and caches of a plan.

    Args:
        weights: function from a variable of two axes to the argument of `Arrays.matrix`.
        grid: tuple of ints, the context axes.
        width: int, channels of the stream.
        rounded: bool, see `Arrays`.

    Attributes:
        arrays: `Arrays`, the memory that the plan points to.
        sizes: list of ints, values of each register.
        operations: list of `COperation`.
        caches: list of ints, floats of each cache.
    """

    def __init__(self, weights, grid, width, rounded=False):
        self.weights, self.grid, self.width = weights, tuple(grid), width
        self.arrays, self.sizes, self.operations, self.caches = Arrays(rounded), [], [], []
        self._matrices, self._shared, self._free, self._taken = {}, {}, {}, []

    @property
    def columns(self):
        """Positions of a row, an int."""
        return self.grid[-1]

    @property
    def rows(self):
        """Rows of a context, an int."""
        return int(np.prod(self.grid[:-1], dtype="int64"))

    def register(self, size):
        """Allocates a free register of `size` floats; returns its number."""
        size = int(size)
        if self._free.get(size):
            number = self._free[size].pop()
        else:
            self.sizes.append(size)
            number = len(self.sizes) - 1
        self._taken.append(number)
        return number

    def cache(self, floats):
        """Adds a cache of `floats` floats for each text and returns its number."""
        self.caches.append(int(floats))
        return len(self.caches) - 1

    def add(self, kind, dst, src=0, n=None, **fields):
        """Adds an operation; see source/plan.h for its fields.

        Args:
            kind: int, an `OP_` constant of `mdnn.kernels.structures`.
            dst, src: int, registers of the result and the input.
            n: int, number of values; `None` for the size of `dst`.
            **fields: other fields of `COperation`.
        """
        n = self.sizes[dst] if n is None else n
        self.operations.append(c.COperation(kind=kind, dst=dst, src=src, n=n, **fields))

    def dense(self, layer, dst, src, dst_offset=0, src_offset=0):
        """Adds the product of a Keras dense layer.

        Args:
            layer: built dense layer.
            dst, src: int, registers of the result and the input.
            dst_offset, src_offset: int, first value in each register.
        """
        units = layer.units
        bias = layer.bias
        self.add(
            c.OP_DENSE,
            dst,
            src,
            n=units,
            dst_offset=dst_offset,
            src_offset=src_offset,
            extra=self.matrix(layer.kernel),
            vector=None if bias is None else self.arrays.vector(numbers(bias)),
        )

    def matrix(self, variable):
        """Returns the address of the packed matrix of a variable, once for all its uses."""
        key = id(variable)
        if key not in self._matrices:
            packed = self.arrays.matrix(self.weights(variable))
            self._matrices[key] = self.arrays.structure(packed)
        return self._matrices[key]

    def tied(self, table):
        """Returns the `CMatrix` of a table `[rows, width]` that is a head's kernel, too."""
        if id(table) not in self._matrices:
            weight = self.weights(table)
            turned = weight.transposed if isinstance(weight, Codes) else weight.T
            self._matrices[id(table)] = self.arrays.matrix(turned)
        return self._matrices[id(table)]

    def shared(self, key, make):
        """Returns `make()`, cached by key."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def norm(self, layer, dst, src):
        """Adds a norm; `None` copies.

        Args:
            layer: `RMSNorm`, `RuledLayerNormalization` or `None`.
            dst, src: int, registers of the result and the input.

        Raises:
            NotLoweredError: another layer.
        """
        if layer is None:
            self.add(c.OP_COPY, dst, src)
        elif isinstance(layer, RMSNorm):
            scale = self.arrays.vector(numbers(layer.scale))
            self.add(c.OP_NORM, dst, src, alpha=layer.epsilon, extra=scale)
        elif isinstance(layer, RuledLayerNormalization):
            scale, shift = (
                None if each is None else self.arrays.vector(numbers(each))
                for each in (layer.gamma, layer.beta)
            )
            fields = {"alpha": layer.epsilon, "flag": 1, "extra": scale, "vector": shift}
            self.add(c.OP_NORM, dst, src, **fields)
        else:
            raise NotLoweredError(f"{layer.name}: norm {type(layer).__name__}")

    def activate(self, function, where, dst, src, n, **fields):
        """Adds an activation of `n` values; `None` for none.

        Args:
            function: activation, or `None`.
            where: str, the layer, for errors.
            dst, src: int, registers of the result and the input.
            n: int, number of values.
            **fields: other fields of `COperation`.

        Raises:
            NotLoweredError: an activation that the library lacks.
        """
        if function is not None:
            number, count = activation_number(function, where, n)
            fields = {"activation": number, "count": count, **fields}
            self.add(c.OP_ACTIVATE, dst, src, n=n, **fields)

    def gate(self, function, where, dst, u, v, n, **fields):
        """Adds `dst = function(u) * v` of `n` values.

        Args:
            function: activation.
            where: str, the layer, for errors.
            dst, u, v: int, registers.
            n: int, number of values.
            **fields: other fields of `COperation`.

        Raises:
            NotLoweredError: an activation that the library lacks.
        """
        number, count = activation_number(function, where, n)
        fields = {"activation": number, "count": count, **fields}
        self.add(c.OP_GATE, dst, u, n=n, other=v, **fields)

    def block(self, block, stream):
        """Adds a residual block that reads and writes the register `stream`."""
        lower = BLOCKS.get(type(block))
        if lower is None:
            raise NotLoweredError(f"{block.name}: block {type(block).__name__}")
        width, self._taken = self.width, []
        x, y = self.register(width), self.register(width)
        pre = block.norm_layer is not None and block.residual != "post"
        self.norm(block.norm_layer if pre else None, x, stream)
        lower(self, block, y, x)
        if block.residual == "none":
            self.add(c.OP_COPY, stream, y)
        else:
            self.add(c.OP_COMBINE, stream, y, alpha=1.0, beta=1.0)
        if block.norm_layer is not None and block.residual == "post":
            self.norm(block.norm_layer, y, stream)
            self.add(c.OP_COPY, stream, y)
        # The next block uses the registers of this one again.
        for number in self._taken:
            self._free.setdefault(self.sizes[number], []).append(number)


def numbers(variable):
    """Returns a variable or tensor as a float32 array."""
    if hasattr(variable, "as_array"):
        return variable.as_array()
    return np.asarray(ops.convert_to_numpy(ops.cast(variable, "float32")), "float32")


def activation_number(function, where, n):
    """Returns an activation's number and the count of values, out of `n`, that it changes.

    Args:
        function: activation.
        where: str, the layer, for errors.
        n: int, number of values.

    Returns:
        Tuple of two ints.

    Raises:
        NotLoweredError: an activation that the library lacks.
    """
    count = n
    if isinstance(function, Partial):
        count, function = function.activated(n), function.activation
    name = serialize(function)
    if name not in c.ACTIVATIONS:
        raise NotLoweredError(f"{where}: activation {name!r}")
    return c.ACTIVATIONS.index(name), count


def _feed_forward(lowering, block, dst, src):
    width, twice = block.width, 2 if block.gate != "none" else 1
    inner = lowering.register(width * twice)
    lowering.dense(block.dense_in, inner, src)
    last = inner
    if block.gate != "none":
        last = lowering.register(width)
        lowering.gate(
            block.gate_function, block.name, last, inner, inner, width, other_offset=width
        )
    else:
        lowering.activate(block.function, block.name, inner, inner, width)
    lowering.dense(block.dense_out, dst, last)


def _linear(lowering, block, dst, src):
    lowering.dense(block.dense, dst, src)
    lowering.activate(block.function, block.name, dst, dst, lowering.width)


def _mixing(lowering, block, dst, src):
    # Imported late: mixers and blocks are lowered by each other's functions.
    from mdnn.kernels.mixer_lowering import lower_mixer

    width, gate, x, offset = block.mixing_width(lowering.width), None, src, 0
    if block.project:
        gated = block.gate != "none"
        both = lowering.register(width * (2 if gated else 1))
        lowering.dense(block.dense_in, both, src)
        x, gate, offset = both, both if gated else None, width if gated else 0
    for s, mixing in enumerate(block.sets):
        for t in range(block.times):
            total = lowering.register(width)
            for number, (layer, mixer) in enumerate(zip(mixing, block.mixers, strict=True)):
                where = f"{block.name}, mixer {mixer.kind}"
                out = lowering.register(width) if number else total
                lower_mixer(lowering, layer, mixer, out, x, offset, where)
                if number:
                    lowering.add(c.OP_COMBINE, total, out, alpha=1.0, beta=1.0)
            last = s == block.stack - 1 and t == block.times - 1
            if not (last and gate is not None):
                lowering.activate(block.function, block.name, total, total, width)
            x, offset = total, 0
    if gate is not None:
        out = lowering.register(width)
        lowering.gate(block.gate_function, block.name, out, gate, x, width)
        x = out
    if block.project:
        lowering.dense(block.dense_out, dst, x)
    else:
        lowering.add(c.OP_COPY, dst, x)


BLOCKS = {FeedForwardBlock: _feed_forward, LinearBlock: _linear, MixingBlock: _mixing}
"""Functions that lower a kind of block: `(lowering, block, dst, src)`."""


def c_array(kind, items):
    """Returns a ctypes array of structures or numbers."""
    return (kind * max(1, len(items)))(*items)


def address(structure):
    """Returns the address of a ctypes object."""
    return ctypes.addressof(structure)
