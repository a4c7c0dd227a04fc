"""The second look at answers: which tokens are revised, and what they become."""

import numpy as np
import pytest
import tiny
from keras import ops

import mdnn
from mdnn.cli import main
from mdnn.errors import MdnnError
from mdnn.generation import item_generator
from mdnn.generation.masked_diffusion import MaskedDiffusionDecoder
from mdnn.layers.decoding_steps import decoding_steps
from mdnn.models.head_options import decoding
from mdnn.tokens.packing import pack_items

POSITIONS, ALIGN, PIXELS = 40, 8, 16
FACTUAL = {"output": "grey 4x4", "decoding": "parallel", "temperature": 0}


@pytest.fixture(scope="module")
def run(opened_items):
    return opened_items


class Picture:
    """A picture after a word, which the whole network sees, with some pixels masked."""

    def __init__(self, run, word):
        self.whole = run.model.with_options(causal=False)
        tokenizer = run.item_tokenizer
        self.context, spans = pack_items([tokenizer.tokens(word)], POSITIONS, 0, ALIGN)
        self.context[spans[-1][1] :] = 0
        self.first = -(-spans[-1][1] // ALIGN) * ALIGN
        self.masks = tokenizer.masks("grey", (4, 4), 1)
        self.context[self.first + PIXELS] = tokenizer.end_mask("grey", (4, 4), 1)
        self.steps = decoding_steps(**decoding(run.config))

    def logs(self, values):
        """Log-probabilities of the values of all pixels of pictures, `[pictures, pixels, 256]`.

        `values` `[pictures, pixels]`: -1 where they are masked.
        """
        context = np.repeat(self.context[None], len(values), axis=0)
        tokens = context[:, self.first : self.first + PIXELS]
        tokens[:] = self.masks
        shown = np.asarray(values) >= 0
        tokens[shown, 0], tokens[shown, 1] = 4, np.asarray(values)[shown]
        scores = np.asarray(self.whole({"tokens": context, "targets": None}))
        start = 0
        for step in self.steps:
            if step.name == "grey_byte_1":
                break
            start += step.classes
        own = scores[:, self.first - 1 : self.first + PIXELS - 1, start : start + 256]
        own = own.astype("float64")
        return own - np.logaddexp.reduce(own, axis=-1, keepdims=True)

    def given_the_others(self, values, pixel):
        """Log-probabilities of a pixel's value, given all the others."""
        return self.logs(np.where(np.arange(PIXELS) == pixel, -1, values)[None])[0, pixel]

    def likelihood(self, values):
        """The sum of the log-probabilities of all pixels, each given all the others."""
        each, values = np.arange(PIXELS), values.astype(int)
        return self.logs(np.where(np.eye(PIXELS) > 0, -1, values))[each, each, values].sum()


def test_the_least_certain_tokens_are_decided_again(run):
    """One after another, each given all the others, as in numpy; the others stay."""
    for word, count in (("two", 3), ("seven", 99)):
        picture = Picture(run, word)
        logs = picture.logs(np.full((1, PIXELS), -1))[0]
        before = logs.argmax(axis=1)
        np.testing.assert_array_equal(mdnn.generate(run, [word], **FACTUAL).ravel(), before)
        order, values = np.argsort(logs.max(axis=1), kind="stable")[:count], before.copy()
        for pixel in order:
            own = picture.given_the_others(values, pixel)
            assert own.max() >= own[values[pixel]]
            values[pixel] = own.argmax()
        revised = mdnn.generate(run, [word], revise=count, **FACTUAL).ravel()
        np.testing.assert_array_equal(revised, values)
        assert set(np.flatnonzero(revised != before)) <= set(order.tolist())


class Mistaken(MaskedDiffusionDecoder):
    """Writes some pixels inverted, of which it is not certain."""

    WRONG = (1, 6, 14)

    def _denoise(self, *args):
        tokens, confidence, is_kept, certainty = super()._denoise(*args)
        wrong = np.isin(np.arange(self.max_tokens), self.WRONG)
        bytes_ = ops.where(wrong, 255 - tokens[..., 1], tokens[..., 1])
        tokens = ops.concatenate([tokens[..., :1], bytes_[..., None], tokens[..., 2:]], axis=-1)
        return tokens, confidence, is_kept, ops.where(wrong, -50.0, certainty)


def test_mistakes_are_put_right(run, monkeypatch):
    """A network that prefers one picture finds it again, and its likelihood is higher."""
    expected = {word: mdnn.generate(run, [word], **FACTUAL).ravel() for word in tiny.DIGITS}
    monkeypatch.setattr(item_generator, "MaskedDiffusionDecoder", Mistaken)
    right = 0
    for word, picture in expected.items():
        mistaken = mdnn.generate(run, [word], **FACTUAL).ravel()
        assert np.flatnonzero(mistaken != picture).tolist() == list(Mistaken.WRONG)
        revised = mdnn.generate(run, [word], revise=3, **FACTUAL).ravel()
        before, after = (Picture(run, word).likelihood(one) for one in (mistaken, revised))
        assert after > before
        right += np.array_equal(revised, picture)
    assert right >= 2


def test_lengths_stay(run):
    """An answer whose end the network chooses, alone and beside others."""
    options = {"output": "audio", "decoding": "masked_diffusion", "temperature": 0.7}
    before = mdnn.generate(run, [["one"], ["seven"]], seed=[3, 4], **options)
    both = mdnn.generate(run, [["one"], ["seven"]], seed=[3, 4], revise=4, **options)
    alone = mdnn.generate(run, ["seven"], seed=4, revise=4, **options)
    np.testing.assert_array_equal(both[1], alone)
    assert [len(sound) for sound in both] == [len(sound) for sound in before]


def test_the_command_and_what_is_refused(run, items_run, tiny_run, tmp_path, capsys):
    words = ["--output", "grey 4x4", "--decoding", "parallel", "--temperature", "0"]
    words += ["--prompt", "two", "--revise", "3", "--out", str(tmp_path / "two.png")]
    assert main(["generate", str(items_run), *words]) == 0
    revised = mdnn.generate(run, ["two"], revise=3, **FACTUAL)
    np.testing.assert_array_equal(mdnn.read_item(tmp_path / "two.png").value, revised)
    capsys.readouterr()
    with pytest.raises(MdnnError, match="revise has no effect on autoregressive"):
        mdnn.generate(run, ["two"], output="grey 4x4", decoding="autoregressive", revise=1)
    with pytest.raises(MdnnError, match="revise has no effect on autoregressive"):
        mdnn.generate(tiny_run, "The ", revise=1)
    with pytest.raises(MdnnError, match="revise: expected a whole number from 0"):
        mdnn.generate(run, ["two"], revise=-1, **FACTUAL)
