"""The options of generation: presets, what is set alone, output specifications."""

import pytest

from mdnn.errors import MdnnError
from mdnn.generation.options import PRESETS, GenerationOptions, SamplingSettings
from mdnn.generation.output_spec import OutputSpec, parse_output_spec

KINDS = ("text", "word", "grey", "audio", "video")


def settings(preset=None, trained=1, **options):
    return GenerationOptions(preset=preset, **options).settings_for(trained)


def test_what_is_set_alone_wins():
    assert settings() == SamplingSettings(0.8, 0, 1.0, 16)
    assert settings("factual") == SamplingSettings(0.0, 0, 1.0, 16)
    assert settings("creative") == SamplingSettings(1.0, 0, 0.95, 16)
    assert settings("reasoning", trained=3) == SamplingSettings(0.0, 0, 1.0, 64, 6)
    # A network that is not refed in training has not learned it.
    assert settings("reasoning", trained=1).steps is None
    assert settings(steps=2).steps == 2
    assert settings(steps=3, trained=3).steps is None
    chosen = settings(
        "creative", temperature=0.5, top_k=3, top_p=1.0, num_denoising_steps=2, steps=5
    )
    assert chosen == SamplingSettings(0.5, 3, 1.0, 2, 5)
    assert set(PRESETS) == {"factual", "creative", "reasoning"}


def test_the_cheapest_sampler():
    assert settings("factual", top_k=3).sampler == "greedy"
    assert settings().sampler == "plain"
    assert settings(top_k=3).sampler == settings(top_p=0.5).sampler == "filtered"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"preset": "creativ"},
            "preset: unknown 'creativ' (did you mean 'creative'?); known: factual,",
        ),
        ({"preset": 3}, "preset: unknown 3; known: factual, creative, reasoning"),
        ({"steps": 0}, "steps: expected a whole number from 1 to 1,000,000, received 0"),
        ({"steps": True}, "steps: expected"),
        (
            {"num_denoising_steps": 0},
            "num_denoising_steps: expected a whole number from 1 to 1,000,000, received 0",
        ),
        ({"num_denoising_steps": 1.5}, "num_denoising_steps: expected"),
        ({"top_p": 0}, "top_p: expected"),
    ],
)
def test_bad_settings(given, message):
    with pytest.raises(MdnnError) as error:
        settings(**given)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("word", "spec", "units"),
    [
        ("text 5", OutputSpec("text", (5,)), 5),
        ("audio 800", OutputSpec("audio", (800,)), 800),
        ("grey 8x9", OutputSpec("grey", (8, 9)), 72),
        (" video  4x8x2 ", OutputSpec("video", (4, 8, 2)), 64),
    ],
)
def test_words_for_what_is_wanted(word, spec, units):
    assert parse_output_spec(word, KINDS) == spec
    assert spec.num_tokens == units
    assert parse_output_spec(spec.kind, KINDS) == OutputSpec(spec.kind)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", 'output: expected a word such as "text" or "grey 8x8", received \'\''),
        (None, "output: expected a word"),
        ("gray", "output: unknown 'gray'"),
        ("word", "output: unknown 'word'"),
        (
            "image 8x8",
            "output: 'image 8x8': expected an item of the kinds text, grey, audio, video, ",
        ),
        ("grey 8", "output: expected 'grey HEIGHTxWIDTH', received 'grey 8'"),
        ("grey 0x8", "output: expected 'grey"),
        ("grey 8x8x8", "output: expected 'grey"),
        ("text -1", "output: expected 'text CHARACTERS'"),
        ("text 5 6", "output: expected 'text CHARACTERS'"),
        ("audio 99999999999", "output: expected 'audio SAMPLES'"),
        ("grey 99999x99999", "output: expected 'grey"),
    ],
)
def test_bad_words(word, message):
    with pytest.raises(MdnnError) as error:
        parse_output_spec(word, KINDS)
    assert str(error.value).startswith(message)


def test_a_number_of_steps_turns_an_adaptive_schedule_off():
    for steps, expected in ((None, None), (4, 4), (6, 6)):
        assert GenerationOptions(steps=steps).settings_for(4, adaptive=True).steps == expected
    assert GenerationOptions(steps=4).settings_for(4).steps is None
    assert GenerationOptions(preset="reasoning").settings_for(4, adaptive=True).steps == 8
