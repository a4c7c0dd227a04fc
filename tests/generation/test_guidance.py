"""Guidance: answers are moved away from what negative prompts make likely."""

import numpy as np
import pytest
from keras import ops
from test_revised_answers import PIXELS, Picture

import mdnn
from mdnn.cli import main
from mdnn.errors import MdnnError
from mdnn.generation.sampling import guided

OTHERS, SCALE = ["one", "two"], 3.0
GREEDY = {"output": "grey 4x4", "temperature": 0}
GUIDED = {**GREEDY, "guidance_scale": SCALE, "negative_prompt": OTHERS}


@pytest.fixture(scope="module")
def run(opened_items):
    return opened_items


def moved(logs):
    """What guidance makes of log-probabilities `[1 + others, ...]`, in numpy."""
    mean = np.logaddexp.reduce(logs[1:], axis=0) - np.log(len(logs) - 1)
    return logs[0] + (SCALE - 1) * (logs[0] - mean)


def test_scores():
    logits = np.random.default_rng(1).normal(size=(6, 4, 5)).astype("float32")
    # Impossible classes stay impossible.
    logits[:, :, 2] = -1e30
    scale = np.full((6, 1, 1), SCALE, "float32")
    found = np.asarray(guided(ops.convert_to_tensor(logits), ops.convert_to_tensor(scale), 2))
    logs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    for n in (0, 3):
        right = moved(logs[n : n + 3].astype("float64"))
        possible = np.arange(5) != 2
        np.testing.assert_allclose(found[n][:, possible], right[:, possible], rtol=1e-4, atol=1e-5)
        assert (found[n][:, 2] < -1e29).all()
        np.testing.assert_array_equal(found[n], found[n + 1])
        np.testing.assert_array_equal(found[n], found[n + 2])


@pytest.mark.parametrize("decoding", ["parallel", "autoregressive"])
def test_greedy_pictures_by_the_whole_network(run, decoding):
    """Each pixel is the likeliest by the guided scores, given the answer so far."""
    found = mdnn.generate(run, ["three"], decoding=decoding, **GUIDED).ravel()
    pictures = [Picture(run, word) for word in ["three", *OTHERS]]
    if decoding == "parallel":
        logs = np.stack([p.logs(np.full((1, PIXELS), -1))[0] for p in pictures])
    else:
        logs = np.stack([causal_logs(run, p, found) for p in pictures])
    scores = moved(logs)
    best, chosen = scores.max(axis=-1), scores[np.arange(PIXELS), found]
    np.testing.assert_allclose(chosen, best, rtol=0, atol=1e-3)


def causal_logs(run, picture, values):
    """Log-probabilities of all pixels of a picture, each given those before it, `[pixels, 256]`."""
    from mdnn.layers.decoding_steps import decoding_steps
    from mdnn.models.head_options import decoding

    context = picture.context.copy()[None]
    context[:, picture.first : picture.first + PIXELS] = picture.masks
    context[:, picture.first : picture.first + PIXELS, 0] = 4
    context[:, picture.first : picture.first + PIXELS, 1] = values
    network = run.model.with_options(causal=True)
    scores = np.asarray(network({"tokens": context, "targets": None}))[0].astype("float64")
    start = 0
    for step in decoding_steps(**decoding(run.config)):
        if step.name == "grey_byte_1":
            break
        start += step.classes
    own = scores[picture.first - 1 : picture.first + PIXELS - 1, start : start + 256]
    return own - np.logaddexp.reduce(own, axis=-1, keepdims=True)


@pytest.mark.parametrize("decoding", ["masked_diffusion", "autoregressive"])
def test_an_answer_does_not_depend_on_the_others(run, decoding):
    settings = {**GUIDED, "temperature": 1.0, "decoding": decoding, "num_denoising_steps": 4}
    both = mdnn.generate(run, [["three"], ["four"]], seed=[5, 6], **settings)
    for seed, word, answer in zip((5, 6), ("three", "four"), both, strict=True):
        np.testing.assert_array_equal(answer, mdnn.generate(run, [word], seed=seed, **settings))


def test_without_guidance(run):
    """A prompt as its own negative prompt moves nothing."""
    plain = mdnn.generate(run, ["three"], decoding="parallel", **GREEDY)
    same = GUIDED | {"negative_prompt": "three"}
    np.testing.assert_array_equal(plain, mdnn.generate(run, ["three"], decoding="parallel", **same))


def test_command(run, items_run, capsys, tmp_path):
    words = [str(items_run), "--prompt", "three", "--output", "grey 4x4", "--greedy"]
    words += ["--decoding", "parallel", "--guidance-scale", "3"]
    path = tmp_path / "three.png"
    negative = ["--negative-prompt", "one", "--negative-prompt", "two"]
    assert main(["generate", *words, *negative, "--out", str(path)]) == 0
    right = mdnn.generate(run, ["three"], decoding="parallel", **GUIDED)
    np.testing.assert_array_equal(mdnn.read_item(path).value, right)
    assert main(["generate", *words, "--out", str(path)]) == 2
    assert "guidance_scale, a number other than 1, and negative_prompt" in capsys.readouterr().err


def test_bad_options(run, tiny_run):
    longer = GUIDED | {"negative_prompt": ["a longer word"], "decoding": "parallel"}
    with pytest.raises(MdnnError, match=r"begins at position 8.*number 1 it begins at 16"):
        mdnn.generate(run, ["three"], **longer)
    with pytest.raises(MdnnError, match="expected output="):
        mdnn.generate(run, ["three"], guidance_scale=2.0, negative_prompt="one")
    with pytest.raises(MdnnError, match="guidance_scale has no effect on text models"):
        mdnn.generate(tiny_run, "The ", guidance_scale=2.0, negative_prompt="one")
    with pytest.raises(MdnnError, match="0 to 100"):
        mdnn.generate(run, ["three"], guidance_scale=-1.0, negative_prompt="one")
