"""Networks with an identity: which numbers it has, and the weights that they make."""

import dataclasses
import tomllib

import keras
import numpy as np
from keras import ops

from mdnn.errors import MdnnError
from mdnn.identity.identity_file import SLOTS, Identity, fingerprint_of, read_identity
from mdnn.models.blocks.feed_forward import FeedForwardBlock, LinearBlock
from mdnn.models.blocks.fold import RowBottleneck
from mdnn.models.blocks.mixing_block import MixingBlock
from mdnn.models.builder import build
from mdnn.recently_used import recently_used

MAX_RUNS = 4
"""Most runs with identities that a run keeps; each has a network of its own."""


def dense_pair(block):
    """Returns the dense layers of a block that an identity changes.

    Args:
        block: `mdnn.models.blocks.residual_block.ResidualBlock`.

    Returns:
        Pair: the layer whose outputs get an offset, before any activation; and the one whose inputs
        get a gain. `None` for a block without dense layers.
    """
    if isinstance(block, LinearBlock):
        return block.dense, block.dense
    if isinstance(block, (FeedForwardBlock, RowBottleneck)):
        return block.dense_in, block.dense_out
    if isinstance(block, MixingBlock) and block.project:
        return block.dense_in, block.dense_out
    return None


def specification(network, kind, rank=0, slots=0):
    """Returns the numbers of an identity of a network.

    Args:
        network: `mdnn.models.network.Network`.
        kind: `"offset"` or `"lora"`.
        rank: int, the rank of `"lora"`.
        slots: int, number of learned slots at the context's start.

    Returns:
        Dict from names to pairs of a shape and the name of a Keras initializer.

    Raises:
        MdnnError: no block has dense layers, or a rank that is no smaller than a kernel.
    """
    found = {}
    for block in network.blocks:
        pair = dense_pair(block)
        if pair is None:
            continue
        if kind == "offset":
            found[f"{block.name}.offset"] = (pair[0].units,), "zeros"
            found[f"{block.name}.gain"] = (pair[1].kernel.shape[0],), "ones"
            continue
        for dense in dict.fromkeys(pair):
            n, m = dense.kernel.shape
            if not 1 <= rank < min(n, m):
                raise MdnnError(
                    f"lora: expected a rank from 1 to {min(n, m) - 1} for {block.name} "
                    f"({n} x {m}), received {rank}"
                )
            # As in `keras.layers.Dense.enable_lora`, with alpha = rank.
            found[f"{block.name}.{dense.name}.a"] = (n, rank), "he_uniform"
            found[f"{block.name}.{dense.name}.b"] = (rank, m), "zeros"
    if not found:
        raise MdnnError("this network has no dense layers in its blocks that could be adapted")
    if slots:
        found[SLOTS] = (slots, network.width), "zeros"
    return found


def adapted_config(config, kind, slots=0):
    """Returns the config of a network with an identity: with biases where it has offsets.

    Args:
        config: `mdnn.Config` of the network.
        kind: `"offset"` or `"lora"`, see `mdnn.identity.identity_file`.
        slots: int, learned slots of the identity.

    Raises:
        MdnnError: slots that such a network cannot have.
    """
    layers, context = config.backbone.layer, config.context
    if kind == "offset":
        layers = tuple(dataclasses.replace(layer, bias=True) for layer in layers)
    if slots and context.slots:
        raise MdnnError(
            f"slots: expected a network without learned slots, this one has {context.slots}"
        )
    if slots:
        context = dataclasses.replace(context, slots=slots)
    backbone = dataclasses.replace(config.backbone, layer=layers)
    new = dataclasses.replace(config, backbone=backbone, context=context)
    return config.remade(tomllib.loads(new.to_toml()))


def adapted_network(run, kind, slots=0):
    """Returns a network that computes the same as a run's, with room for an identity.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        kind, slots: see `Identity`.

    Returns:
        `mdnn.models.network.Network` of `adapted_config`; its new biases and slots are zero.
    """
    network = build(adapted_config(run.config, kind, slots), run.words)
    values = {weight.path: weight for weight in run.unpacked.weights}
    for weight in network.weights:
        if weight.path in values:
            weight.assign(ops.convert_to_numpy(values[weight.path]))
        else:
            weight.assign(np.zeros(weight.shape, "float32"))
    return network


def adapted_weights(network, kind, numbers):
    """Returns the weights that an identity changes.

    Args:
        network: result of `adapted_network`.
        kind: see `Identity`.
        numbers: dict from names as in `specification` to tensors.

    Returns:
        List of pairs of a variable of the network and the tensor to use in its place.
    """
    pairs = []
    if SLOTS in numbers:
        pairs.append((network.embedding.slot_vectors, numbers[SLOTS]))
    for block in network.blocks:
        pair = dense_pair(block)
        if pair is None:
            continue
        if kind == "offset":
            first, last = pair
            offset, gain = (numbers[f"{block.name}.{name}"] for name in ("offset", "gain"))
            pairs.append((first.bias, first.bias.value + offset))
            pairs.append((last._kernel, last._kernel.value * gain[:, None]))
            continue
        for dense in dict.fromkeys(pair):
            a, b = (numbers[f"{block.name}.{dense.name}.{name}"] for name in "ab")
            pairs.append((dense._kernel, dense._kernel.value + ops.matmul(a, b)))
    return pairs


def with_identity(run, identity):
    """Returns a run whose network has an identity.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        identity: a file that `mdnn adapt` made, or an `Identity`; `None` for the run as it is.

    Returns:
        `mdnn.runs.run_folder.Run`; the same object while the file is unchanged.

    Raises:
        MdnnError: no identity, or one of another network.
    """
    if identity is None:
        return run
    identity, key = read_identity(identity), identity
    cache = run.cache.setdefault("identity_runs", {})
    # A file may be replaced, and a network in memory may be trained.
    state = str(key), fingerprint_of(run), identity.network, digest(identity)

    def make():
        check_belongs(run, identity, key)
        network = adapted_network(run, identity.kind, identity.slots)
        for variable, value in adapted_weights(network, identity.kind, identity.arrays):
            variable.assign(ops.convert_to_numpy(value))
        return run.holding(network, network.config)

    return recently_used(cache, state, make, MAX_RUNS)


def digest(identity):
    """Returns a number that differs between identities of different numbers."""
    return hash(tuple(array.tobytes() for _, array in sorted(identity.arrays.items())))


def check_belongs(run, identity, name="the identity"):
    """Refuses an identity of another network.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        identity: `Identity`.
        name: its file, for errors.
    """
    where = "this network" if run.path is None else f"the network of {run.path}"
    name = "the identity" if isinstance(name, Identity) else name
    if identity.network != fingerprint_of(run):
        raise MdnnError(
            f"{name} belongs to another network ({identity.network[:8]}) than {where} "
            f"({fingerprint_of(run)[:8]}); a network that was trained further, quantized or "
            "narrowed since counts as another one"
        )
    arrays = identity.arrays
    ranks = [array.shape[-1] for key, array in arrays.items() if key.endswith(".a") and array.ndim]
    rank = min(ranks, default=1)
    wanted = specification(run.unpacked, identity.kind, rank, identity.slots)
    if {key: array.shape for key, array in arrays.items()} != {
        key: shape for key, (shape, _) in wanted.items()
    }:
        raise MdnnError(f"{name}: its numbers do not fit {where}")


class IdentityNumbers(keras.layers.Layer):
    """Holds the numbers of an identity as trainable variables.

    Args:
        specification: result of `specification`.
        seed: int, for those that start at random.
    """

    def __init__(self, specification, seed=0):
        super().__init__(name="identity", dtype="float32")
        self.numbers = {}
        for number, (name, (shape, start)) in enumerate(specification.items()):
            if start == "he_uniform":
                start = keras.initializers.HeUniform(seed=seed + number)
            self.numbers[name] = self.add_weight(name=name, shape=shape, initializer=start)
        self.built = True

    def start(self, name, array):
        """Sets what the numbers of a name start with."""
        self.numbers[name].assign(array)

    def values(self):
        """Returns the numbers as tensors, a dict."""
        return {name: variable.value for name, variable in self.numbers.items()}

    def arrays(self):
        """Returns the numbers as arrays, a dict."""
        return {name: ops.convert_to_numpy(v) for name, v in self.numbers.items()}
