"""Networks whose embedding sizes differ by modality."""

import tomllib

import keras
import numpy as np
import pytest
from backends import to_numpy, values
from networks import make_config, mix, randomize, text_tokens, tiny
from test_causality import assert_causal, influence

import mdnn
from mdnn.config.load import Config
from mdnn.layers import ModalityEmbedding, ModalityHeads
from mdnn.models.thinking.answer_feedback import AnswerFeedback

FEED = {"kind": "feedforward", "gate": "silu", "width": 6}


def test_a_sure_answer_is_fed_back_as_its_token():
    names = ("text", "word", "grey")
    embedding = ModalityEmbedding(
        16, modalities=names, letters=[[97, -1], [98, 99]], sizes={"word": 3, "grey": 5}
    )
    heads = ModalityHeads(names)
    embedding.build((None, 4, 8))
    heads.build((None, 4, 16))
    randomize(embedding)
    for token in ((2, 0, 1), (4, 77, 0)):
        token = np.array([[[*token, 0, 0, 0, 0, 0]]], "int32")
        for step in heads.steps:
            heads.kernels[step.name].assign(np.zeros(heads.kernels[step.name].shape))
            sure = np.zeros(step.classes)
            sure[int(to_numpy(step.answer(token))[0, 0])] = 40.0
            heads.biases[step.name].assign(sure)
        found = to_numpy(AnswerFeedback(None, heads, embedding)(np.ones((1, 1, 16), "float32")))
        np.testing.assert_allclose(found, to_numpy(embedding(token)), rtol=1e-4, atol=1e-4)


def make_text():
    branches = mix({"wiring": "causal+shift", "groups": 2}, gate="silu"), FEED
    tokens = {"coordinates": True, "embedding_size": {"text": 3}}
    return make_config(*branches, grid=(5,), tokens=tokens)


@pytest.fixture(scope="module")
def text():
    return randomize(mdnn.build(make_text()))


def test_networks_are_causal_and_come_back_from_a_file(text, tmp_path):
    assert text.embedding.weights[0].shape[1] == 3
    assert_causal(influence(text.config))
    text.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    tokens = text_tokens((2, 5))
    expected = values(lambda t: text.scores(t, t), tokens)
    np.testing.assert_allclose(values(lambda t: loaded.scores(t, t), tokens), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["grey=24"], "tokens.embedding_size.grey: expected 'grey' in tokens.modalities, received"),
        (["text=-1"], "tokens.embedding_size.text: expected between 0 and 65536, received -1"),
        (["txt=3"], "unknown key 'tokens.embedding_size.txt' (did you mean 'text'?)"),
        (
            ["text=3", "tokens.table=bits"],
            "tokens.embedding_size.text: tokens.table = 'bits' has no tables; expected 0, received",
        ),
        (
            [
                "subword=3",
                "tokens.modalities=['subword']",
                "tokens.subwords=300",
                "tokens.tied=true",
            ],
            "embedding_size.subword: tokens.tied makes the table a head, which is as wide as",
        ),
    ],
)
def test_configs_refuse(settings, message):
    settings = [s if "." in s else f"tokens.embedding_size.{s}" for s in settings]
    with pytest.raises(mdnn.MdnnError) as refused:
        mdnn.load_config("text", settings)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_candidates_have_no_size():
    with pytest.raises(mdnn.MdnnError, match=r"symbol: tokens.candidates embeds each candidate"):
        mdnn.load_config("sudoku-4x4", ["tokens.embedding_size.symbol=3", "tokens.candidates=4"])


def test_three_sizes_in_one_network():
    sizes = {"text": 32, "grey": 24, "spectrum": 16}
    changes = [f"tokens.embedding_size.{name}={size}" for name, size in sizes.items()]
    network = mdnn.build(tiny("digits", *changes))
    found = {w.name: tuple(w.shape) for w in network.embedding.weights}
    for name, size in sizes.items():
        assert found[f"{name}_byte_1"][1] == size
        assert found[f"{name}_kernel"] == (size, 8)
    assert found["blank_byte_1"] == (16, 8)
    again = Config.from_dict(tomllib.loads(network.config.to_toml()))
    assert again == network.config
