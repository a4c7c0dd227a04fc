"""Every registered mixer: causal, streamed as the whole pass, saved, counted, configured."""

import dataclasses
import functools
import json
import tomllib
from functools import partial

import fading_mixer
import keras
import numpy as np
import pytest
from backends import jacobian, to_numpy
from keras import ops
from layer_checks import CHECKS, Case, check_export
from networks import make_config, mix, randomize, text_tokens
from streaming import compiled, position_by_position

from mdnn import MdnnError, build, load_config
from mdnn.config.load import Config
from mdnn.layers.mixing import MIXERS, Mixer, make_mixer, register_mixer
from mdnn.models.blocks.mixing_block import MixingBlock
from mdnn.models.call_options import CallOptions
from mdnn.models.incremental import IncrementalDecoder
from mdnn.models.loss import loss_for
from mdnn.models.thinking.grid_resizing import check_size_free
from mdnn.runs.run_files import write_run
from mdnn.runs.run_folder import open_run

GRIDS = [(5,), (2, 3), (2, 2, 2)]
NEVER_CAUSAL = {"mean"}
PREVIOUS = {"kind": "keys", "heads": 2, "features": 3, "match": "previous"}
FORGETTING = {"kind": "keys", "heads": 2, "features": 3, "forget_gate": True}
VARIANTS = (
    PREVIOUS,
    PREVIOUS | {"write_gate": True},
    FORGETTING,
    FORGETTING | {"match": "previous", "write_gate": True},
)
PUZZLE = {"steps": 1, "objectives": {"autoregressive": 0, "parallel": 1}}


def tables(grid):
    """Small tables of every mixer for a grid: on each axis, and on all where it can."""
    for kind, cls in MIXERS.items():
        for axis in range(1, len(grid) + 1):
            yield {"kind": kind, "axes": [axis], **cls.example}
        if cls.several_axes and len(grid) > 1:
            yield {"kind": kind, **cls.example}
    for table in VARIANTS:
        # Of two positions one alone is read by a previous key: the other's own.
        for axis in (n for n, size in enumerate(grid, 1) if size > 2):
            yield {"axes": [axis], **table}
        if len(grid) > 1:
            yield table


CASES = [(table, grid) for grid in GRIDS for table in tables(grid)]


def ids(value):
    if isinstance(value, dict):
        return f"{value['kind']} {value.get('axes', 'all')}"
    return "x".join(map(str, value)) if isinstance(value, tuple) else None


def config_of(table, grid):
    """The config of a network of one mixer."""
    train = {} if make_mixer(table).is_causal else {"train": PUZZLE}
    return make_config(mix(table, project=False), grid=grid, width=4, **train)


def test_all_are_here():
    assert {"dense", "attention", "conv", "local", "mean", "fading"} <= set(MIXERS)
    assert {kind for kind, cls in MIXERS.items() if not cls(**cls.example).is_causal} == (
        NEVER_CAUSAL
    )


@pytest.mark.parametrize(("table", "grid"), CASES, ids=ids)
def test_jacobian(table, grid):
    """Causally nothing of a later position; somewhere something of an earlier one."""
    mixer = make_mixer(table)
    layer = mixer.make_layer(len(grid), "mixer")
    layer.build(mixer.layer_shape((None, *grid, 4)))
    randomize(layer)
    x = np.random.default_rng(1).normal(size=(*grid, 4)).astype("float32")
    for causal in (True, False) if mixer.can_be_causal else (False,):
        found = jacobian(lambda x, c=causal: mixer.apply(layer, x, CallOptions(c)), x)
        found = (found.reshape(x.size // 4, 4, -1, 4) != 0).any(axis=(1, 3))
        assert np.tril(found, -1).any()
        assert causal == (not np.triu(found, 1).any()) or kind_has_no_future(mixer)


def kind_has_no_future(mixer):
    """Whether a mixer's weights are of the past alone, so that `causal` changes nothing."""
    return mixer.kind in ("conv", "stored")


@pytest.mark.parametrize("grid", GRIDS[1:], ids=ids)
@pytest.mark.parametrize("kind", [kind for kind in MIXERS if kind not in NEVER_CAUSAL])
def test_streamed_equals_whole(kind, grid):
    branches = [mix(table) for table in tables(grid) if table["kind"] == kind]
    config = make_config(*branches, grid=grid, width=4)
    streamed_equals_whole(randomize(build(config)), int(np.prod(grid)))


@pytest.mark.parametrize("kind", [kind for kind in MIXERS if kind not in NEVER_CAUSAL])
def test_streamed_equals_whole_inside_a_fold(kind):
    slower = (2, 3)
    inner = [
        mix({**table, "groups": 2} if kind == "dense" else table)
        for table in tables(slower)
        if table["kind"] == kind
    ]
    fold = {"kind": "fold", "width": 4, "block": inner}
    config = make_config(fold, mix({"axes": [3]}), grid=(*slower, 2), width=4)
    streamed_equals_whole(randomize(build(config)), 12)


@pytest.mark.parametrize("table", VARIANTS[1:], ids=range(3))
def test_keys_inside_a_fold(table):
    fold = {"kind": "fold", "width": 4, "block": [mix(table)]}
    config = make_config(fold, mix({"axes": [3]}), grid=(2, 3, 2), width=4)
    streamed_equals_whole(randomize(build(config)), 12)


def streamed_equals_whole(network, positions):
    tokens = text_tokens((2, positions))
    whole = ops.convert_to_numpy(network.hidden(tokens, True))
    decoder = compiled(IncrementalDecoder(network))
    for begin, together in ((0, False), (positions // 2 + 1, True)):
        found = position_by_position(decoder, tokens, begin, together)
        np.testing.assert_allclose(found, whole[:, begin:], atol=1e-5 * np.abs(whole).max())
    assert np.abs(whole).max() > 0.1


@pytest.mark.parametrize("kind", MIXERS)
def test_config_round_trip(kind):
    table = {"kind": kind, **MIXERS[kind].example}
    mixer = make_mixer(table)
    assert make_mixer(json.loads(json.dumps(mixer.to_table()))) == mixer
    config = config_of(table, (5,))
    assert config.backbone.layer[0].mixer == (mixer,)
    assert Config.from_dict(tomllib.loads(config.to_toml())) == config
    with pytest.raises(MdnnError, match=f"{kind}: unknown key 'colour'; known: kind, axes"):
        make_mixer({**table, "colour": 3})


@pytest.mark.parametrize("kind", MIXERS)
def test_what_the_config_refuses(kind):
    table = {"kind": kind, **MIXERS[kind].example}
    with pytest.raises(MdnnError, match=r"mixer\.0\.axes: expected numbers from 1 to 1"):
        config_of({**table, "axes": [2]}, (5,))
    with pytest.raises(MdnnError, match=f"unknown key '.*colour' of kind = '{kind}'"):
        make_config(mix({**table, "colour": 3}), grid=(5,))
    if not MIXERS[kind].several_axes:
        with pytest.raises(MdnnError, match=f"{kind} mixes one axis, received"):
            config_of(table, (2, 2))


@pytest.mark.parametrize("check", [c for c in CHECKS if c is not check_export])
@pytest.mark.parametrize("kind", MIXERS)
def test_layer_checks(kind, check, tmp_path):
    check(block_of(kind), tmp_path)


@functools.cache
def block_of(kind):
    return Case(partial(MixingBlock, [{"kind": kind, **MIXERS[kind].example}]), (3, 4))


@pytest.mark.parametrize(("table", "grid"), CASES, ids=ids)
def test_cost(table, grid):
    mixer, shape = make_mixer(table), (None, *grid, 4)
    branch = MixingBlock([table], project=False, norm="none", residual="none", times=3)
    branch.build(shape)
    operations = mixer.operations(branch.sets[0][0], shape)
    assert branch.operations(shape) == 3 * operations
    assert operations > 0 or not branch.weights
    assert branch.values(shape) == 3 * mixer.values(shape) > 0


@pytest.mark.parametrize("kind", MIXERS)
def test_a_run_of_it(kind, tmp_path):
    config = config_of({"kind": kind, **MIXERS[kind].example}, (5,))
    model = randomize(build(config))
    write_run(tmp_path, config, (), model)
    tokens = text_tokens((2, 5))
    again = open_run(tmp_path).model
    one, two = (to_numpy(m({"tokens": tokens, "targets": None})) for m in (model, again))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", MIXERS)
def test_size_free(kind):
    table = {"kind": kind, **MIXERS[kind].example}
    mixer = make_mixer(table)

    def shapes(size):
        layer = mixer.make_layer(1, "mixer")
        layer.build(mixer.layer_shape((None, size, 4)))
        return [tuple(weight.shape) for weight in layer.weights]

    assert mixer.size_free == (shapes(5) == shapes(9))


def test_channels_by_position_are_not_size_free():
    table = {"axes": [-1], "sharing": "separate", "wiring": "full"}
    config = config_of(table, (5,))
    with pytest.raises(MdnnError, match="kind = 'dense' has weights per position"):
        check_size_free(config, "maze-5x5")
    shared = {"axes": [-1], "sharing": "shared", "wiring": "full"}
    check_size_free(config_of(shared, (5,)), "maze-5x5")


def test_a_mixer_of_ones_own_trains_and_streams():
    """`fading_mixer.py` is one file, and all that there is about it."""
    mixing = mix({"kind": "fading", "decay": 0.9}, gate="silu")
    config = make_config(mixing, grid=(4,), width=8)
    model = build(config)
    decay = next(w for w in model.weights if w.path.endswith("decay"))
    np.testing.assert_allclose(to_numpy(decay), 0.9)
    tokens = text_tokens((64, 5))
    batch = {"tokens": tokens[:, :-1], "targets": tokens[:, 1:]}
    model.compile(keras.optimizers.Adam(0.03), loss=loss_for(config), jit_compile=False)
    history = model.fit(batch, batch["targets"], epochs=6, batch_size=16, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert np.abs(to_numpy(decay) - 0.9).max() > 1e-3
    streamed_equals_whole(model, 4)


def test_a_kind_belongs_to_one_class():
    register_mixer(fading_mixer.FadingMixer)
    assert MIXERS["fading"] is fading_mixer.FadingMixer

    @dataclasses.dataclass(frozen=True)
    class Other(Mixer):
        kind: str = "dense"

    with pytest.raises(ValueError, match=r"Expected a new `kind` in .*Other\. Received: 'dense'"):
        register_mixer(Other)
    with pytest.raises(ValueError, match=r"Received: ''"):
        register_mixer(Mixer)
    assert MIXERS["dense"].__name__ == "DenseMixer"


def test_an_unknown_kind(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text("[[backbone.layer]]\n[[backbone.layer.mixer]]\nkind = 'dens'\n")
    with pytest.raises(MdnnError, match=r"mixer\.0\.kind: expected one of .*mean 'dense'"):
        load_config(path)
    with pytest.raises(MdnnError, match=r"kind: expected one of .*; received 'dens'"):
        make_mixer({"kind": "dens"})


def test_keys_that_read_everything_forget_nothing():
    table = {"kind": "keys", "wiring": "full", "forget_gate": True}
    with pytest.raises(MdnnError, match='forget_gate: expected false with wiring = "full"'):
        make_config(mix(table), grid=(2, 3), width=4, train=PUZZLE)
