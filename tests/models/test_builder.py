"""Networks from configs: what they take and give, save and load, learn."""

import dataclasses

import keras
import numpy as np
import pytest
from backends import JIT, to_numpy, values
from networks import CONFIGS, SHIPPED, make_config, mix, randomize, text_tokens, tiny

from mdnn import MdnnError, build, load_config
from mdnn.datasets.batches.text_batches import TextBatches
from mdnn.models.loss import TokenCrossEntropy
from mdnn.tokens import TextTokenizer

TEXT = "The quick brown fox jumps over the lazy dog. " * 20
WORDS = ("the", "lazy", "dog")
WITH_WORDS = (
    "tokens.modalities=['text', 'word']",
    "tokens.words=3",
    "tokens.letters=4",
    "backbone.depth=1",
)
CLASSES = 17 + 256 + 256
MOST_PARAMETERS = {
    "assistant": 960_000,
    "digits": 3_000_000,
    "instructions": 4_000_000,
    "digits-samples": 2_000_000,
    "text-10min": 2_000_000,
}


def same_weights(one, other):
    pairs = zip(one.weights, other.weights, strict=True)
    return [np.array_equal(to_numpy(a), to_numpy(b)) for a, b in pairs]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_build(name):
    config = load_config(CONFIGS / f"{name}.toml")
    model = build(config)
    assert 0 < model.count_params() <= MOST_PARAMETERS.get(name, 900_000)
    assert model.output.shape[:2] == (None, config.context.positions)
    if config.tokens.modalities == ("text",):
        assert model.output.shape[2] == CLASSES
    # Weights are kept by their paths.
    paths = [weight.path for weight in model.weights]
    assert len(set(paths)) == len(paths)


def test_inputs_and_output():
    model = build(tiny("text-grid"))
    assert isinstance(model, keras.Model)
    assert model.name == "mdnn"
    assert {name: (t.shape, t.dtype) for name, t in model.input.items()} == {
        "tokens": ((None, 6, 8), "int32"),
        "targets": ((None, 6, 8), "int32"),
    }
    assert (model.output.shape, model.output.dtype) == ((None, 6, CLASSES), "float32")
    for batch in (1, 3):
        tokens = text_tokens((batch, 6))
        assert model({"tokens": tokens, "targets": tokens}).shape == (batch, 6, CLASSES)


def test_without_targets():
    """Scores of the plane are the same; later bytes go by the likeliest ones before."""
    model = randomize(build(tiny("text")))
    tokens = text_tokens((2, 5))
    alone = values(lambda t: model({"tokens": t, "targets": None}), tokens)
    # Letters are of plane 0, row 0; here are units of another plane.
    targets = tokens * [1, 0, 1, 1, 1, 1, 1, 1] + [0, 16, 0, 0, 0, 0, 0, 0]
    given = values(lambda t, u: model({"tokens": t, "targets": u}), tokens, targets.astype("int32"))
    np.testing.assert_allclose(alone[..., :17], given[..., :17], rtol=1e-4, atol=1e-4)
    assert abs(alone[..., 17:] - given[..., 17:]).max() > 0.01
    likeliest = text_tokens((2, 5))
    likeliest[..., 1] = alone[..., :17].argmax(-1)
    likeliest[..., 2] = alone[..., 17 : 17 + 256].argmax(-1)
    given = values(lambda t, u: model({"tokens": t, "targets": u}), tokens, likeliest)
    np.testing.assert_allclose(alone, given, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["text", "paper"])
def test_weights_come_from_the_seed(name):
    config = tiny(name)
    first = build(config)
    assert all(same_weights(first, build(config)))
    other = build(dataclasses.replace(config, seed=2))
    for same, weight in zip(same_weights(first, other), first.weights, strict=True):
        is_drawn = not any(word in weight.path for word in ("scale", "bias", "gate"))
        assert same != is_drawn, weight.path


@pytest.mark.parametrize("name", SHIPPED)
def test_comes_back_from_a_file(name, tmp_path):
    """The whole network as one `.keras` file, refeeding and all."""
    learned = ["refeed.initial_state=learned"] if name == "paper" else []
    model = randomize(build(tiny(name, *learned)))
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    assert [w.path for w in loaded.weights] == [w.path for w in model.weights]
    assert all(same_weights(loaded, model))
    positions = model.output.shape[1]
    batch = {"tokens": text_tokens((2, positions)), "targets": text_tokens((2, positions), seed=1)}
    np.testing.assert_allclose(values(loaded, batch), values(model, batch), rtol=1e-4, atol=1e-4)


def batches(config, words=()):
    tokenizer = TextTokenizer(words)
    return TextBatches(
        tokenizer.ids(TEXT),
        tokenizer,
        config.context.positions,
        config.train.batch_size,
        config.seed,
        steps=10,
        padding=config.context.padding,
    )


@pytest.mark.parametrize("name", ["text", pytest.param("paper", marks=pytest.mark.long), "words"])
def test_fit_with_a_stock_optimizer(name):
    words = WORDS if name == "words" else ()
    config = tiny("text", *WITH_WORDS) if words else tiny(name, "backbone.depth=1")
    model = build(config, words)
    before = [to_numpy(weight) for weight in model.weights]
    loss = TokenCrossEntropy(config.tokens.modalities)
    model.compile(keras.optimizers.Adam(0.02), loss, jit_compile=JIT)
    history = model.fit(batches(config, words), epochs=2, shuffle=False, verbose=0).history["loss"]
    assert history[1] < 0.9 * history[0]
    for weight, old in zip(model.weights, before, strict=True):
        assert (to_numpy(weight) != old).any(), weight.path


def test_refeeding_is_built_where_the_config_says_so():
    def layers(*settings):
        return [layer.name for layer in build(tiny("text", *settings)).layers]

    plain, refed = layers(), layers("refeed.steps=3")
    assert "refeed" not in plain
    assert "block_1_feedforward" in plain
    assert "refeed" in refed
    assert "refeed" in layers("refeed.initial_state=learned")
    refeed = build(tiny("text", "refeed={steps=3, bptt_steps=2}")).get_layer("refeed")
    assert (refeed.steps, refeed.bptt_steps, refeed.initial_state) == (3, 2, "zeros")
    assert [branch.name for branch in refeed.blocks] == [
        "block_0_mix",
        "block_0_feedforward",
        "block_1_mix",
        "block_1_feedforward",
    ]


def test_refeeding_adds_no_parameters():
    assert (
        build(tiny("text", "refeed.steps=3")).count_params() == build(tiny("text")).count_params()
    )


def test_stack_and_times():
    def count(**branch):
        return build(make_config(mix({"sharing": "shared"}, **branch))).count_params()

    once = count()
    # a kernel of 4 x 4
    assert count(stack=3) == once + 2 * 16
    assert count(times=3) == once
    two = make_config(mix({"sharing": "shared"}, {"sharing": "separate"}))
    assert build(two).count_params() == once + 4 * 16


def test_words():
    model = build(tiny("text", *WITH_WORDS), WORDS)
    assert model.output.shape == (None, 5, 2 + CLASSES + 512)
    shapes = {w.name: tuple(w.shape) for w in model.get_layer("embedding").weights}
    assert shapes["word_byte_1"] == (3, 8)
    assert shapes["letter_place"] == (4, 8)


def test_full_table():
    model = build(tiny("text", "tokens.table=full", "backbone.width=2"))
    assert tuple(model.get_layer("embedding").weights[0].shape) == (1_114_112, 2)


def test_depth_scales_the_start():
    """Branches that add to one stream start smaller the more there are of them."""
    wide = ["backbone.width=96"]
    shallow = build(tiny("text", *wide, "backbone.depth=1"))
    deep = build(tiny("text", *wide, "backbone.depth=4"))
    one, four = (
        to_numpy(model.get_layer("block_0_mix").dense_out.kernel).std() for model in (shallow, deep)
    )
    np.testing.assert_allclose(one / four, 2, rtol=0.1)


def test_a_global_policy_changes_no_network():
    """`train.precision` is the way to compute in half precision (tests/training)."""
    config = tiny("text-grid")
    tokens = text_tokens((2, 6))
    exact = to_numpy(build(config)({"tokens": tokens, "targets": tokens}))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(config)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.get_layer("block_0_mix").dense_in.compute_dtype == "float32"
    scores = model({"tokens": tokens, "targets": tokens})
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    np.testing.assert_array_equal(to_numpy(scores), exact)


BRANCH = "backbone.layer.0"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([f"{BRANCH}.gate=siluu"], "Unknown activation 'siluu' (did you mean 'silu'"),
        ([f"{BRANCH}.gate=glu"], "activation 'glu' does not keep a width of 8"),
        ([f"{BRANCH}.mixer.0.wiring=causal+shft"], '"full" or a combination of causal, local'),
        ([f"{BRANCH}.mixer.0.wiring=causal+local"], "Expected `window` with local wiring"),
        ([f"{BRANCH}.mixer.0.window=2"], "Expected `window` only with local wiring"),
        ([f"{BRANCH}.mixer.0.wiring=causal+random"], "Expected `density` with random wiring"),
        ([f"{BRANCH}.mixer.0.kind=attention"], "`wiring` to be one of full, causal"),
        (["context.grid=[2, 3]", f"{BRANCH}.mixer.0.axes=[2, 1]"], "Expected `axes` to increase"),
        (["context.grid=[2, 3]", f"{BRANCH}.mixer.0.axes=[1, 1]"], "each axis of an input of"),
        (
            ["context.grid=[2, 3]", f"{BRANCH}.mixer.0.sharing=tied"],
            "Expected axes with tied sharing to have one size",
        ),
        (
            [f"{BRANCH}.mixer.0={{kind='attention', heads=8}}"],
            "Expected an even number of channels per head",
        ),
        (WITH_WORDS, "tokens.words: the table of words comes from training text"),
        ([f"context.grid=[{10**20}]"], "limits.positions: expected at most 100,000,000 positions"),
        (["context.grid=[40000]"], "limits.parameters: expected at most 1,000,000,000 weights"),
        (
            [
                "context.grid=[300000000000]",
                f"limits.positions={10**12}",
                f"limits.parameters={10**30}",
                f"{BRANCH}.mixer.0.wiring=causal",
                f"{BRANCH}.mixer.0.sharing=shared",
            ],
            "does not fit in memory: grid [300000000000], width 8",
        ),
    ],
)
def test_a_config_that_layers_refuse(settings, message):
    with pytest.raises(MdnnError) as error:
        build(tiny("text", *settings))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
