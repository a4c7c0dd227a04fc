"""Writing with what was computed kept, against the whole network for every character."""

import keras
import numpy as np
import pytest
from keras import ops
from whole_pass import continue_texts

from mdnn.config.load import Config, load_config
from mdnn.generation import text_decoder
from mdnn.generation.batch_groups import BatchGroups
from mdnn.generation.text_decoder import TextDecoder
from mdnn.generation.windows import encode_prompts, overlap_length, pad_features
from mdnn.models.builder import build
from mdnn.tokens.characters import TextTokenizer

FEED = {"kind": "feedforward", "gate": "silu"}


def mix(*mixers, **branch):
    return {"kind": "mix", "mixer": list(mixers), **branch}


ROW = {"axes": [2], "groups": 2}
NETWORKS = {
    "shift": ([8], [mix({"wiring": "causal+shift", "groups": 2}, gate="silu"), FEED], {}),
    "two axes": (
        [3, 4],
        [
            mix({"wiring": "causal+shift", "groups": 2}, gate="silu"),
            mix({"execution": "sequential"}, {"kind": "attention", "axes": [1], "heads": 2}),
        ],
        {"tokens": {"coordinates": True, "digits": 2}},
    ),
    "refed": (
        [2, 3],
        [
            mix({"sharing": "separate"}, {"axes": [-1], "sharing": "separate"}, project=False),
            {"kind": "fold", "width": 6, "block": [mix({})]},
            mix(ROW, {"kind": "conv", "axes": [2], "window": 1}, residual="post"),
        ],
        {"refeed": {"steps": 2, "initial_state": "learned"}},
    ),
    "one position": ([1], [mix({}), FEED], {}),
}
PROMPTS = ["The cat ", "m", "The cat sat on the mat", "Ça v"]
TEMPERATURES = [0.0, 0.0, 1.0, 0.7]


def network(name):
    grid, branches, tables = NETWORKS[name]
    backbone = {"width": 8, "depth": 1, "layer": branches}
    table = {"backbone": backbone, "context": {"grid": grid}, "train": {"steps": 1}, **tables}
    model = build(Config.from_dict(table))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) / 2)
    return model, int(np.prod(grid)), overlap_length(grid)


def begin(positions, prompts):
    window, filled = encode_prompts(TextTokenizer(()), prompts, positions)
    return {"window": window, "filled": filled, "written": np.zeros(len(prompts), "int32")}


def settings(temperatures, top_k=0):
    rows = len(temperatures)
    return {
        "seed": np.arange(rows, dtype="int32"),
        "temperature": np.float32(temperatures),
        "top_k": np.full(rows, top_k, "int32"),
        "top_p": np.ones(rows, "float32"),
    }


def stream(decoder, state, chosen, *counts):
    """What is written in calls of so many units: units, and what the heads were given."""
    state = decoder.predict_on_batch(state)
    units, hidden, shapes = [], [], []
    for count in counts:
        state = decoder.predict_on_batch(state | chosen | {"count": np.int32([count])})
        units.append(state.pop("decoded")[:count])
        hidden.append(state.pop("hidden")[:count] if decoder.return_hidden else None)
        shapes.append([tensor.shape for tensor in keras.tree.flatten(state)])
    assert all(shape == shapes[0] for shape in shapes)
    return np.concatenate(units), np.concatenate(hidden) if decoder.return_hidden else None


def seen_windows(prompt, units, positions, keep):
    """The window that each unit is written after, and how many units it holds."""
    window = [tuple(unit) for unit in prompt]
    for unit in units:
        yield np.pad(np.int32(window), [[0, positions - len(window)], [0, 0]]), len(window)
        window = [*window, tuple(unit)]
        window = window if len(window) <= positions else window[-keep:]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_units_from_the_same_scores(name):
    model, positions, keep = network(name)
    waits = (lambda filled: filled - filled.min())(begin(positions, PROMPTS)["filled"])
    # Beyond the end of the context twice, and for the longest prompt as far.
    count = 2 * positions + int(waits.max()) + 3
    decoder = TextDecoder(model, chunk=count, xla=False, return_hidden=True)
    assert decoder.overlap == keep
    chosen = settings(TEMPERATURES)
    found, hidden = stream(decoder, begin(positions, PROMPTS), chosen, 5, count - 5)
    window, filled = encode_prompts(TextTokenizer(()), PROMPTS, positions)
    expected = continue_texts(model, window, filled, chosen, count)
    windows, rows = [], []
    for row, wait in enumerate(waits):
        own = found[wait:, row]
        np.testing.assert_array_equal(own, expected[row, : count - wait])
        prompt = begin(positions, PROMPTS[row : row + 1])["window"][0]
        prompt = prompt[prompt[:, 0] > 0]
        for number, seen in enumerate(seen_windows(prompt, own, positions, keep)):
            windows.append(seen)
            rows.append(hidden[wait + number, row])
    assert len(np.unique(found[:, 2], axis=0)) > 3
    tokens = pad_features(np.stack([window for window, _ in windows]))
    tokens[..., 4] = np.arange(positions) * (tokens[..., 0] > 0)
    given = ops.convert_to_numpy(model.hidden(ops.convert_to_tensor(tokens)))
    given = np.stack([given[k, filled - 1] for k, (_, filled) in enumerate(windows)])
    np.testing.assert_allclose(np.stack(rows), given, atol=1e-5 * np.abs(given).max())


@pytest.mark.usefixtures("with_xla")
def test_compiled_once_and_the_same_in_any_pieces():
    """With XLA, and without it the same units."""
    model, positions, _ = network("shift")
    decoder = TextDecoder(model, chunk=32)
    assert decoder.jit_compile or keras.backend.backend() == "torch"
    chosen = settings(TEMPERATURES)
    whole, _ = stream(decoder, begin(positions, PROMPTS), chosen, 32)
    pieces, _ = stream(decoder, begin(positions, PROMPTS), chosen, 1, 7, 8, 16)
    np.testing.assert_array_equal(pieces, whole)
    plain = eagerly(TextDecoder(model, chunk=32, xla=False))
    without, _ = stream(plain, begin(positions, PROMPTS), chosen, 12)
    np.testing.assert_array_equal(without, whole[:12])
    other = settings([1.5, 0.5, 0.0, 2.0], top_k=3)
    another, _ = stream(decoder, begin(positions, ["a", "bc", "def", "ghijklmnop"]), other, 20)
    assert (another != whole[:20]).any()
    # Once to read a prompt, once to write. PyTorch compiles nothing: there each call counts.
    assert decoder.traces == 2 or keras.backend.backend() == "torch"


@pytest.mark.parametrize(
    ("grid", "kept"),
    [((64,), 32), ((5,), 2), ((1,), 1), ((16, 16), 128), ((3, 4), 4), ((2, 3, 5), 15), ((1, 6), 3)],
)
def test_what_is_read_again(grid, kept):
    assert overlap_length(grid) == kept


def test_prompts_of_several_lengths_one_after_another(monkeypatch):
    """TensorFlow traces for any length after some lengths, and caches need to know it."""
    monkeypatch.setattr(text_decoder, "SHORT_CONTEXT", 4)
    settings = ["context.grid=[8,4]", "backbone.width=8", "backbone.depth=1"]
    settings += ["backbone.layer.1.width=8", "backbone.layer.0.mixer.0.groups=2"]
    model = build(load_config("text-grid", settings))
    prompts = ["abc" * 10, "ab", "abcabcabc", "a"]
    decoder = TextDecoder(model, 2, xla=False)
    assert [decoder.reading_length(len(p)) for p in prompts] == [32, 4, 16, 4]
    together = [greedy(decoder, prompt) for prompt in prompts]
    alone = [greedy(eagerly(TextDecoder(model, 2, xla=False)), p) for p in prompts[:3]]
    for a, b in zip(together, alone, strict=False):
        np.testing.assert_array_equal(a, b)


def eagerly(decoder):
    """Runs a decoder op by op where tracing it takes longer."""
    decoder.run_eagerly = keras.backend.backend() == "tensorflow"
    return decoder


def greedy(decoder, prompt):
    window, filled = encode_prompts(TextTokenizer(), [prompt], decoder.positions)
    nothing = np.zeros(1, "int32")
    settings = {"seed": nothing, "temperature": np.zeros(1, "float32"), "top_k": nothing}
    groups = BatchGroups(decoder, window, filled, settings | {"top_p": np.ones(1, "float32")})
    return groups.decode(2)[0]
