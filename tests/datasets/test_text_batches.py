"""TextBatches as a pure function of (seed, step), and windows that count every unit once."""

import time

import numpy as np
import pytest

from mdnn.config.training_tables import Objectives
from mdnn.datasets.batches.text_batches import TextBatches
from mdnn.datasets.batches.text_windows import windows
from mdnn.errors import MdnnError
from mdnn.tokens.characters import TextTokenizer

TOKENIZER = TextTokenizer()
# unit i is code point 1000 + i, so a token tells its place in the text
UNITS = np.arange(1000, 1200, dtype=np.int32)


def make(padding="none", **changed):
    options = {"length": 8, "batch_size": 3, "seed": 1, "padding": padding} | changed
    return TextBatches(UNITS, TOKENIZER, **options)


def only(name):
    return Objectives(**{"autoregressive": 0.0, name: 1.0})


def same(a, b):
    return all(np.array_equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("padding", ["none", "random"])
def test_a_batch_depends_on_seed_and_step_alone(padding):
    first, second = make(padding), make(padding)
    forth = [first.at(step) for step in range(5)]
    back = [second.at(step) for step in reversed(range(5))][::-1]
    assert all(same(a, b) for a, b in zip(forth, back, strict=True))
    assert not any(same(forth[0], other) for other in forth[1:])
    assert not same(forth[0], make(padding, seed=2).at(0))
    # sizes of the epoch do not matter, nor does where it begins
    assert same(forth[3], make(padding, steps=1, first_step=7).at(3))
    # far steps, negative seeds
    assert same(first.at(2**40), second.at(2**40))
    assert not same(make(padding, seed=-1).at(0), make(padding, seed=0).at(0))


def test_batches_stay_the_same_between_versions():
    # Philox's raw stream is frozen; a change here makes every seed mean something else
    starts = [TOKENIZER.ids_from_tokens(make().at(step)["tokens"])[:, 0] for step in (0, 5)]
    assert (np.array(starts) - 1000).tolist() == [[61, 62, 136], [24, 107, 115]]


@pytest.mark.parametrize("padding", ["none", "random"])
def test_shapes_and_targets_one_further_on(padding):
    for step in range(20):
        batch = make(padding).at(step)
        tokens, targets = batch["tokens"], batch["targets"]
        for rows in (tokens, targets):
            assert rows.shape == (3, 8, 8)
            assert rows.dtype == np.int32
            assert rows.flags["C_CONTIGUOUS"]
        units = TOKENIZER.ids_from_tokens(tokens)
        following = TOKENIZER.ids_from_tokens(targets)
        filled = units >= 0
        np.testing.assert_array_equal(following >= 0, filled)
        np.testing.assert_array_equal(following[filled], units[filled] + 1)
        np.testing.assert_array_equal(targets[filled][:, 4], tokens[filled][:, 4] + 1)
        assert not tokens[~filled].any()
        assert not targets[~filled].any()
        if padding == "none":
            assert filled.all()
            np.testing.assert_array_equal(tokens[..., 4], np.tile(np.arange(8), (3, 1)))


def test_random_padding_holds_one_run_of_each_length_anywhere():
    batches = make("random", batch_size=400)
    units = TOKENIZER.ids_from_tokens(batches.at(0)["tokens"])
    filled = units >= 0
    lengths = filled.sum(axis=1)
    assert set(lengths) == {4, 5, 6, 7, 8}
    first = filled.argmax(axis=1)
    assert set(first) == {0, 1, 2, 3, 4}
    for row, start, number in zip(batches.at(0)["tokens"], first, lengths, strict=True):
        run = row[start : start + number]
        assert (run[:, 0] == 1).all()
        np.testing.assert_array_equal(run[:, 4], np.arange(number))
        np.testing.assert_array_equal(np.diff(TOKENIZER.ids_from_tokens(run)), 1)


@pytest.mark.parametrize("padding", ["none", "random"])
def test_every_start_is_drawn_and_none_runs_over_the_end(padding):
    units = UNITS[:11]
    batches = TextBatches(units, TOKENIZER, length=8, batch_size=500, seed=0, padding=padding)
    batch = batches.at(0)
    starts = TOKENIZER.ids_from_tokens(batch["tokens"]) - 1000
    starts = starts.max(axis=1, where=starts >= 0, initial=0)
    targets = TOKENIZER.ids_from_tokens(batch["targets"])
    assert targets.max() == units[-1]
    if padding == "none":
        counts = np.bincount(starts - 7)
        assert len(counts) == 3
        assert counts.min() > 500 / 3 * 0.75
    # the shortest text is one window and its last target
    assert TextBatches(UNITS[:9], TOKENIZER, 8, 2, 0, padding=padding).at(0)["tokens"].shape == (
        2,
        8,
        8,
    )


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_contexts_with_random_padding(length):
    batch = make("random", length=length, batch_size=50).at(0)
    assert (batch["tokens"][..., 0].sum(axis=1) >= 1).all()
    assert (batch["targets"][..., 0].sum(axis=1) >= 1).all()


def test_as_a_dataset_for_fit():
    batches = make(steps=4, first_step=10)
    assert len(batches) == batches.num_batches == 4
    x, y = batches[2]
    assert same(x, batches.at(12))
    np.testing.assert_array_equal(y, x["targets"])
    # an epoch that was cut short, or only looked at, comes again
    batches.on_epoch_begin()
    assert len([batches[index] for index in (3, 0, 2)]) == 3
    batches.on_epoch_begin()
    assert same(batches[0][0], batches.at(10))
    assert len([batches[index] for index in (3, 1, 2)]) == 3
    batches.on_epoch_begin()
    assert same(batches[0][0], batches.at(14))
    again = make(steps=1, repeat=True)
    again.on_epoch_begin()
    assert same(again[0][0], again.at(0))
    again.on_epoch_begin()
    assert same(again[0][0], again.at(0))
    # an epoch reads about as much as there is
    assert len(make(steps=None)) == 199 // 24
    assert len(make(steps=None, batch_size=1000)) == 1


def test_fit_goes_on_with_the_next_steps():
    import keras

    class Recorder(keras.Model):
        """Remembers the first byte of every batch it is trained on."""

        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(keras.ops.cast(x["tokens"][:, :, 3], "float32"))

    seen = []

    class Watched(TextBatches):
        """Remembers which steps were asked for."""

        def at(self, step):
            seen.append(step)
            return super().at(step)

    batches = Watched(UNITS, TOKENIZER, length=8, batch_size=3, seed=1, steps=3)
    model = Recorder()
    model.compile(loss=lambda y, prediction: keras.ops.mean(prediction) * 0.0, run_eagerly=True)
    model.fit(batches, epochs=2, shuffle=False, verbose=0)
    # Keras looks at the first batches to learn their shapes before it begins.
    assert seen[-6:] == [0, 1, 2, 3, 4, 5]


def test_a_batch_is_cheap():
    units = np.tile(UNITS, 100)
    for padding in ("none", "random"):
        batches = TextBatches(units, TOKENIZER, length=64, batch_size=12, seed=0, padding=padding)
        times = []
        for step in range(50):
            start = time.perf_counter()
            batches.at(step)
            times.append(time.perf_counter() - start)
        # measured at 0.07 ms
        assert np.median(times) < 1e-3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"length": 200},
            r"200 positions needs a text of at least 201 tokens; received shape \(200,\)",
        ),
        ({"length": 0}, "length must be at least 1; received 0"),
        ({"batch_size": 0}, "batch_size must be at least 1; received 0"),
        ({"steps": 0}, "steps must be at least 1; received 0"),
        ({"objectives": Objectives(autoregressive=0.0)}, "one above 0"),
        ({"objectives": only("parallel"), "length": 1}, "needs at least 2 positions; received 1"),
        (
            {"objectives": only("masked_diffusion"), "length": 3, "padding": "random"},
            "needs at least 4 positions; received 3",
        ),
        ({"padding": "left"}, 'must be "none" or "random"; received \'left\''),
    ],
)
def test_bad_arguments(changed, message):
    with pytest.raises(MdnnError, match=message):
        make(**changed)


@pytest.mark.parametrize("padding", ["none", "random"])
def test_in_turn_objectives_change_nothing_but_give_weights(padding):
    plain, mixed = make(padding), make(padding, objectives=only("autoregressive"))
    for step in range(3):
        batch = mixed.at(step)
        weights = batch.pop("weights")
        assert same(batch, plain.at(step))
        assert weights.dtype == np.float32
        np.testing.assert_array_equal(weights, batch["targets"][..., 0] != 0)
        assert plain.objective(step) == mixed.objective(step) == "autoregressive"
    x, y, w = mixed[1]
    assert set(x) == {"tokens", "targets"}
    np.testing.assert_array_equal(y, x["targets"])
    np.testing.assert_array_equal(w, y[..., 0] != 0)


@pytest.mark.parametrize("padding", ["none", "random"])
@pytest.mark.parametrize("objective", ["parallel", "masked_diffusion"])
def test_windows_with_blanks(padding, objective):
    options = {"batch_size": 400, "padding": padding}
    right = make(**options).at(3)["tokens"]
    batches = make(**options, objectives=only(objective))
    batch = batches.at(3)
    assert same(batch, make(**options, objectives=only(objective)).at(3))
    assert batches.objective(3) == objective
    tokens, targets, weights = batch["tokens"], batch["targets"], batch["weights"]
    blank, filled = tokens[..., 0] == 8, right[..., 0] != 0
    np.testing.assert_array_equal(tokens[~blank], right[~blank])
    # a blank asks for text at the place of the unit that it hides
    assert filled[blank].all()
    assert (tokens[blank][:, 1] == 1).all()
    assert not tokens[blank][:, 2:4].any()
    np.testing.assert_array_equal(tokens[blank][:, 4:], right[blank][:, 4:])
    # the first unit of a run is given, the target before a blank is the unit it hides
    first, last = filled.argmax(axis=1), 7 - filled[:, ::-1].argmax(axis=1)
    row = np.arange(400)
    assert not blank[row, first].any()
    counted = targets[..., 0] != 0
    np.testing.assert_array_equal(counted[:, :-1], blank[:, 1:])
    assert not counted[:, -1].any()
    np.testing.assert_array_equal(targets[:, :-1][counted[:, :-1]], right[:, 1:][blank[:, 1:]])
    count = blank.sum(axis=1)
    assert count.min() == 1
    assert weights[counted].mean() == pytest.approx(1, rel=1e-5)
    assert not weights[~counted].any()
    if objective == "parallel":
        # from a random position to the run's end
        assert blank[row, last].all()
        np.testing.assert_array_equal(count, last - blank.argmax(axis=1) + 1)
        assert set(count - (last - first)) == set(range(-6, 1))
        assert (weights[counted] == 1).all()
    else:
        assert 0 < blank[row, last].mean() < 1
        # all of a window's blanks weigh the same; few of many weigh more
        each = weights.max(axis=1)
        np.testing.assert_allclose(weights, counted * each[:, None], rtol=1e-6)
        scale = each.min()
        share = scale / each
        # blanks / share is the length of the part that they were drawn from
        part = count / share
        np.testing.assert_allclose(part, part.round(), atol=1e-3)
        assert (part.round() <= last - first).all()
        assert part.max() > 5


def test_a_mix_of_objectives():
    batches = make(objectives=Objectives(autoregressive=1.0, parallel=1.0, masked_diffusion=1.0))
    names = [batches.objective(step) for step in range(30)]
    assert set(names) == {"autoregressive", "parallel", "masked_diffusion"}
    for step, name in enumerate(names):
        alone = make(objectives=only(name))
        assert same(batches.at(step), alone.at(step))


def test_words_are_asked_for_as_text():
    tokenizer = TextTokenizer(words=("cat",))
    units = tokenizer.ids("cat " * 50)
    tokens = TextBatches(units, tokenizer, 8, 3, 0, objectives=only("parallel")).at(0)["tokens"]
    assert set(tokens[tokens[..., 0] == 8][:, 1]) == {1}


WINDOWS = [
    (number, length, stride)
    for number in (2, 3, 8, 9, 10, 17, 33, 41)
    for length, stride in (
        (8, None),
        (8, 8),
        (8, 7),
        (8, 3),
        (8, 1),
        (1, None),
        (64, None),
        (64, 5),
    )
]


@pytest.mark.parametrize(("number", "length", "stride"), WINDOWS)
def test_every_unit_but_the_first_is_counted_once(number, length, stride):
    units = UNITS[:number]
    counted, first = [], True
    for batch in windows(units, TOKENIZER, length, stride, batch_size=4):
        tokens, targets, counts = batch["tokens"], batch["targets"], batch["counted"]
        assert tokens.shape == targets.shape == (4, length, 8)
        assert counts.shape == (4, length)
        assert counts.dtype == bool
        x, y = TOKENIZER.ids_from_tokens(tokens), TOKENIZER.ids_from_tokens(targets)
        np.testing.assert_array_equal(x >= 0, y >= 0)
        np.testing.assert_array_equal(y[y >= 0], x[y >= 0] + 1)
        np.testing.assert_array_equal(targets[y >= 0][:, 4], tokens[y >= 0][:, 4] + 1)
        assert counts.any()
        counted += y[counts].tolist()
        if stride not in (None, length):
            later = counts[1:] if first else counts
            assert not later[:, : length - stride].any()
        first = False
    assert counted == units[1:].tolist()


def test_windows_follow_nanogpts_convention():
    (batch,) = windows(UNITS[:20], TOKENIZER, 8, batch_size=4)
    x, y = (
        TOKENIZER.ids_from_tokens(batch["tokens"]),
        TOKENIZER.ids_from_tokens(batch["targets"]),
    )
    np.testing.assert_array_equal(x[0], UNITS[:8])
    np.testing.assert_array_equal(x[1], UNITS[8:16])
    np.testing.assert_array_equal(y[1], UNITS[9:17])
    np.testing.assert_array_equal(x[2], [*UNITS[16:19], -1, -1, -1, -1, -1])
    # the batch is filled up with windows that do not count
    assert not batch["tokens"][3].any()
    assert not batch["counted"][3].any()
    assert batch["counted"].sum() == 19


def test_sliding_windows_have_a_past():
    (batch,) = windows(UNITS[:20], TOKENIZER, 8, stride=3, batch_size=5)
    y = TOKENIZER.ids_from_tokens(batch["targets"])
    assert batch["counted"][0].all()
    np.testing.assert_array_equal(y[1], UNITS[4:12])
    np.testing.assert_array_equal(batch["counted"][1], [False] * 5 + [True] * 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": UNITS[:1]}, "at least 2 tokens"),
        ({"stride": 9}, "from 1 to the window's 8 positions; received 9"),
        ({"stride": 0}, "received 0"),
        ({"batch_size": 0}, "at least 1"),
        ({"length": 0}, "at least 1"),
    ],
)
def test_bad_windows_are_refused_at_once(arguments, message):
    with pytest.raises(MdnnError, match=message):
        windows(**({"ids": UNITS, "tokenizer": TOKENIZER, "length": 8} | arguments))


def test_windows_of_several_texts():
    """Each window comes from one text, in the shares asked for, as a pure function."""
    tokenizer = TextTokenizer()
    texts = [tokenizer.ids(letter * 40) for letter in "abc"]
    mixed = [(texts[1], 0.25), (texts[2], 0.5)]
    batches = TextBatches(texts[0], tokenizer, length=8, batch_size=400, seed=3, mixed=mixed)
    letters = batches.at(5)["tokens"][..., 3]
    assert (letters == letters[:, :1]).all()
    assert (batches.at(5)["targets"][..., 3] == letters).all()
    shares = [float((letters[:, 0] == ord(letter)).mean()) for letter in "abc"]
    np.testing.assert_allclose(shares, [0.25, 0.25, 0.5], atol=0.07)
    again = TextBatches(texts[0], tokenizer, length=8, batch_size=400, seed=3, mixed=mixed)
    np.testing.assert_array_equal(again.at(5)["tokens"], batches.at(5)["tokens"])
    assert (batches.at(6)["tokens"] != batches.at(5)["tokens"]).any()


def test_a_mixed_text_that_is_too_short():
    tokenizer = TextTokenizer()
    with pytest.raises(
        MdnnError, match="texts of at least 9 tokens and shares that sum to less than 1"
    ):
        TextBatches(
            tokenizer.ids("a" * 40),
            tokenizer,
            length=8,
            batch_size=2,
            seed=0,
            mixed=[(tokenizer.ids("b" * 8), 0.5)],
        )
