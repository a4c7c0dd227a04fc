"""Penalties, biases and the likeliest tokens, against the probabilities of all tokens."""

import collections
import functools
import json

import keras
import numpy as np
import pytest
import tiny
from keras import ops

from mdnn.config.load import Config
from mdnn.generation.batch_groups import BatchGroups
from mdnn.generation.completions.completion import CompletionRequest
from mdnn.generation.completions.score_offsets import offset_tables, steps_by_kind
from mdnn.generation.completions.token_picker import token_steps
from mdnn.generation.completions.top_tokens import top_tokens
from mdnn.generation.sampling import sample, uniform
from mdnn.generation.text_decoder import TextDecoder
from mdnn.generation.windows import encode_prompts, pad_features
from mdnn.models.builder import build
from mdnn.tokens.characters import CODE_POINTS, TextTokenizer

PRESENCE, FREQUENCY, COUNT = 1.5, 0.7, 6
NETWORKS = ["characters", "words", "full", "subwords"]


@functools.cache
def network(name):
    """An untrained network with random weights, so that all of its classes are likely."""
    tokens, tokenizer = {}, TextTokenizer()
    if name == "words":
        tokenizer = TextTokenizer(("cat", "the", "sat"))
        tokens = {"modalities": ["text", "word"], "words": 3}
    if name == "full":
        tokens = {"heads": "full"}
    if name == "subwords":
        pytest.importorskip("tokenizers")
        from mdnn.tokens.subwords.subword_tokenizer import SubwordTokenizer
        from mdnn.tokens.subwords.subword_training import train_subwords

        tokenizer = SubwordTokenizer(train_subwords(tiny.TEXT, 280), 300)
        tokens = {"modalities": ["subword"], "subwords": 300}
    layers = [{"kind": "mix", "mixer": [{"wiring": "causal+shift", "groups": 2}], "gate": "silu"}]
    backbone = {"width": 8, "depth": 1, "layer": layers}
    table = {"backbone": backbone, "context": {"grid": [8]}, "train": {"steps": 1}}
    model = build(Config.from_dict(table | {"tokens": tokens}), tokenizer.words)
    rng = np.random.default_rng(2)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    return model, tokenizer


def every_token(heads, hidden):
    """The log-probabilities of all tokens: pairs of a modality and an array of its steps' axes."""
    steps = token_steps(heads)
    kinds, tables = steps_by_kind(steps), {}
    first = dict.fromkeys(kinds, 0.0)
    if len(kinds) > 1:
        first = dict(zip(kinds, logs_of(heads, steps[0][1], hidden, {})[0], strict=True))
    for name, own in kinds.items():
        logs, digits = np.full(1, first[name]), np.zeros((1, 0), "int32")
        for k, step in enumerate(own):
            answers = {own[j].name: digits[:, j] for j in range(k)}
            logs = logs[:, None] + logs_of(heads, step, hidden, answers, len(digits))
            last = np.tile(np.arange(step.classes, dtype="int32"), len(digits))
            digits = np.concatenate([np.repeat(digits, step.classes, 0), last[:, None]], axis=1)
            logs = logs.reshape(-1)
        tables[name] = logs.reshape([step.classes for step in own])
    return tables


def logs_of(heads, step, hidden, answers, rows=1):
    answers = {name: ops.convert_to_tensor(values) for name, values in answers.items()}
    scores = heads.scores_of(step, ops.convert_to_tensor(np.repeat(hidden[None], rows, 0)), answers)
    return ops.convert_to_numpy(ops.log_softmax(scores, axis=-1)).astype("float64")


def number(name, index):
    """The id of a token by the classes of its steps."""
    value = 0
    for digit in index:
        value = value * 256 + int(digit)
    return value + CODE_POINTS * (name == "word")


def reference_pick(tables, u, temperature):
    """The token that is sampled step by step from the probabilities of all tokens."""
    marginals = {name: np.logaddexp.reduce(table, axis=None) for name, table in tables.items()}
    names, step = list(tables), 0

    def pick(logs):
        row = np.float32(logs)[None]
        values = np.float32([temperature]), np.int32([0]), np.float32([1])
        return int(sample(ops.convert_to_tensor(row), u(step), *values, sampler="plain")[0])

    name = names[0]
    if len(names) > 1:
        name, step = names[pick(list(marginals.values()))], 1
    table, index = tables[name], ()
    while table.ndim:
        logs = np.logaddexp.reduce(table, axis=tuple(range(1, table.ndim)))
        index = (*index, pick(logs))
        table, step = table[index[-1]], step + 1
    return name, index


@pytest.mark.parametrize("name", NETWORKS)
def test_offsets_of_every_token(name):
    """What is written is what the scores of all tokens with their offsets give, step by step."""
    if keras.backend.backend() == "torch" and name != "characters":
        pytest.skip("the same operations")
    model, tokenizer = network(name)
    ids = tokenizer.ids("the cat sat日")
    biases = tuple((int(k), bias) for k, bias in zip(ids, (9.0, 6.0, -3.0, 12.0), strict=False))
    requests = [
        CompletionRequest("The cat", COUNT, logit_bias=biases),
        CompletionRequest("cat", COUNT, presence_penalty=PRESENCE, frequency_penalty=-FREQUENCY),
        CompletionRequest(
            "a the", COUNT, logit_bias=biases, presence_penalty=-PRESENCE, frequency_penalty=2.0
        ),
    ]
    words = len(tokenizer.words)
    decoder = TextDecoder(model, COUNT, "plain", words, xla=False, return_hidden=True, offsets=True)
    window, filled = encode_prompts(tokenizer, [r.prompt for r in requests], model.positions)
    settings = {
        "seed": np.int32([3, 4, 5]),
        # Sums of a million probabilities are rounded.
        "temperature": np.float32([0.0, 0.0, 0.0] if name == "full" else [1.0, 0.8, 0.0]),
        "top_k": np.zeros(3, "int32"),
        "top_p": np.ones(3, "float32"),
        "presence": np.float32([r.presence_penalty for r in requests]),
        "frequency": np.float32([r.frequency_penalty for r in requests]),
    }
    tables = offset_tables(model.heads, tokenizer, requests)
    groups = BatchGroups(decoder, window, filled, settings, start=tables)
    calls = [groups.decode_all(COUNT // 2) for _ in range(2)]
    for row, request in enumerate(requests):
        decoded = np.concatenate([call[row]["decoded"] for call in calls])
        hidden = np.concatenate([call[row]["hidden"] for call in calls])
        written = tokenizer.ids_from_tokens(pad_features(decoded)).tolist()
        counts = collections.Counter()
        for k, token in enumerate(written):
            logs = every_token(model.heads, hidden[k])
            offsets = collections.Counter(dict(request.logit_bias))
            for other, count in counts.items():
                offsets[other] -= request.presence_penalty + request.frequency_penalty * count
            for other, offset in offsets.items():
                kind = list(logs)[-1] if other >= CODE_POINTS else next(iter(logs))
                value = other - CODE_POINTS * (kind == "word")
                digits = [value >> 8 * k & 255 for k in reversed(range(logs[kind].ndim))]
                logs[kind][tuple(digits) if len(digits) > 1 else value] += offset
            u = functools.partial(random_number, settings["seed"][row], k)
            kind, index = reference_pick(logs, u, float(settings["temperature"][row]))
            expected = number(kind, index)
            if tokenizer.writable(np.array([expected]))[0]:
                assert token == expected
            counts[token] += 1


def number_table(kind, flat):
    value = np.zeros(flat.shape[1], int)
    for digit in flat:
        value = value * 256 + digit
    return value + CODE_POINTS * (kind == "word")


def random_number(seed, written, step):
    return uniform(np.int32([seed]), np.int32([written]), step)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_likeliest_tokens(name):
    model, tokenizer = network(name)
    hidden = np.random.default_rng(5).normal(size=(3, model.width)).astype("float32")
    found = top_tokens(model.heads, tokenizer, hidden * [[0.3], [1.0], [3.0]], 20)
    for row, scale in enumerate((0.3, 1.0, 3.0)):
        every = []
        for kind, table in every_token(model.heads, hidden[row] * np.float32(scale)).items():
            flat = np.stack(np.unravel_index(np.arange(table.size), table.shape))
            numbers = number_table(kind, flat)
            known = tokenizer.writable(numbers)
            every.append(np.stack([numbers[known], table.reshape(-1)[known]]))
        every = np.concatenate(every, axis=1)
        best = np.argsort(-every[1])[:20]
        np.testing.assert_allclose([score for _, score in found[row]], every[1][best], atol=1e-4)
        assert [token for token, _ in found[row]][:3] == every[0][best].astype(int).tolist()[:3]


def test_texts_of_tokens():
    tokenizer = network("words")[1]
    assert tokenizer.token_text(CODE_POINTS) == ("cat", b"cat")
    assert tokenizer.token_text(0x65E5) == ("日", "日".encode())
    assert tokenizer.writable([0xD7FF, 0xD800, 0xE000, CODE_POINTS + 3]).tolist() == [1, 0, 1, 0]
    pytest.importorskip("tokenizers")
    tokenizer = network("subwords")[1]
    number_ = next(k for k, data in enumerate(tokenizer.token_bytes) if data == b"\xe6")
    assert tokenizer.token_text(number_) == ("\N{REPLACEMENT CHARACTER}", b"\xe6")
    assert json.dumps(tokenizer.writable(range(300)).tolist()).count("false") == 300 - len(
        tokenizer.token_bytes
    )
