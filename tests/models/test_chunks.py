"""Blocks of chunks: where they cut, that they are exactly causal, and decoded in turn."""

import keras
import numpy as np
import pytest
from backends import to_numpy
from keras import ops
from networks import make_config, mix, randomize, text_tokens

from mdnn.errors import MdnnError
from mdnn.generation.text_decoder import TextDecoder
from mdnn.models.builder import build
from mdnn.models.chunks.characters_of import OTHERS, is_letter
from mdnn.models.chunks.chunk_layout import ChunkLayout, chunk_starts, num_chunks
from mdnn.models.chunks.cuts import SpaceCut
from mdnn.models.chunks.smoothing import confident, ratio_loss, smoothed
from mdnn.models.chunks.surprise_cut import SurpriseCut, measure_surprise

GRID, SHORTEST, LONGEST = (4, 6), 3, 5
INNER = mix({"wiring": "causal+shift", "groups": 2}, gate="silu")
SUBWORDS = {
    "kind": "chunks",
    "width": 6,
    "shortest": SHORTEST,
    "longest": LONGEST,
    "block": [INNER, {"kind": "feedforward", "gate": "silu"}],
}
NGRAMS = {"kind": "ngrams", "lengths": [1, 3, 4], "rows": 50, "width": 3}
LAYERS = [mix({"wiring": "causal", "groups": 2}), SUBWORDS, {"kind": "feedforward"}, NGRAMS]
TEXTS = ("a bc  defg, hijklmnop qrst", "to be or not to be, or not", "abcdefghijklmnopqrstuvwxyz")


def codes_of(texts, positions=24):
    return np.array([[ord(c) for c in text[:positions]] for text in texts], "int32")


def tokens_of(codes):
    tokens = text_tokens(codes.shape)
    tokens[..., 1:4] = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1)
    return tokens


def by_a_loop(wanted):
    """First positions of the chunks of one text."""
    starts = [0]
    for t in range(1, len(wanted)):
        length = t - starts[-1]
        if length >= LONGEST or (length >= SHORTEST and wanted[t]):
            starts.append(t)
    return starts


@pytest.fixture(scope="module", params=["space", "surprise", "learned"])
def network(request):
    layers = [{**layer, "cut": request.param} if layer is SUBWORDS else layer for layer in LAYERS]
    made = randomize(build(make_config(*layers, grid=GRID, width=4)))
    measure_surprise(made, tokens_of(codes_of(["".join(TEXTS) * 9], 600)[0]))
    return made


def test_starts_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    wanted = rng.random((5, 24)) < np.array([[0.0], [0.1], [0.3], [0.6], [1.0]])
    starts = to_numpy(chunk_starts(ops.convert_to_tensor(wanted), SHORTEST, LONGEST))
    assert starts.shape[1] == num_chunks(24, SHORTEST) + 1
    for row, expected in zip(starts, map(by_a_loop, wanted), strict=True):
        assert list(row[row < 24]) == expected
    # A last chunk that is not full, and no more chunks than there is room for.
    strength = ops.convert_to_tensor(wanted.astype("float32"))
    layout = ChunkLayout.of(strength, SHORTEST, LONGEST, "float32")
    members = to_numpy(layout.members)
    np.testing.assert_array_equal(members.sum(axis=1), 1)
    chunk = members.argmax(axis=1)
    first = np.take_along_axis(starts, chunk, axis=1)
    np.testing.assert_array_equal(to_numpy(layout.offset), np.arange(24) - first)


def test_cuts_stand_where_words_end():
    text = "It's one, two;  drei… où"
    codes = codes_of([text], len(text))
    (wanted,) = to_numpy(SpaceCut().strength(codes, np.zeros((1, 1), "float32")))
    assert [text[t:] for t in np.flatnonzero(wanted)] == [
        " one, two;  drei… où",
        ", two;  drei… où",
        ";  drei… où",
        "… où",
    ]
    letters = to_numpy(is_letter(np.array([ord(c) for c in "aZ09'\u2019é漢_-\u00d7“ \n"], "int32")))
    assert letters.tolist() == [True] * 8 + [False] * 6
    # Every code point: ASCII as Python has it, from U+00C0 on all but spaces, punctuation, symbols.
    codes = np.arange(0x110000, dtype="int32")
    expected = codes >= 0xC0
    for first, last in OTHERS:
        expected &= (codes < first) | (codes > last)
    expected[:128] = [chr(code).isalnum() or chr(code) == "'" for code in range(128)]
    assert (to_numpy(is_letter(codes)) == expected).all()


def test_no_position_sees_later_ones_and_cuts_do_not_either(network):
    """A changed character changes no score before it, although it moves cuts."""
    tokens = tokens_of(codes_of(TEXTS))
    before = to_numpy(network.hidden(tokens))
    for t in (1, 7, 12, 23):
        for character in " x":
            changed = tokens.copy()
            changed[:, t, 3] = ord(character)
            after = to_numpy(network.hidden(changed))
            np.testing.assert_array_equal(after[:, :t], before[:, :t])
    # The whole past is seen: a change of the first character reaches the last position.
    changed = tokens.copy()
    changed[:, 0, 3] = ord("z")
    assert (to_numpy(network.hidden(changed))[:, -1] != before[:, -1]).any(axis=-1).all()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="gradients by a tape")
def test_jacobian_of_the_block(network):
    import tensorflow as tf

    block = network.blocks[1]
    if block.cut != "space":
        pytest.skip("the cuts of the other ways are not those of the loop below")
    marks = ops.reshape(codes_of(TEXTS[:1]), (1, *GRID))
    x = tf.random.stateless_normal((1, *GRID, 4), seed=(1, 2))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reshape(tf.reduce_sum(block(x, marks=marks), -1), [24])
    jacobian = tf.reshape(tape.jacobian(y, x), [24, 24, 4]).numpy()
    depends = np.abs(jacobian).sum(axis=-1) > 0
    starts = by_a_loop(to_numpy(SpaceCut().strength(codes_of(TEXTS[:1]), x))[0])
    chunk = np.searchsorted(starts, np.arange(24), side="right") - 1
    expected = (chunk[None] < chunk[:, None]) | np.eye(24, dtype=bool)
    np.testing.assert_array_equal(depends, expected)


def test_surprise_is_the_entropy_of_what_follows():
    """After "ab" and a third letter: c is always followed by a, d by two letters equally often."""
    text = "abca" * 200 + "abdx" * 100 + "abdy" * 100
    cutter = SurpriseCut()
    cutter.build((None, 8, 4))
    codes = codes_of([text], len(text))
    cutter.measure(codes[0], 6.0)
    entropy = to_numpy(cutter.entropy)

    def after(letters):
        number = 0
        for letter in letters:
            number = number * 127 + ord(letter) % 127
        return entropy[number % len(entropy)]

    assert after("abc") == pytest.approx(0, abs=1e-6)
    assert after("abd") == pytest.approx(np.log(2) + 1 / 400, abs=1e-4)
    (strength,) = to_numpy(cutter.strength(codes[:, 800:900], None))
    # Where a cut is wanted, it is wanted before x.
    assert {text[800 + t] for t in np.flatnonzero(strength[5:] >= 0.5) + 5} == {"x"}
    with pytest.raises(MdnnError, match="a text of 3 characters is too short"):
        cutter.measure(codes[0, :3], 6.0)


def test_what_learned_cuts_learn_from():
    rng = np.random.default_rng(0)
    v, p = rng.normal(size=(2, 7, 3)).astype("float32"), rng.random((2, 7)).astype("float32")
    expected, before = [], np.zeros((2, 3))
    for c in range(7):
        before = p[:, c, None] * v[:, c] + (1 - p[:, c, None]) * before
        expected.append(before)
    np.testing.assert_allclose(to_numpy(smoothed(v, p)), np.stack(expected, 1), atol=1e-4)
    cut = (p >= 0.5).astype("float32")
    np.testing.assert_allclose(to_numpy(confident(ops.convert_to_tensor(p), cut)), 1, rtol=1e-6)
    # At the ratio that is aimed at the loss is 1; with more cuts it is more.
    even = np.full((1, 9), 0.25, "float32")
    every = np.array([[1, 1, 0, 0, 0, 1, 0, 0, 0]], "float32")
    assert float(ratio_loss(even, every, 4.0)) == pytest.approx(1)
    assert float(ratio_loss(3 * even, np.ones_like(every), 4.0)) > 2


@pytest.fixture(scope="module")
def decoder(network):
    return TextDecoder(network, chunk=30, xla=False, return_hidden=True)


@pytest.mark.parametrize("prompts", [(1, 1, 1), (5, 9, 14), (24, 20, 17)])
def test_streamed_decoding_equals_whole_passes(network, decoder, prompts):
    """Contexts of one batch with chunks of different lengths, over two contexts."""
    filled, count = np.array(prompts, "int32"), decoder.chunk
    window = tokens_of(codes_of(TEXTS))[..., :4]
    window = window * (np.arange(24)[None] < filled[:, None])[..., None]
    state = {"window": window, "filled": filled, "written": np.zeros(3, "int32")}
    state = decoder.predict_on_batch(state)
    settings = {
        "seed": np.arange(3, dtype="int32"),
        "temperature": np.full(3, 0.5, "float32"),
        "top_k": np.zeros(3, "int32"),
        "top_p": np.ones(3, "float32"),
        "count": np.array([count], "int32"),
    }
    state = decoder.predict_on_batch(state | settings)
    # What each step has read: the shortest prompt, and everything decoded so far.
    start, decoded = filled.min(), np.moveaxis(state["decoded"], 0, 1)
    context = window[:, :start]
    tokens, position = np.zeros((count, 3, 24, 8), "int32"), np.zeros(count, "int32")
    for step in range(count):
        length = context.shape[1]
        tokens[step, :, :length, :4], position[step] = context, length - 1
        tokens[step, :, :length, 4] = np.arange(length)
        context = np.concatenate([context, decoded[:, step : step + 1]], axis=1)
        if context.shape[1] > 24:
            context = context[:, -decoder.overlap :]
    whole = to_numpy(network.hidden(tokens.reshape(-1, 24, 8))).reshape(count, 3, 24, -1)
    expected = whole[np.arange(count), :, position]
    np.testing.assert_allclose(state["hidden"], expected, rtol=2e-4, atol=2e-5)
