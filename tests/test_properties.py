"""Inputs that nobody thought of: configs build or are refused, texts and items come back."""

import copy
import dataclasses
import math
import os
import re
import tomllib
import types
import typing

import hypothesis
import keras
import numpy as np
import pytest
import tiny
from gradients import loss_and_gradients
from hypothesis import strategies as st

import mdnn
from mdnn.config.load import Config
from mdnn.datasets.media.media_files import item_bytes, read_picture, read_sound
from mdnn.models.loss import loss_for
from mdnn.tasks import task_for
from mdnn.tokens.characters import TextTokenizer
from mdnn.tokens.item_tokenizer import ItemTokenizer
from mdnn.tokens.items import Item

QUICK = hypothesis.settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=50,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def keys(schema, where=()):
    """Every key of a config: dict from its path to `(kind, limits)`."""
    found = {}
    for field in dataclasses.fields(schema):
        kind = typing.get_type_hints(schema)[field.name]
        if typing.get_origin(kind) in (typing.Union, types.UnionType):
            kind = next(k for k in typing.get_args(kind) if k is not type(None))
        path = (*where, field.name)
        if dataclasses.is_dataclass(kind):
            found |= keys(kind, path)
        elif typing.get_origin(kind) is tuple and dataclasses.is_dataclass(
            typing.get_args(kind)[0]
        ):
            found |= keys(typing.get_args(kind)[0], (*path, 0))
        else:
            found[path] = kind, field.metadata
    return found


KEYS = keys(Config)
NAMES = {str(part) for path in KEYS for part in path}
# What decides where data come from is given, and how long training takes is not tried.
FIXED = {("data", "source"), ("train", "minutes"), ("train", "steps")}
WORDS = {
    "wiring": ("full", "causal", "causal+shift", "shift", "local", "random", "causal+local", "x"),
    "gate": ("none", "silu", "gelu", "melu", "sort2", "x"),
    "activation": ("none", "relu", "melu", "sort2", "partial(melu, 0.5)", "absolute", "x"),
    "grid": ([8], [2, 4], [4, 8], [2, 2, 4], [1], [3, 5], [], [0], [10**12]),
    "axes": ([], [1], [2], [-1], [0], [1, 2], [2, 1], [9], [1, 1]),
    "modalities": (
        *(["text"], ["text", "word"], ["text", "grey"], ["text", "grey", "audio"], ["grey"], []),
        *(["text", "text"], ["text", "image", "video", "grey", "grey_video", "audio"], ["smell"]),
    ),
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from((10**9, 10**30, -(10**30), 2**31, 2**63)),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(0, 2), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def values(path, draw):
    """A value for a key: a right one mostly, one at its limits, or another."""
    if draw(st.integers(0, 9)) == 7:
        return draw(JUNK)
    kind, limits = KEYS[path]
    least, most = limits.get("least"), limits.get("most")
    if path[-1] in WORDS:
        right = st.sampled_from(WORDS[path[-1]])
    elif limits.get("choices"):
        right = st.sampled_from(limits["choices"])
    elif kind is bool:
        right = st.booleans()
    elif kind is int:
        low = 0 if least is None else least
        right = st.integers(low, min(low + 8, low + 8 if most is None else most))
        if most is not None:
            right = st.one_of(right, st.just(most))
    elif kind is float:
        low = 0.0 if least is None else least
        right = st.floats(low, low + 2.0 if most is None else most)
    else:
        right = st.text(max_size=5)
    return draw(right)


@st.composite
def configs(draw, bases):
    """Tables of configs: good ones of which some keys were changed."""
    table = copy.deepcopy(draw(st.sampled_from(bases)))
    paths = sorted(KEYS.keys() - FIXED, key=str)
    for path in draw(st.lists(st.sampled_from(paths), min_size=1, max_size=3, unique=True)):
        place = table
        for part in path[:-1]:
            if isinstance(part, int):
                part = draw(st.integers(0, max(0, len(place) - 1)))
                if not place:
                    place.append({})
                place = place[part]
            else:
                following = path[path.index(part) + 1]
                place = place.setdefault(part, [] if isinstance(following, int) else {})
        place[path[-1]] = values(path, draw)
    return table


def bases(folder):
    """The tables of tiny good configs, a list; their data lie in the folder."""
    paths = tiny.write_config(folder), tiny.write_items(folder)
    tables = [tomllib.loads(path.read_text(encoding="utf-8")) for path in paths]
    for table in tables:
        table["train"] |= {"steps": 2, "batch_size": 2, "sample": 0}
    words = copy.deepcopy(tables[0])
    words["tokens"] |= {"modalities": ["text", "word"], "words": 20}
    words["context"]["grid"] = [2, 4]
    words["refeed"] = {"steps": 2, "initial_state": "learned"}
    return [tables[0], words, tables[1]]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return bases(tmp_path_factory.mktemp("good"))


def check_config(table):
    """A config builds and takes a step, or is refused with a named key; which of them."""
    try:
        config = Config.from_dict(table)
        # What is written is what is read.
        assert Config.from_dict(tomllib.loads(config.to_toml())) == config
        data = task_for(config)
        model = mdnn.build(config, data.words)
        networks = data.networks(model)
    except mdnn.MdnnError as error:
        line = str(error)
        assert line.isprintable()
        assert NAMES & set(re.findall(r"\w+", line)), line
        return False
    loss, gradients = loss_and_gradients(
        networks[data.batches.objective(0)], loss_for(config), data.batches.at(0)
    )
    assert math.isfinite(float(loss)), table
    assert len(gradients) == len(model.trainable_variables)
    return True


tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="what is refused does not depend on it"
)


@tensorflow_only
def test_a_config_builds_or_is_refused(good):
    taken = []

    @hypothesis.settings(QUICK, max_examples=25, phases=[hypothesis.Phase.generate])
    @hypothesis.given(configs(good))
    def check(table):
        taken.append(check_config(table))

    check()
    assert 3 < sum(taken) < len(taken) - 3, taken


@pytest.mark.long
@tensorflow_only
def test_many_configs_build_or_are_refused(good):
    taken = []
    number = int(os.environ.get("MDNN_FUZZ_CONFIGS", "300"))

    @hypothesis.settings(QUICK, max_examples=number, derandomize=False)
    @hypothesis.seed(1)
    @hypothesis.given(configs(good))
    def check(table):
        taken.append(check_config(table))
        keras.backend.clear_session(free_memory=True)

    check()
    print({"configs": len(taken), "took a step": sum(taken), "refused": taken.count(False)})
    assert len(taken) >= number


TEXTS = st.text(max_size=40)
SMALL = st.integers(1, 4)


@QUICK
@hypothesis.given(TEXTS, st.lists(st.text(min_size=1, max_size=4), max_size=4, unique=True))
def test_any_text_comes_back(text, words):
    for tokenizer in (TextTokenizer(), _codec_of(words)):
        units = tokenizer.ids(text)
        assert tokenizer.text(units) == text
        np.testing.assert_array_equal(tokenizer.ids_from_tokens(tokenizer.tokens(units)), units)
    if text:
        item = Item("text", text)
        assert ItemTokenizer().item(ItemTokenizer().tokens(item)).value == text
        assert item_bytes(item)[0].decode("utf-8-sig") == text


def _codec_of(words):
    """The tokenizer of a table of words, or of none where the table is refused."""
    try:
        return TextTokenizer(words)
    except mdnn.MdnnError:
        return TextTokenizer()


@st.composite
def pictures(draw):
    kind = draw(st.sampled_from(("image", "grey", "video", "grey_video")))
    shape = [draw(SMALL), draw(SMALL)]
    shape = [draw(SMALL), *shape] if "video" in kind else shape
    shape = [*shape, 3] if kind in ("image", "video") else shape
    size = math.prod(shape)
    data = draw(st.binary(min_size=size, max_size=size))
    return Item(kind, np.frombuffer(data, np.uint8).reshape(shape))


@QUICK
@hypothesis.given(pictures())
def test_any_picture_comes_back(item):
    for back in (
        read_picture(item_bytes(item)[0], "a.png"),
        ItemTokenizer().item(ItemTokenizer().tokens(item)),
    ):
        assert back.kind == item.kind
        np.testing.assert_array_equal(back.value, item.value)


@QUICK
@hypothesis.given(
    st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=50), st.integers(100, 192_000)
)
def test_any_sound_comes_back(samples, rate):
    item = Item("audio", np.array(samples, np.int16), rate=rate)
    tokenizer = ItemTokenizer(rate=rate)
    for back in (
        read_sound(item_bytes(item)[0], name="a.wav"),
        tokenizer.item(tokenizer.tokens(item)),
    ):
        assert (back.kind, back.rate) == ("audio", rate)
        np.testing.assert_array_equal(back.value, item.value)


@QUICK
@hypothesis.given(st.lists(st.one_of(pictures(), TEXTS.filter(bool)), min_size=1, max_size=3))
def test_any_items_come_back_from_one_context(items):
    tokenizer = ItemTokenizer()
    rows = np.concatenate([tokenizer.tokens(item, number) for number, item in enumerate(items)])
    back = tokenizer.items(rows)
    assert len(back) == len(items)
    for one, other in zip(back, items, strict=True):
        other = other if isinstance(other, Item) else Item("text", other)
        assert one.kind == other.kind
        np.testing.assert_array_equal(one.value, other.value)
