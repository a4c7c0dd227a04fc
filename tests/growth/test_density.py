"""Networks at a density: slices of a larger one's weights, in every kind of block and mixer."""

import numpy as np
import pytest
from growing import random_network
from networks import text_tokens
from streaming import position_by_position

import mdnn
from mdnn.config.density import inner_widths, narrowed_config
from mdnn.growth.narrowing import at_density, density_slices, narrowed
from mdnn.models.incremental import IncrementalDecoder

HEAD = """
data.source = "python-docs"
train.steps = 1
[context]
grid = [2, 4]
[backbone]
width = 64
depth = 1
"""
GATED = '[[backbone.layer]]\nkind = "mix"\ngate = "silu"\n[[backbone.layer.mixer]]\n'
FEEDFORWARD = '[[backbone.layer]]\nkind = "feedforward"\nwidth = 64\nactivation = "relu"\n'
CASES = {
    "groups": GATED + 'wiring = "causal+shift"\ngroups = 4\n',
    "one group": GATED + "groups = 2\n",
    "separate": GATED + 'sharing = "separate"\n',
    "sequential": GATED + 'execution = "sequential"\nwiring = "causal+local"\nwindow = 1\n',
    "attention": GATED + 'kind = "attention"\naxes = [2]\nheads = 4\n',
    "shared keys": GATED + 'kind = "attention"\naxes = [2]\nheads = 4\nkv_heads = 2\n',
    "conv": GATED + 'kind = "conv"\naxes = [2]\nwindow = 2\n',
    "local": GATED + 'kind = "local"\naxes = [2]\nwindow = 1\ngroups = 4\n',
    "feedforward": '[[backbone.layer]]\nkind = "feedforward"\ngate = "silu"\n',
    "fold": (
        '[[backbone.layer]]\nkind = "fold"\nwidth = 32\n[[backbone.layer.block]]\n'
        'kind = "feedforward"\nactivation = "partial(relu, 0.5)"\n'
    ),
    "times": (
        '[[backbone.layer]]\nkind = "mix"\ntimes = 2\nstack = 2\nactivation = "sort2"\n'
        "[[backbone.layer.mixer]]\ngroups = 4\n"
    ),
}


def config_of(folder, layers, *settings, head=HEAD):
    path = folder / "one.toml"
    path.write_text(head + layers, encoding="utf-8")
    return mdnn.load_config(path, settings)


@pytest.mark.parametrize("case", CASES)
def test_a_narrow_network_holds_slices(case, tmp_path):
    large = random_network(config_of(tmp_path, CASES[case]))
    small = narrowed(large, 0.5)
    widths = [inner_widths(n.config.backbone.layer, n.config) for n in (small, large)]
    assert widths[0] != widths[1]
    assert small.count_params() < large.count_params()
    slices = density_slices(small, large)
    for weight in small.weights:
        one = slices[weight.path]
        values = np.asarray(weight).reshape(-1)
        np.testing.assert_array_equal(values, np.asarray(one.source).reshape(-1)[one.index.ravel()])
        # Different places, so that nothing is counted twice; blocks, not gathered numbers.
        assert len(np.unique(one.index)) == one.index.size
        assert one.runs is not None
        np.testing.assert_array_equal(np.asarray(one.taken(one.source.value)), np.asarray(weight))
    # Its decoding caches are narrow, too.
    tokens = text_tokens((1, 8))
    whole = np.asarray(small.hidden(tokens, causal=True))
    cached = position_by_position(IncrementalDecoder(small), tokens)
    np.testing.assert_allclose(cached, whole, atol=1e-4 * abs(whole).max())


def test_a_narrow_network_leaves_the_others_out(tmp_path):
    """Silencing what the narrow network lacks gives its scores: nothing else was changed."""
    layers = CASES["groups"] + FEEDFORWARD
    large = random_network(config_of(tmp_path, layers, "backbone.layer.1.bias=true"))
    small = narrowed(large, 0.5)
    for block in large.blocks:
        kernel = np.asarray(block.dense_out.kernel).copy()
        kernel[len(kernel) // 2 :] = 0
        block.dense_out.kernel.assign(kernel)
    tokens = text_tokens((2, 8))
    for causal in (True, False):
        scores = [np.asarray(n.scores(tokens, tokens, causal=causal)) for n in (small, large)]
        np.testing.assert_allclose(*scores, atol=1e-4 * abs(scores[1]).max())


def test_inner_widths_of_mix_layers(tmp_path):
    layers = CASES["groups"] + "\n"
    config = config_of(tmp_path, layers, "backbone.layer.0.width=32")
    network = mdnn.build(config)
    assert network.blocks[0].dense_in.kernel.shape == (64, 64)
    assert network.blocks[0].dense_out.kernel.shape == (32, 64)
    with pytest.raises(mdnn.MdnnError, match="project = true"):
        config_of(tmp_path, layers, "backbone.layer.0.width=32", *NO_PROJECT)
    with pytest.raises(mdnn.MdnnError, match=r"mixer.0.groups: expected a divisor of .*width = 30"):
        config_of(tmp_path, layers, "backbone.layer.0.width=30")


NO_PROJECT = ("backbone.layer.0.project=false", 'backbone.layer.0.gate="none"')


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("train.density=[0.5, 0.25, 1.0]",), "ascending up to 1"),
        (("train.density=[0.25, 0.5]",), "ascending up to 1"),
        (("train.density=[1.0]",), "several densities"),
        (("train.density=[0.0, 1.0]",), "at least 0.001|between 0.001"),
        (("train.density=[0.48, 0.5, 1.0]",), "at 0.48 this network has the same widths as at 0.5"),
        (("train.density=[0.5, 1.0]", 'train.method="blind"'), "train.method = 'blind'"),
        (("train.density=[0.5, 1.0]", *NO_PROJECT), "the same widths"),
    ],
)
def test_densities_that_are_refused(settings, message, tmp_path):
    layers = CASES["groups"]
    with pytest.raises(mdnn.MdnnError, match=message):
        config_of(tmp_path, layers, *settings)


def test_random_wiring_over_groups_is_refused(tmp_path):
    layers = GATED + 'groups = 4\nwiring = "causal+random"\ndensity = 0.5\n'
    config = config_of(tmp_path, layers)
    with pytest.raises(mdnn.MdnnError, match="random wiring draws again"):
        narrowed(mdnn.build(config), 0.5)
    # One kernel for all channels stays as it is.
    config = config_of(tmp_path, layers.replace("groups = 4", "groups = 1"))
    assert narrowed(mdnn.build(config), 0.5).count_params() > 0


def test_narrowed_config_rounds_to_multiples(tmp_path):
    config = config_of(tmp_path, FEEDFORWARD)
    widths = [narrowed_config(config, d).backbone.layer[0].width for d in (0.1, 0.3, 0.4, 0.9, 1)]
    assert widths == [16, 16, 32, 64, 64]


def test_a_network_in_memory_is_sliced_anew(tmp_path):
    network = random_network(config_of(tmp_path, CASES["groups"], "train.density=[0.5, 1.0]"))
    small = at_density(network, 0.5).model
    assert at_density(network, 1.0).model is network
    kernel = network.blocks[0].dense_out.kernel
    kernel.assign(2 * np.asarray(kernel))
    assert at_density(network, 0.5).model is small
    np.testing.assert_array_equal(
        np.asarray(small.blocks[0].dense_out.kernel), np.asarray(kernel)[:32]
    )
    with pytest.raises(mdnn.MdnnError, match=r"trained with 0.5, 1; received True"):
        at_density(network, True)
