"""Writing against a loop that asks the whole network for each character, and its settings."""

import keras
import numpy as np
import pytest

import mdnn
from mdnn.generation import engines
from mdnn.generation.batch_groups import BatchGroups
from mdnn.generation.text_decoder import TextDecoder
from mdnn.generation.windows import encode_prompts, pad_features, sanitize_tokens

POSITIONS = 8
LONG = "The cat sat on the mat. The dog"


@pytest.fixture(scope="module")
def run(opened_tiny):
    return opened_tiny


@pytest.fixture(scope="module")
def words(opened_words):
    return opened_words


def greedy(run, prompt, length):
    """The likeliest text by the network's scores of the window's last character, one by one."""
    text, seen = "", prompt[-POSITIONS:]
    for _ in range(length):
        tokens = np.zeros((1, POSITIONS, 8), "int32")
        for place, character in enumerate(seen):
            point = ord(character)
            tokens[0, place, :5] = 1, point >> 16, point >> 8 & 255, point & 255, place
        scores = np.asarray(run.model({"tokens": tokens, "targets": None}))[0, len(seen) - 1]
        plane, row, cell = (part.argmax() for part in np.split(scores, [17, 17 + 256]))
        text += chr((plane << 16) + (row << 8) + cell)
        # A full context is left for one that begins with its last half.
        seen = seen + text[-1] if len(seen) < POSITIONS else (seen + text[-1])[-POSITIONS // 2 :]
    return text


@pytest.mark.parametrize("prompt", ["T", "The cat ", LONG, "Ça va", "😀\u0000日本e\u0301"])
def test_greedy_text_is_the_likeliest_one(run, prompt):
    # 21 characters: beyond the end of the context whatever the prompt, and no whole chunks.
    found = mdnn.generate(run, prompt, length=21, temperature=0)
    assert found == greedy(run, prompt, 21)
    assert len(set(found)) > 3


def test_a_prompt_longer_than_the_context_counts_by_its_end(run):
    settings = {"length": 40, "temperature": 2.0}
    differ = 0
    for seed in range(8):
        expected = mdnn.generate(run, LONG[-POSITIONS:], seed=seed, **settings)
        assert mdnn.generate(run, LONG, seed=seed, **settings) == expected
        # A character fewer is another prompt; not every draw is so close that it matters.
        differ += mdnn.generate(run, LONG[-POSITIONS + 1 :], seed=seed, **settings) != expected
    assert differ


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 40])
def test_as_long_as_asked_for_and_the_same_beginning(run, length):
    whole = mdnn.generate(run, "The ", length=40, seed=2)
    pieces = []
    found = mdnn.generate(run, "The ", length=length, seed=2, stream=pieces.append)
    assert len(found) == length
    assert whole.startswith(found)
    assert "".join(pieces) == found
    assert all(pieces)
    assert len(pieces) == min(length, 1 + (length > 16))


def test_a_seed_is_a_text(run):
    def write(seed):
        return mdnn.generate(run, "The ", length=40, temperature=1.5, seed=seed)

    seeds = (0, 1, 2, -1, 2**31 - 1, -(2**31))
    texts = [write(seed) for seed in seeds]
    assert [write(seed) for seed in seeds] == texts
    assert len(set(texts)) == len(seeds)


def test_settings_reach_the_choice(run):
    def write(**settings):
        return mdnn.generate(run, "The ", length=30, **{"temperature": 2.0, "seed": 1} | settings)

    likeliest = mdnn.generate(run, "The ", length=30, temperature=0)
    assert write(top_k=1) == write(top_p=1e-6) == write(temperature=1e-4) == likeliest
    assert write() != likeliest
    # Hot enough, all 1,114,112 characters are alike.
    assert max(map(ord, write(temperature=100))) > 0x10000


def test_a_row_does_not_depend_on_the_others(run):
    prompts, seeds = ["The ", LONG, "Ça", "m"], [1, 2, 3, 1]
    warmth, top_k, top_p = [0.8, 1.5, 0.0, 1.0], [0, 3, 0, 0], [1.0, 1.0, 1.0, 0.5]
    window, filled = encode_prompts(run.tokenizer, prompts, POSITIONS)
    arrays = {
        "seed": np.int32(seeds),
        "temperature": np.float32(warmth),
        "top_k": np.int32(top_k),
        "top_p": np.float32(top_p),
    }
    groups = BatchGroups(TextDecoder(run.model, chunk=32), window, filled, arrays)
    for tokens, *settings in zip(
        groups.decode(32), prompts, warmth, seeds, top_k, top_p, strict=True
    ):
        prompt, temperature, seed, k, p = settings
        text = run.tokenizer.text(run.tokenizer.ids_from_tokens(pad_features(tokens)))
        assert len(text) > 32 - POSITIONS
        options = {"temperature": temperature, "seed": seed, "top_k": k, "top_p": p}
        assert text == mdnn.generate(run, prompt, length=len(text), **options)


def test_words_are_written_whole_and_cut_at_the_length(words):
    assert any(len(word) > 1 for word in words.words)
    pieces = []
    text = mdnn.generate(words, "The cat ", length=37, seed=3, stream=pieces.append)
    assert len(text) == 37
    assert "".join(pieces) == text
    # 37 characters in fewer than 37 units: the words.
    assert len(words.tokenizer.ids("The cat " + text)) < 37
    assert mdnn.generate(words, "The cat ", length=20, seed=3) == text[:20]


def test_words_greedy_by_the_whole_network(words):
    tokenizer = words.tokenizer
    units = list(tokenizer.ids("The cat "))
    seen = list(units)
    for _ in range(12):
        tokens = np.zeros((1, POSITIONS, 8), "int32")
        tokens[0, : len(seen)] = tokenizer.tokens(seen)
        scores = np.asarray(words.model({"tokens": tokens, "targets": None}))[0, len(seen) - 1]
        kind, *parts = np.split(scores, np.cumsum([2, 17, 256, 256, 256]))
        first, second, third, high, low = (int(part.argmax()) for part in parts)
        text = (first << 16) + (second << 8) + third
        units.append(text if kind.argmax() == 0 else 0x110000 + (high << 8) + low)
        # Half a context of 2 x 4 is a row.
        seen = [*seen, units[-1]] if len(seen) < POSITIONS else units[-4:]
    expected = tokenizer.text(np.array(units))[len("The cat ") :]
    assert mdnn.generate(words, "The cat ", length=len(expected), temperature=0) == expected


def test_what_stands_for_no_text_is_replaced():
    rows = [
        [1, 0, 0xD7, 0xFF],
        [1, 0, 0xD8, 0x00],
        [1, 0, 0xDF, 0xFF],
        [1, 0, 0xE0, 0x00],
        [1, 1, 0xD8, 0x00],
        [2, 0, 19, 0],
        [2, 0, 20, 0],
        [2, 0xD8, 0, 0],
    ]
    found = keras.ops.convert_to_numpy(
        sanitize_tokens(keras.ops.convert_to_tensor(np.int32(rows)), 20)
    )
    replaced = {1: [1, 0, 0xFF, 0xFD], 2: [1, 0, 0xFF, 0xFD], 6: [2, 0, 19, 0], 7: [2, 0, 19, 0]}
    for number, row in enumerate(rows):
        assert found[number].tolist() == replaced.get(number, row)
    # A network without words leaves their rows alone.
    plain = sanitize_tokens(keras.ops.convert_to_tensor(np.int32(rows)))
    assert keras.ops.convert_to_numpy(plain)[6].tolist() == rows[6]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt": ""}, "prompt: expected a string of at least one character, received ''"),
        ({"prompt": None}, "prompt: expected a string"),
        ({"prompt": b"The"}, "prompt: expected a string"),
        ({"prompt": "a\udcff"}, "prompt: expected a string of Unicode characters"),
        ({"length": -1}, "length: expected a whole number from 0 to 10,000,000, received -1"),
        ({"length": 10_000_001}, "length: expected"),
        ({"length": 1.5}, "length: expected"),
        ({"length": True}, "length: expected"),
        ({"temperature": -0.1}, "temperature: expected 0 to 100, received -0.1"),
        ({"temperature": float("nan")}, "temperature: expected"),
        ({"temperature": float("inf")}, "temperature: expected"),
        ({"temperature": "hot"}, "temperature: expected 0 to 100, received 'hot'"),
        ({"seed": 2**31}, "seed: expected a 32-bit whole number, received 2147483648"),
        ({"seed": 0.5}, "seed: expected"),
        ({"top_k": -1}, "top_k: expected a whole number from 0 to 2,147,483,647, received -1"),
        ({"top_k": 2.0}, "top_k: expected"),
        ({"top_p": 0}, "top_p: expected a number above 0, up to 1, received 0"),
        ({"top_p": 1.1}, "top_p: expected"),
    ],
)
def test_bad_settings(run, settings, message):
    with pytest.raises(mdnn.MdnnError) as error:
        mdnn.generate(run, **{"prompt": "The ", "length": 3} | settings)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_network_or_its_file_is_enough(run, tmp_path):
    expected = mdnn.generate(run, "The ", length=20, seed=3)
    assert mdnn.generate(run.model, "The ", length=20, seed=3) == expected
    run.model.save(tmp_path / "net.keras")
    assert mdnn.generate(tmp_path / "net.keras", "The ", length=20, seed=3) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1}, "unknown option 'temprature' (did you mean 'temperature'?); known: "),
        ({"num_starts": 2}, "num_starts has no effect on text models; remove it (got 2)"),
        ({"adaptive": True}, "adaptive has no effect on text models; remove it (got True)"),
        ({"decoding": "paralel"}, "decoding: unknown 'paralel'"),
        ({"output": ["text", "text"]}, "output: this network continues one text"),
    ],
)
def test_options_without_effect(run, options, message):
    with pytest.raises(mdnn.MdnnError) as error:
        mdnn.generate(run, "The ", **options)
    assert str(error.value).startswith(message)


def test_numbers_of_numpy_are_numbers(run):
    names = "length", "temperature", "seed", "top_k", "top_p"

    def write(*numbers):
        return mdnn.generate(run, "The ", **dict(zip(names, numbers, strict=True)))

    numbers = np.int64(5), np.float32(0.5), np.int32(3), np.int64(2), np.float64(0.5)
    assert write(*numbers) == write(5, 0.5, 3, 2, 0.5)


def test_what_is_no_run(tmp_path):
    with pytest.raises(mdnn.MdnnError, match="none is not a run folder: there is nothing there"):
        mdnn.generate(tmp_path / "none", "The ")


def test_a_stop_text_ends_a_text(run):
    whole = mdnn.generate(run, "The ", length=60, seed=2)
    stop = whole[20:22]
    pieces = []
    found = mdnn.generate(run, "The ", length=60, seed=2, stop=stop, stream=pieces.append)
    assert found == whole.partition(stop)[0] == "".join(pieces)
    assert mdnn.generate(run, "The ", length=60, seed=2, stop=[stop, "\u2603"]) == found


def test_the_first_short_texts_are_written_without_xla(run, monkeypatch):
    """XLA would take longer to compile than they take, and keeps what it compiled."""
    asked = []
    monkeypatch.setattr(engines, "keras_texts", lambda *arguments: asked.append(arguments[-1]))
    monkeypatch.setattr(engines, "SHORT", 10)
    monkeypatch.setattr(engines, "_WRITTEN", {})
    for length in (4, 6, 1, None):
        engines.text_engine(run, "keras", length=length)
    assert asked == [False, False, True, True]
    engines._WRITTEN.clear()
    engines.text_engine(run, "keras", length=11)
    engines.text_engine(run, "keras")
    assert asked[4:] == [True, True]
    # The length of a text is what counts.
    engines._WRITTEN.clear()
    with pytest.raises(AttributeError):
        mdnn.generate(run, "T", length=7, engine="keras")
    assert list(engines._WRITTEN.values()) == [7]
