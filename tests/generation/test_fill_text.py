"""Texts continued all at once and by unmasking."""

import dataclasses

import numpy as np
import pytest
import tiny

import mdnn
from mdnn.runs.run_folder import Run

POSITIONS = 8
BOTH = {"autoregressive": 1.0, "parallel": 1.0, "masked_diffusion": 1.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A network of texts that knows blanks, not trained."""
    folder = tmp_path_factory.mktemp("blanks")
    settings = [f"train.objectives.{name}={value}" for name, value in BOTH.items()]
    config = tiny.load_config(folder, *settings)
    run = Run(folder, config)
    rng = np.random.default_rng(0)
    model = mdnn.build(config)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    return run.holding(model)


def filled(run, prompt):
    """The likeliest text in the blanks after a prompt, by the whole network."""
    tokens = np.zeros((1, POSITIONS, 8), "int32")
    tokens[0, :, 0], tokens[0, :, 1], tokens[0, :, 4] = 8, 1, np.arange(POSITIONS)
    tokens[0, : len(prompt)] = run.tokenizer.tokens(run.tokenizer.ids(prompt))
    scores = run.model.with_options(causal=False)({"tokens": tokens, "targets": None})
    scores = np.asarray(scores)[0, len(prompt) - 1 : -1]
    parts = np.split(scores, [17, 17 + 256], axis=1)
    plane, row, cell = (part.argmax(1) for part in parts)
    return "".join(chr(p * 65536 + r * 256 + c) for p, r, c in zip(plane, row, cell, strict=True))


def test_at_once_it_is_the_likeliest(run):
    expected = filled(run, "The")
    settings = {"decoding": "parallel", "temperature": 0}
    assert mdnn.generate(run, "The", length=5, **settings) == expected
    assert mdnn.generate(run, "The", output="text 2", **settings) == expected[:2]
    # Of a long prompt the end counts, as much as leaves room for the answer.
    assert mdnn.generate(run, "xyz" * 5 + "The c", length=3, **settings) == filled(run, "The c")
    long = mdnn.generate(run, "The", length=13, **settings)
    assert long.startswith(expected)
    assert long[5:9] == filled(run, ("The" + expected)[-4:])


def test_a_seed_is_a_text(run):
    def write(seed, **settings):
        return mdnn.generate(
            run,
            "The",
            length=20,
            seed=seed,
            num_denoising_steps=3,
            decoding="masked_diffusion",
            **settings,
        )

    pieces = []
    found = write(1, stream=pieces.append)
    assert len(found) == 20
    assert "".join(pieces) == found == write(1)
    assert write(2) != found
    # Another piece of the same length is another text.
    assert found[-4:] != found[-8:-4]


def test_refeeds_in_turn(run):
    plain = mdnn.generate(run, "The ", length=16, temperature=1)
    assert mdnn.generate(run, "The ", length=16, temperature=1, steps=1) == plain
    config = dataclasses.replace(run.config, refeed=dataclasses.replace(run.config.refeed, steps=2))
    twice = mdnn.build(config)
    twice.set_weights(run.model.get_weights())
    expected = dataclasses.replace(run, config=config).holding(twice)
    found = mdnn.generate(run, "The ", length=16, temperature=1, steps=2)
    assert found == mdnn.generate(expected, "The ", length=16, temperature=1)
    assert found != plain


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt": ["The"]}, "prompt: expected one with parallel decoding, received several"),
        (
            {"output": "grey 2x2"},
            "output: 'grey 2x2': expected an item of the kinds text, received grey",
        ),
        ({"output": ["text", "text"]}, "output: this network continues one text"),
    ],
)
def test_what_a_network_of_texts_refuses(run, settings, message):
    with pytest.raises(mdnn.MdnnError) as error:
        mdnn.generate(run, **{"prompt": "The", "decoding": "parallel"} | settings)
    assert str(error.value).startswith(message)


def test_the_least_certain_are_decided_again(run):
    """Characters, too; only as many as are asked for differ."""
    settings = {"length": 5, "decoding": "parallel", "temperature": 0}
    before = mdnn.generate(run, "The", **settings)
    texts = [mdnn.generate(run, "The", revise=count, **settings) for count in (1, 2, 5)]
    differ = [sum(a != b for a, b in zip(before, text, strict=True)) for text in texts]
    assert differ[0] <= 1
    assert differ[1] <= 2
    assert differ[2] > 0
