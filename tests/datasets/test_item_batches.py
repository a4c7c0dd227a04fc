"""Contexts of items: targets, blanks and weights, each batch a pure function of (seed, step)."""

import time

import numpy as np
import pytest

from mdnn.config.data_tables import Augment, Context
from mdnn.config.training_tables import Objectives
from mdnn.datasets.batches.item_batches import ItemBatches, check_lengths, item_windows
from mdnn.datasets.batches.item_contexts import SPARE
from mdnn.datasets.items.example import Example
from mdnn.errors import MdnnError
from mdnn.tokens.item_tokenizer import ItemTokenizer
from mdnn.tokens.items import Item

TOKENIZER = ItemTokenizer(rate=100)
PICTURES = tuple(
    Item("grey", np.arange(6, dtype=np.uint8).reshape(2, 3) + 10 * number, name=f"picture {number}")
    for number in range(3)
)
SOUNDS = tuple(
    Item("audio", np.arange(size, dtype=np.int16) - 3, rate=100, name=f"sound {size}")
    for size in (4, 7)
)
LINES = [
    Example(((Item("text", "cat"),), PICTURES), "line of a cat"),
    Example(((Item("text", "horse"),), PICTURES[:2], SOUNDS), "line of a horse"),
]
TURN, ONCE, UNMASK = (
    Objectives(**{"autoregressive": 0.0, name: 1.0})
    for name in ("autoregressive", "parallel", "masked_diffusion")
)
BLANK, END = 8, 9


def make(objectives=TURN, examples=LINES, grid=(4, 8), order="any", context=None, **changed):
    options = {"batch_size": 5, "seed": 1} | changed
    context = Context(grid=grid, layout="items", **(context or {}))
    return ItemBatches(examples, TOKENIZER, context, objectives=objectives, order=order, **options)


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def answers(right):
    """First position of each context's answer, and the position of its end."""
    end = (right[..., 0] == END).argmax(axis=1)
    last = right[np.arange(len(right)), end - 1, 7]
    inside = (right[..., 7] == last[:, None]) & (right[..., 0] != 0) & (right[..., 0] != END)
    return inside.argmax(axis=1), end


MIX = Objectives(autoregressive=1.0, parallel=1.0, masked_diffusion=1.0)


@pytest.mark.parametrize("padding", ["none", "random"])
def test_a_batch_depends_on_seed_and_step_alone(padding):
    changed = {"context": {"padding": padding}, "objectives": MIX}
    first, second = make(**changed), make(**changed)
    forth = [first.at(step) for step in range(8)]
    assert {first.objective(step) for step in range(8)} == {
        "autoregressive",
        "parallel",
        "masked_diffusion",
    }
    back = [second.at(step) for step in reversed(range(8))][::-1]
    assert all(same(a, b) for a, b in zip(forth, back, strict=True))
    assert not any(same(forth[0], other) for other in forth[1:])
    # a resumed run makes the batches that would have come
    resumed = make(**changed, steps=3, first_step=5)
    x, y, w = resumed[2]
    assert same(x | {"weights": w}, forth[7])
    np.testing.assert_array_equal(y, forth[7]["targets"])
    assert not same(make(**changed, seed=2).at(0), forth[0])
    assert same(first.at(2**40), second.at(2**40))


def test_batches_stay_the_same_between_versions():
    # Philox's raw stream is frozen; a change here makes every seed mean something else
    kinds = make().at(3)["tokens"][:, 0, 0].tolist(), make().at(4)["tokens"][:, 0, 0].tolist()
    assert kinds == ([1, 1, 1, 4, 1], [1, 4, 7, 1, 1])
    blank = make(UNMASK).at(0)["tokens"][..., 0] == BLANK
    assert blank.sum(axis=1).tolist() == [5, 4, 8, 2, 8]


@pytest.mark.parametrize("align", [1, 4])
@pytest.mark.parametrize("padding", ["none", "random"])
def test_in_turn_every_next_row_that_is_not_padding_is_a_target(align, padding):
    batches = make(context={"pad_to_multiple_of": align, "padding": padding})
    for step in range(10):
        batch = batches.at(step)
        tokens, targets, weights = batch["tokens"], batch["targets"], batch["weights"]
        for rows in (tokens, targets):
            assert rows.shape == (5, 32, 8)
            assert rows.dtype == np.int32
        assert weights.shape == (5, 32)
        assert weights.dtype == np.float32
        np.testing.assert_array_equal(targets[:, :-1], tokens[:, 1:])
        assert not targets[:, -1].any()
        np.testing.assert_array_equal(weights, targets[..., 0] != 0)
        for rows, counted in zip(tokens, weights, strict=True):
            items = TOKENIZER.items(rows)
            # every unit and the end, but for a first unit that no position comes before
            units = sum(TOKENIZER.count(item) for item in items)
            assert counted.sum() == units + 1 - (rows[0, 0] != 0)
            starts = np.unique(rows[:, 7][rows[:, 0] % END != 0], return_index=True)[1]
            starts = np.flatnonzero(rows[:, 0] % END != 0)[starts]
            assert not (starts % align).any()
            assert (rows[:, 0] == END).sum() == 1


def test_contexts_hold_the_lines_items_and_all_of_them_come():
    seen = set()
    batches = make(batch_size=20, order="pairs")
    for step in range(20):
        for rows in batches.at(step)["tokens"]:
            items = TOKENIZER.items(rows)
            assert len(items) == 2
            values = tuple(
                item.value if item.kind == "text" else (item.kind, item.value.tobytes())
                for item in items
            )
            seen.add(values)
    pictures = [("grey", item.value.tobytes()) for item in PICTURES]
    sounds = [("audio", item.value.tobytes()) for item in SOUNDS]
    pairs = [("cat", picture) for picture in pictures]
    pairs += [("horse", other) for other in pictures[:2] + sounds]
    pairs += [(picture, sound) for picture in pictures[:2] for sound in sounds]
    assert seen == {pair for one, two in pairs for pair in ((one, two), (two, one))}


def test_random_padding_lies_anywhere_before():
    batches = make(
        context={"padding": "random", "pad_to_multiple_of": 4}, batch_size=300, order="pairs"
    )
    tokens = batches.at(0)["tokens"]
    first = (tokens[..., 0] != 0).argmax(axis=1)
    # the shortest items take 9 to 15 of 32 positions
    assert set(first) == {0, 4, 8, 12, 16, 20}
    assert make(batch_size=50).at(0)["tokens"][:, 0, 0].all()


@pytest.mark.parametrize("objectives", [ONCE, UNMASK])
@pytest.mark.parametrize("padding", ["none", "random"])
def test_blanks_ask_for_the_answer_and_are_the_only_targets(objectives, padding):
    context = {"padding": padding, "pad_to_multiple_of": 4}
    turn, batches = (
        make(context=context, batch_size=30),
        make(objectives, context=context, batch_size=30),
    )
    for step in range(5):
        right, batch = turn.at(step)["tokens"], batches.at(step)
        tokens, targets, weights = batch["tokens"], batch["targets"], batch["weights"]
        first, end = answers(right)
        position = np.arange(32)
        answer = (position >= first[:, None]) & (position <= end[:, None])
        blank = (tokens[..., 0] == BLANK) & answer
        # what is not blank is as it was, and nothing before the answer is blank
        kept = ~(tokens[..., 0] == BLANK)
        np.testing.assert_array_equal(tokens[kept], right[kept])
        assert not ((tokens[..., 0] == BLANK) & (position < first[:, None])).any()
        counted = targets[..., 0] != 0
        np.testing.assert_array_equal(counted[:, :-1], blank[:, 1:])
        assert not counted[:, -1].any()
        np.testing.assert_array_equal(targets[:, :-1][counted[:, :-1]], right[:, 1:][blank[:, 1:]])
        # exactly as many targets as blanks of the answer
        number, count = answer.sum(axis=1), blank.sum(axis=1)
        assert counted.sum() == count.sum() - blank[:, 0].sum()
        assert (count >= 1).all()
        if objectives is ONCE:
            np.testing.assert_array_equal(blank, answer)
        else:
            assert set(count < number) == {True, False}
        # each weighs the inverse of the share that is blank, the mean is 1
        share = (count / number)[:, None]
        np.testing.assert_allclose(weights * share, counted * (weights * share).max(), rtol=1e-5)
        assert weights[counted].mean() == pytest.approx(1, rel=1e-5)
        assert not weights[~counted].any()


def test_blanks_are_the_codecs_and_do_not_tell_a_length():
    batches, turn = make(ONCE, batch_size=200), make(batch_size=200)
    right, tokens = turn.at(0)["tokens"], batches.at(0)["tokens"]
    behind = {}
    for rows, wanted, start, end in zip(tokens, right, *answers(right), strict=True):
        item = TOKENIZER.items(wanted)[-1]
        number = wanted[end - 1, 7]
        asked = rows[start:][rows[start:, 0] == BLANK]
        if item.kind == "grey":
            expected = [
                *TOKENIZER.masks("grey", (2, 3), number),
                TOKENIZER.end_mask("grey", (2, 3), number),
            ]
            np.testing.assert_array_equal(asked, expected)
        else:
            np.testing.assert_array_equal(asked, TOKENIZER.masks(item.kind, (len(asked),), number))
            units = TOKENIZER.count(item)
            behind.setdefault((item.kind, units), []).append(len(asked) - units - 1)
            shape = (units,)
            np.testing.assert_array_equal(rows[end], TOKENIZER.end_mask(item.kind, shape, number))
    longest = {"text": 5, "audio": 7}
    assert set(behind) == {("text", 3), ("text", 5), ("audio", 4), ("audio", 7)}
    for (kind, units), more in behind.items():
        missing = longest[kind] - units
        assert min(more) >= 0
        assert max(more) <= missing + SPARE
        assert len(set(more)) > 3
        # half of them, and some of the others, ask for as many units as the longest has
        assert np.mean(np.array(more) == missing) > 0.35


def test_extra_blanks_never_leave_the_context():
    line = Example(((Item("text", "abc"), Item("text", "abcdef")),))
    tokens = make(ONCE, [line], grid=(7,), order="given", batch_size=60).at(0)["tokens"]
    blanks = (tokens[..., 0] == BLANK).sum(axis=1)
    assert set(blanks) == {4, 5, 6, 7}


def test_nothing_follows_an_end_that_is_shown():
    tokens = make(UNMASK, batch_size=200).at(0)["tokens"]
    right = make(batch_size=200).at(0)["tokens"]
    shown = (tokens[..., 0] == END).any(axis=1)
    assert set(shown) == {True, False}
    for rows, end in zip(tokens[shown], answers(right)[1][shown], strict=True):
        assert not rows[end + 1 :].any()


@pytest.mark.parametrize("objectives", [ONCE, UNMASK])
def test_hidden_blanks_tell_nothing(objectives):
    batches, turn = make(objectives, hide=True, batch_size=400), make(batch_size=400)
    right, batch = turn.at(0)["tokens"], batches.at(0)
    plain = make(objectives, batch_size=400).at(0)
    np.testing.assert_array_equal(batch["targets"], plain["targets"])
    np.testing.assert_array_equal(batch["weights"], plain["weights"])
    tokens, hidden = batch["tokens"], 0
    for rows, other, start, end in zip(tokens, plain["tokens"], *answers(right), strict=True):
        blank = rows[:, 0] == BLANK
        if rows[blank, 1].all():
            np.testing.assert_array_equal(rows, other)
            continue
        hidden += 1
        assert not rows[blank, 1:].any()
        if objectives is ONCE:
            assert blank[start:].all()
        elif rows[end, 0] == BLANK:
            assert blank[end:].all()
        else:
            assert not rows[end + 1 :].any()
    assert hidden / 400 == pytest.approx(1 / 8, abs=0.05)


def test_answers_are_read_as_mask_tokens():
    plain = make(batch_size=400).at(0)
    batch = make(batch_size=400, augment=Augment(mask=0.8)).at(0)
    np.testing.assert_array_equal(batch["targets"], plain["targets"])
    np.testing.assert_array_equal(batch["weights"], plain["weights"])
    right, tokens = plain["tokens"], batch["tokens"]
    first, end = answers(right)
    position = np.arange(right.shape[1])
    inside = (position >= first[:, None]) & (position < end[:, None])
    masked = tokens[..., 0] == BLANK
    assert not (masked & ~inside).any()
    np.testing.assert_array_equal(tokens[~masked], right[~masked])
    # The kind and the coordinates are told, what the token says is not.
    np.testing.assert_array_equal(tokens[masked][:, 1], right[masked][:, 0])
    assert not tokens[masked][:, 2:4].any()
    np.testing.assert_array_equal(tokens[masked][:, 4:], right[masked][:, 4:])
    # No token in half of the contexts, four in ten in the mean of the others.
    shares = masked.sum(axis=1) / inside.sum(axis=1)
    assert (shares == 0).mean() == pytest.approx(0.5, abs=0.15)
    assert masked.sum() / inside.sum() == pytest.approx(0.2, abs=0.04)
    # Other objectives and validation have none of it.
    for objectives in (ONCE, UNMASK):
        other = make(objectives, augment=Augment(mask=0.8), batch_size=20).at(3)
        assert same(other, make(objectives, batch_size=20).at(3))


def test_units_of_the_prompt_weigh_what_they_are_told():
    batch = make(prompt_weight=0.25, batch_size=30).at(0)
    first, end = answers(batch["tokens"])
    following = np.arange(32) + 1
    counted = batch["targets"][..., 0] != 0
    prompt = counted & (following < first[:, None])
    answer = counted & (following >= first[:, None]) & (following <= end[:, None])
    np.testing.assert_array_equal(counted, prompt | answer)
    weights = batch["weights"]
    scale = counted.sum() / (0.25 * prompt.sum() + answer.sum())
    np.testing.assert_allclose(weights[prompt], 0.25 * scale, rtol=1e-5)
    np.testing.assert_allclose(weights[answer], scale, rtol=1e-5)
    assert weights[counted].mean() == pytest.approx(1, rel=1e-5)
    # What weighs nothing is not a target, so that the mean of the others' weights is 1.
    batch = make(prompt_weight=0.0, batch_size=30).at(0)
    np.testing.assert_array_equal(batch["targets"][..., 0] != 0, answer)
    np.testing.assert_array_equal(batch["weights"], answer.astype("float32"))


@pytest.mark.parametrize(
    ("grid", "order", "align", "fits"),
    [
        # horse, 2x3 pixels, 7 samples, end
        ((19,), "given", 1, True),
        ((18,), "given", 1, False),
        ((24,), "given", 4, True),
        ((23,), "given", 4, False),
        # the samples last; the pixels last; horse last: 8 + 8 + 7 + 1, 8 + 8 + 6, 8 + 8 + 5
        ((24,), "any", 4, True),
        ((23,), "any", 4, False),
        ((16,), "pairs", 4, True),
        ((15,), "pairs", 4, False),
        ((14,), "pairs", 1, True),
        ((13,), "pairs", 1, False),
    ],
)
def test_the_largest_draw_is_looked_for_at_the_beginning(grid, order, align, fits):
    changed = {"grid": grid, "order": order, "context": {"pad_to_multiple_of": align}}
    if fits:
        batches = make(batch_size=50, **changed)
        assert max(answers(batches.at(0)["tokens"])[1]) == grid[0] - 1
        return
    message = (
        rf"^line of a horse: its items and the end token need up to {grid[0] + 1} positions, "
        rf"a context has {grid[0]}; the largest item, sound 7, has 7 tokens$"
    )
    with pytest.raises(MdnnError, match=message):
        make(**changed)
    with pytest.raises(MdnnError, match="line of a horse: its items and the end"):
        item_windows(LINES, TOKENIZER, Context(grid, pad_to_multiple_of=align), 2, order=order)
    assert make(truncate=True, **changed).at(0)["tokens"].shape == (5, grid[0], 8)


@pytest.mark.parametrize("objectives", [TURN, ONCE, UNMASK])
def test_cut_items(objectives):
    line = Example(((Item("text", "abc"),), (Item("text", "defgh"),)))
    for positions in range(2, 10):
        batches = make(objectives, [line], (positions,), "given", truncate=True)
        right = make(TURN, [line], (positions,), "given", truncate=True).at(0)["tokens"]
        assert right[0, :, 3].tolist() == [*b"abcdefgh", 0][:positions]
        batch = batches.at(0)
        counted = batch["targets"][..., 0] != 0
        weights = batch["weights"]
        if objectives is not UNMASK:
            first = 0 if objectives is TURN else 3 - 1
            assert counted[0].tolist() == [first <= s < positions - 1 for s in range(positions)]
        assert np.isfinite(weights).all()
        if counted.any():
            assert weights[counted].mean() == pytest.approx(1, rel=1e-5)


def test_the_longest_of_each_kind():
    context = Context((64,))
    assert check_lengths(LINES, TOKENIZER, context) == {"text": 5, "grey": 6, "audio": 7}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"examples": []}, "at least one example"),
        ({"batch_size": 0}, "batch_size must be at least 1; received 0"),
        ({"steps": 0}, "steps must be at least 1; received 0"),
        ({"prompt_weight": -1.0}, "prompt_weight must be at least 0; received -1"),
        ({"prompt_weight": float("nan")}, "prompt_weight must be at least 0; received nan"),
        ({"objectives": Objectives(autoregressive=0.0)}, "one above 0"),
        ({"order": "none"}, "expected an order"),
        (
            {"examples": [Example(((Item("audio", np.ones(3, np.int16), 50, "a.wav"),),))]},
            r"^a\.wav: expected 100 samples per second, received 50",
        ),
    ],
)
def test_bad_arguments(changed, message):
    with pytest.raises(MdnnError, match=message):
        make(**changed)


def test_an_epoch_holds_about_every_alternative():
    assert len(make(batch_size=1)) == 3 + 2
    assert len(make(batch_size=2)) == 2
    assert len(make(batch_size=7)) == 1
    assert len(make(steps=9)) == 9


def test_fit_takes_the_weights():
    import keras

    inputs = {
        name: keras.Input((32, 8), dtype="int32", name=name) for name in ("tokens", "targets")
    }
    hidden = keras.layers.Rescaling(1 / 100)(inputs["tokens"])
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden)[..., 0])

    def loss(targets, prediction):
        # 1 where a position counts, whatever the network says
        return keras.ops.cast(targets[..., 0] != 0, "float32") + 0 * prediction

    class Loss(keras.losses.Loss):
        def call(self, targets, prediction):
            return loss(targets, prediction)

    model.compile("sgd", loss=Loss(), run_eagerly=True)
    batches = make(prompt_weight=0.5, steps=2)
    history = model.fit(batches, epochs=2, shuffle=False, verbose=0).history
    # the weights' mean over what counts is 1, so the loss is the share of positions that count
    shares = [(batches.at(step)["targets"][..., 0] != 0).mean() for step in range(4)]
    np.testing.assert_allclose(
        history["loss"], np.mean(np.reshape(shares, (2, 2)), axis=1), rtol=1e-5
    )


@pytest.mark.parametrize("objective", ["autoregressive", "parallel", "masked_diffusion"])
def test_windows_hold_every_alternative_once(objective):
    context = Context((4, 8))
    arguments = (LINES, TOKENIZER, context, 4, objective)
    batches = list(item_windows(*arguments, seed=3))
    assert all(same(a, b) for a, b in zip(batches, item_windows(*arguments, seed=3), strict=True))
    # three contexts of the first line, two of the second, in batches of 4
    assert len(batches) == 2
    joined = {
        name: np.concatenate([batch[name].reshape(4, 32, -1) for batch in batches])
        for name in batches[0]
    }
    assert batches[0]["tokens"].shape == batches[0]["targets"].shape == (4, 32, 8)
    for name, dtype in (("counted", bool), ("weights", np.float32)):
        assert batches[0][name].shape == (4, 32)
        assert batches[0][name].dtype == dtype
    counted = joined["counted"][..., 0]
    np.testing.assert_array_equal(counted, joined["targets"][..., 0] != 0)
    assert not any(array[5:].any() for array in joined.values())
    weights = joined["weights"][..., 0]
    if objective == "autoregressive":
        names = [
            [
                item.value if item.kind == "text" else item.value.size
                for item in TOKENIZER.items(rows)
            ]
            for rows in joined["tokens"][:5]
        ]
        assert names == [["cat", 6]] * 3 + [["horse", 6, 4], ["horse", 6, 7]]
        pixels = joined["tokens"][:5, 5:8, 1].max(axis=1).tolist()
        assert len(set(pixels[:3])) == 3
        assert counted.sum(axis=1).tolist() == [9, 9, 9, 15, 18, 0, 0, 0]
    else:
        blank = joined["tokens"][:5, :, 0] == BLANK
        assert blank.any(axis=1).all()
        # an answer's weights sum to its units and the end
        np.testing.assert_allclose(weights.sum(axis=1)[:5], [7, 7, 7, 5, 8], rtol=1e-6)
    np.testing.assert_array_equal(weights != 0, counted)
    if objective != "autoregressive":
        other = list(item_windows(*arguments, seed=4))
        assert not all(same(a, b) for a, b in zip(batches, other, strict=True))


def test_windows_in_pairs_and_in_any_order():
    context = Context((32,))
    count = sum(
        batch["counted"].any(axis=1).sum()
        for batch in item_windows(LINES, TOKENIZER, context, 3, order="pairs")
    )
    # cat: 2 orders x 3; horse: 3 pairs, 2 orders, 2 alternatives each
    assert count == 2 * 3 + 6 * 2
    (batch,) = item_windows(LINES * 4, TOKENIZER, context, 30, order="any")
    assert set(batch["tokens"][:20, 0, 0]) == {1, 4, 7}


def test_windows_of_a_part_come_from_all_over():
    context = Context((32,))
    (batch,) = item_windows(LINES, TOKENIZER, context, 4, most=2)
    kinds = [[item.kind for item in TOKENIZER.items(rows)] for rows in batch["tokens"]]
    assert kinds == [["text", "grey"], ["text", "grey"], [], []]
    (batch,) = item_windows(LINES, TOKENIZER, context, 5, most=9)
    assert batch["counted"].any(axis=1).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"objective": "all"},
            "expected an objective: autoregressive, parallel, masked_diffusion; received 'all'",
        ),
        ({"batch_size": 0}, "batch_size must be at least 1; received 0"),
        ({"most": 0}, "most must be at least 1; received 0"),
        ({"examples": []}, "at least one example"),
    ],
)
def test_bad_windows_are_refused_at_once(changed, message):
    options = {
        "examples": LINES,
        "tokenizer": TOKENIZER,
        "context": Context((32,)),
        "batch_size": 2,
    } | changed
    with pytest.raises(MdnnError, match=message):
        item_windows(**options)


def test_rows_are_kept_and_a_batch_is_cheap():
    calls = []

    class Counting(ItemTokenizer):
        """Remembers which items it made rows of."""

        def tokens(self, item, number=0):
            calls.append(item)
            return super().tokens(item, number)

    sounds = tuple(Item("audio", np.zeros(2500, np.int16)) for _ in range(4))
    line = Example(((Item("text", "seven"),), sounds))
    batches = ItemBatches([line], Counting(), Context((3, 32, 32)), 12, 0, MIX, "any")
    times = []
    for step in range(30):
        start = time.process_time()
        batches.at(step)
        times.append(time.process_time() - start)
    assert len(calls) == len(set(calls)) == 5
    # CPU seconds: other work on the machine does not count.
    # measured at 0.4 ms in turn, 3.5 ms at once, 4.4 ms by unmasking
    assert np.median(times) < 30e-3
