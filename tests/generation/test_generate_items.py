"""Answers of a trained network of words, pictures and sounds, in all three ways."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest
import tiny
from whole_pass import WholePassDecoder

import mdnn
from mdnn.datasets.media.media_files import write_item
from mdnn.generation.autoregressive import AutoregressiveDecoder
from mdnn.generation.item_generator import ItemGenerator
from mdnn.generation.masked_diffusion import MaskedDiffusionDecoder
from mdnn.generation.options import GenerationOptions
from mdnn.generation.output_spec import OutputSpec
from mdnn.generation.requests import OutputRequest, PromptContext, decoder_for, run_decoder
from mdnn.layers.decoding_steps import decoding_steps
from mdnn.models.head_options import decoding
from mdnn.models.loss import token_nll
from mdnn.tokens.items import Item
from mdnn.tokens.packing import pack_items

WAYS = ("autoregressive", "parallel", "masked_diffusion")
POSITIONS, ALIGN = 40, 8
WORDS = tuple(tiny.DIGITS)


@pytest.fixture(scope="module")
def run(opened_items):
    return opened_items


@pytest.fixture(scope="module")
def whole(run):
    """The network that sees the whole context."""
    return run.model.with_options(causal=False)


def packed(run, *items):
    """A context of items without an end, and where the next item begins."""
    context, spans = pack_items(
        [run.item_tokenizer.tokens(item) for item in items], POSITIONS, 0, ALIGN
    )
    context[spans[-1][1] :] = 0
    return context, -(-spans[-1][1] // ALIGN) * ALIGN


def greys(run, scores):
    """The likeliest grey byte of every position, and its nats."""
    start = 0
    for step in decoding_steps(**decoding(run.config)):
        if step.name == "grey_byte_1":
            own = np.asarray(scores)[..., start : start + step.classes]
        start += step.classes
    return own.argmax(-1)


def test_pictures_in_turn_are_the_likeliest_by_the_whole_network(run):
    context, first = packed(run, "seven")
    for unit in range(16):
        scores = run.model({"tokens": context[None], "targets": None})
        byte = greys(run, scores)[0, first + unit - 1]
        context[first + unit] = (4, byte, 0, 0, unit // 4, unit % 4, 0, 1)
    found = mdnn.generate(run, ["seven"], output="grey 4x4", temperature=0)
    np.testing.assert_array_equal(found, context[first : first + 16, 1].reshape(4, 4))
    assert found.dtype == np.uint8
    assert len(set(found.ravel().tolist())) > 1


def test_pictures_at_once_are_the_likeliest_by_the_whole_network(run, whole):
    context, first = packed(run, "two")
    context[first : first + 16] = run.item_tokenizer.masks("grey", (4, 4), 1)
    context[first + 16] = run.item_tokenizer.end_mask("grey", (4, 4), 1)
    bytes = greys(run, whole({"tokens": context[None], "targets": None}))
    expected = bytes[0, first - 1 : first + 15].reshape(4, 4)
    found = mdnn.generate(run, ["two"], output="grey 4x4", decoding="parallel", preset="factual")
    np.testing.assert_array_equal(found, expected)
    one_pass = mdnn.generate(
        run,
        ["two"],
        output="grey",
        decoding="masked_diffusion",
        temperature=0,
        num_denoising_steps=1,
    )
    np.testing.assert_array_equal(one_pass, expected)


def test_unmasking_keeps_the_most_certain(run):
    """The rule of `MaskedDiffusionDecoder`, again; untrained, every pass changes much."""
    rng, model = np.random.default_rng(0), mdnn.build(run.config)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.3)
    seen, run = run.item_statistics, dataclasses.replace(run).holding(model)
    vars(run)["item_statistics"] = seen
    whole = model.with_options(causal=False)
    context, first = packed(run, "two")
    blank, num_denoising_steps, count = run.item_tokenizer.masks("grey", (4, 4), 1), 5, 16
    context[first + 16] = run.item_tokenizer.end_mask("grey", (4, 4), 1)
    rows, kept, certain = blank.copy(), np.zeros(16, bool), np.zeros(16)
    how = decoding(run.config)
    for turn in range(num_denoising_steps):
        context[first : first + 16] = np.where(kept[:, None], rows, blank)
        scores = np.asarray(whole({"tokens": context[None], "targets": None}))[0]
        bytes = greys(run, scores)[first - 1 : first + 15]
        new = blank.copy()
        new[:, 0], new[:, 1] = 4, bytes
        nats = token_nll(
            new, scores[first - 1 : first + 15], step_weights={"modality": 0.0}, **how
        )[0]
        rows = np.where(kept[:, None], rows, new)
        certain = np.where(kept, certain, -np.asarray(nats))
        best = np.argsort(-certain, kind="stable")[: -(-count * (turn + 1) // num_denoising_steps)]
        kept = np.zeros(16, bool)
        kept[best] = True
    settings = {
        "decoding": "masked_diffusion",
        "temperature": 0,
        "num_denoising_steps": num_denoising_steps,
    }
    found = mdnn.generate(run, ["two"], output="grey 4x4", **settings)
    np.testing.assert_array_equal(found, rows[:, 1].reshape(4, 4))


def test_which_units_are_kept_is_up_to_chance_less_from_pass_to_pass(run):
    decoder = MaskedDiffusionDecoder(run.model, 16)
    ones = np.ones(3, "int32")
    inputs = {
        "seed": np.array([1, 2, 1], "int32"),
        "temperature": np.array([1.0, 2.0, 0.0], "float32"),
        "num_denoising_steps": 4 * ones,
    }
    positions = np.tile(np.arange(20_000, dtype="int32"), (3, 1))
    chance = [np.asarray(decoder._noise(inputs, positions, turn)) for turn in range(5)]
    # Gumbel's distribution has the mean 0.5772 and the variance pi ** 2 / 6; its scale is 4.5.
    for turn, scale in enumerate((0.75 * 4.5, 0.5 * 4.5, 0.25 * 4.5)):
        means = [0.5772 * scale, 2 * 0.5772 * scale]
        np.testing.assert_allclose(chance[turn].mean(axis=1)[:2], means, 0.05)
        spread = np.pi / 6**0.5 * scale
        np.testing.assert_allclose(chance[turn].std(axis=1)[:2], [spread, 2 * spread], 0.05)
        assert not chance[turn][2].any()
    assert not np.any(chance[3:])
    assert abs(np.corrcoef(chance[0][0], chance[1][0])[0, 1]) < 0.05
    assert abs(np.corrcoef(chance[0][0], chance[0][1])[0, 1]) < 0.05


@pytest.mark.parametrize("how", WAYS)
def test_what_was_learnt_comes_back(run, how):
    pictures = [[tiny.picture(word)] for word in WORDS]
    words = mdnn.generate(run, pictures, output="text", decoding=how, preset="factual")
    assert sum(found == word for found, word in zip(words, WORDS, strict=True)) >= 2
    sounds = mdnn.generate(
        run, [[word] for word in WORDS], output="audio", decoding=how, preset="factual"
    )
    longest = max(len(tiny.sound(word)) for word in WORDS)
    for sound in sounds:
        assert sound.dtype == np.int16
        assert 1 <= len(sound) <= longest


@pytest.mark.parametrize(
    ("how", "output"),
    [
        ("autoregressive", "audio 6"),
        ("masked_diffusion", "audio 6"),
        ("parallel", "text"),
        pytest.param("autoregressive", None, marks=pytest.mark.long),
        pytest.param("parallel", None, marks=pytest.mark.long),
    ],
)
def test_an_answer_does_not_depend_on_the_others(run, how, output):
    prompts = [["seven", tiny.sound("one")], ["one"], [Item("text", "two")]]
    settings = {"output": output, "decoding": how, "temperature": 2.0}
    seeds = [3, 4, 3]
    together = mdnn.generate(run, prompts, seed=seeds, **settings)
    assert len(together) == 3
    for prompt, seed, answer in zip(prompts, seeds, together, strict=True):
        alone = mdnn.generate(run, prompt, seed=seed, **settings)
        if output is None:
            assert [item.kind for item in alone] == [item.kind for item in answer]
            alone, answer = ([item.value for item in own] for own in (alone, answer))
            assert all(map(np.array_equal, alone, answer))
        else:
            np.testing.assert_array_equal(alone, answer)


@pytest.mark.parametrize("how", ["autoregressive", "masked_diffusion"])
def test_a_seed_is_an_answer(run, how):
    def write(seed):
        settings = {"output": "audio 6", "decoding": how, "temperature": 20.0, "batch_size": 3}
        return mdnn.generate(run, [["one"]] * 4, seed=seed, **settings)

    found = write([5, 6, 5, 7])
    np.testing.assert_array_equal(found[0], found[2])
    # Any two seeds may agree; three do not.
    assert len({sound.tobytes() for sound in found}) > 1
    for one, two in zip(write(5), [found[0]] * 4, strict=True):
        np.testing.assert_array_equal(one, two)


def test_column_by_column_is_what_whole_passes_give(run):
    rng = np.random.default_rng(0)
    heads = run.model.get_layer("heads").modalities
    tokens = np.zeros((3, POSITIONS, 8), "int32")
    for n, items in enumerate((["seven"], ["two", tiny.picture("two")], [tiny.sound("one")])):
        tokens[n], _ = packed(run, *items)
    own = np.zeros((3, len(heads)), "int32")
    own[:, heads.index("audio")] = 1
    allowed = own.copy()
    allowed[:, heads.index("end")] = 1
    inputs = {
        "tokens": tokens,
        "first": np.int32([8, 24, 11]),
        "count": np.int32([20, 16, 0]),
        "least": np.int32([1, 1, 1]),
        "item": np.int32([1, 2, 1]),
        "answer": own,
        "allowed": allowed,
        "decoded": np.zeros(3, "int32"),
        "seed": rng.integers(-9, 9, 3).astype("int32"),
        "temperature": np.float32([0, 1.5, 1]),
        "top_k": np.int32([0, 4, 0]),
        "top_p": np.float32([1, 0.9, 1]),
        "steps": np.ones((3, 3), "int32"),
        "sizes": np.int32([[99, 1, 1]] * 3),
    }
    kinds = ("audio", "end")
    decoders = (kind(run.model, kinds=kinds) for kind in (AutoregressiveDecoder, WholePassDecoder))
    found, expected = (decoder.predict_on_batch(inputs) for decoder in decoders)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert expected["written"][2] == 0
    np.testing.assert_array_equal(expected["tokens"][2], tokens[2])
    assert expected["tokens"][1, 24 + 1, 4:].tolist() == [1, 0, 0, 2]


@pytest.mark.parametrize("how", WAYS)
def test_several_answers_see_the_ones_before(run, how):
    pieces = []
    settings = {"decoding": how, "preset": "factual"}
    found = mdnn.generate(run, ["one"], output=["grey", "audio"], stream=pieces.append, **settings)
    picture, sound = found
    assert picture.shape == (4, 4)
    assert all(map(np.array_equal, pieces, found))
    np.testing.assert_array_equal(picture, mdnn.generate(run, ["one"], output="grey", **settings))
    after = mdnn.generate(run, ["one", picture], output="audio", **settings)
    np.testing.assert_array_equal(sound, after)


@pytest.mark.parametrize("how", WAYS)
def test_sizes_are_those_asked_for(run, how):
    settings = {"decoding": how, "preset": "factual"}
    assert mdnn.generate(run, "one", output="grey 3x6", **settings).shape == (3, 6)
    assert len(mdnn.generate(run, ["one"], output="audio", length=2, **settings)) <= 2


def test_up_to_the_last_position(run):
    assert len(mdnn.generate(run, ["one"], output="audio 32", temperature=0)) == 32
    # In ways that see the whole context the `end` then has no position.
    assert (
        len(mdnn.generate(run, ["one"], output="audio 32", decoding="parallel", temperature=0))
        == 32
    )
    assert len(mdnn.generate(run, [tiny.picture("one")], output="text 4", temperature=0)) == 4


def test_nothing_before_the_answer(run):
    assert mdnn.generate(run, [], output="grey", temperature=0).shape == (4, 4)


def test_files_are_items(run, tmp_path):
    path = tmp_path / "seven.png"
    write_item(Item("grey", tiny.picture("seven")), path)
    found = mdnn.generate(run, [path], output="audio", temperature=0)
    expected = mdnn.generate(run, [tiny.picture("seven")], output="audio", temperature=0)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(mdnn.MdnnError, match=r"cannot read .*none\.png"):
        mdnn.generate(run, [pathlib.Path("none.png")], output="text")


def test_what_nobody_asked_for_ends_where_it_does_not_fit(run, monkeypatch):
    def always_pictures(self, contexts, number):
        return ["grey"] * len(contexts)

    monkeypatch.setattr(ItemGenerator, "_choose_kinds", always_pictures)
    # Behind a word of one row of 8 there are four rows, and a picture takes two.
    answers = mdnn.generate(run, [["one"], ["one", "two"]], temperature=0)
    assert [[item.kind for item in items] for items in answers] == [["grey"] * 2, ["grey"]]


def test_places_that_the_network_decides(run):
    tokens = dataclasses.replace(run.config.tokens, answer_coordinates=True)
    config = dataclasses.replace(run.config, tokens=tokens)
    side = dataclasses.replace(run, config=config).holding(mdnn.build(config))
    vars(side)["item_statistics"] = {"longest": {"grey": 16}, "shapes": {"grey": [(4, 4), (2, 8)]}}
    for how in ("autoregressive", "parallel"):
        with pytest.raises(
            mdnn.MdnnError,
            match=r"coordinates do not form an item of kind grey \(.*specify its size",
        ):
            mdnn.generate(side, ["one"], output="grey", decoding=how, temperature=5.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"decoding": "masked_difusion"},
            "decoding: unknown 'masked_difusion' (did you mean 'masked_diffusion'?); known: ",
        ),
        ({"decoding": 3}, "decoding: unknown 3; known"),
        ({"preset": "factal"}, "preset: unknown 'factal' (did you mean 'factual'?)"),
        ({"output": "gray"}, "output: unknown 'gray' (did you mean 'grey'?)"),
        (
            {"output": "image 4x4"},
            "output: 'image 4x4': expected an item of the kinds text, grey, audio",
        ),
        ({"output": []}, "output: expected a word or a list of words, received []"),
        (
            {"output": "audio 33"},
            "audio 33 takes 33 positions: a context of 40 positions has 32 left ",
        ),
        ({"steps": 0}, "steps: expected a whole number from 1 to 1,000,000, received 0"),
        ({"seed": [1, 2]}, "seed: expected a 32-bit whole number, received [1, 2]"),
        ({"batch_size": 0}, "batch_size: expected a whole number from 1 to 65,536, received 0"),
        ({"prompt": [""]}, "prompt: expected a string of at least one character"),
        ({"prompt": [3]}, "item 1 of the prompt: expected a string, a picture"),
        (
            {"prompt": ["a", np.zeros((2, 2, 3), "uint8")]},
            "item 2 of the prompt: expected an item of the kinds",
        ),
        ({"prompt": ["one", "x" * 32]}, "item 2 of the prompt: text of 32 tokens from position 8"),
        (
            {"prompt": ["x" * 39]},
            "text takes 1 positions: a context of 40 positions has 0 left after",
        ),
        (
            {"prompt": ["x" * 39], "output": None},
            "an answer takes 1 positions: a context of 40 positions",
        ),
        (
            {"prompt": [[tiny.sound("one")], ["a", "b"]], "seed": [1]},
            "seed: expected one for each of 2 prompts, received 1",
        ),
        ({"prompt": [Item("audio", np.zeros(4, "int16"), rate=8000, name="a.wav")]}, "a.wav: exp"),
    ],
)
def test_what_cannot_be_asked_for(run, settings, message):
    with pytest.raises(mdnn.MdnnError) as error:
        mdnn.generate(run, **{"prompt": ["one"], "output": "text"} | settings)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_what_was_not_trained(run, tiny_run):
    with pytest.raises(
        mdnn.MdnnError, match=r"not trained for 'parallel'.*; it was for autoregressive"
    ):
        mdnn.generate(tiny_run, "The ", decoding="parallel")
    objectives = dataclasses.replace(run.config.train.objectives, autoregressive=0.0)
    config = dataclasses.replace(
        run.config, train=dataclasses.replace(run.config.train, objectives=objectives)
    )
    side = dataclasses.replace(run, config=config).holding(run.model)
    with pytest.raises(
        mdnn.MdnnError,
        match=r"not trained for 'autoregressive'.*; it was for parallel, masked_diffusion",
    ):
        mdnn.generate(side, ["one"], decoding="autoregressive")
    with pytest.raises(mdnn.MdnnError, match="output: specify what to generate"):
        mdnn.generate(side, ["one"], decoding="parallel")
    vars(side)["item_statistics"] = {"longest": {"grey": 16}, "shapes": {"grey": [(4, 4), (2, 8)]}}
    with pytest.raises(mdnn.MdnnError, match=r"specify the size of grey.*trained on 4x4, 2x8"):
        mdnn.generate(side, ["one"], output="grey", decoding="parallel")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="one backend is enough")
def test_xla_writes_the_same(run):
    context, first = packed(run, "seven")
    request = OutputRequest(OutputSpec("grey", (4, 4)), first, 16, ("grey",))
    settings = GenerationOptions(preset="factual").settings
    contexts = [PromptContext(context, 5, [Item("text", "seven")], 1, 0)]
    found = []
    for xla in (False, True):
        options = {"kinds": ("grey",), "sampler": "greedy", "xla": xla}
        decoder = decoder_for(AutoregressiveDecoder, run.model, **options)
        assert decoder.jit_compile is xla
        found += run_decoder(decoder, contexts, [request], run.item_tokenizer, settings, 1)
    np.testing.assert_array_equal(found[0][0], found[1][0])
