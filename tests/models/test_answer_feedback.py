"""The embedding of what a state answers: where the heads are sure, that of the token itself."""

import keras
import numpy as np
import pytest
from backends import to_numpy, weight_gradients
from networks import normal

from mdnn.layers import ModalityEmbedding, ModalityHeads
from mdnn.models.thinking.answer_feedback import AnswerFeedback
from mdnn.tokens import modality

LETTERS = [[97, -1], [98, 99], [100, 101]]
UNITS = {
    "text": (1, 3, 200),
    "word": (0, 2, 0),
    "grey": (77, 0, 0),
    "audio": (200, 17, 0),
    "end": (0, 0, 0),
}


def made(names, table="bytes", width=64):
    """An embedding and heads of such modalities, and the function between them."""
    letters = LETTERS if "word" in names else None
    embedding = ModalityEmbedding(width, modalities=names, table=table, letters=letters)
    heads = ModalityHeads(names, table=table)
    embedding.build((None, 4, 8))
    heads.build((None, 4, width))
    for number, weight in enumerate(embedding.weights):
        weight.assign(np.random.default_rng(number).normal(size=weight.shape))
    return embedding, heads, AnswerFeedback(None, heads, embedding)


def token_of(name):
    return np.array([[[modality(name).index, *UNITS[name], 0, 0, 0, 0]]], "int32")


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (("text",), "text"),
        (("text", "word"), "word"),
        (("text", "grey", "audio", "end"), "grey"),
        (("text", "grey", "audio", "end"), "audio"),
        (("text", "grey", "audio", "end"), "end"),
    ],
    ids=str,
)
def test_a_sure_answer_is_embedded_as_its_token(names, answer):
    embedding, heads, feedback = made(names)
    token = token_of(answer)
    for step in heads.steps:
        heads.kernels[step.name].assign(np.zeros(heads.kernels[step.name].shape))
        sure = np.zeros(step.classes)
        sure[int(to_numpy(step.answer(token))[0, 0])] = 40.0
        heads.biases[step.name].assign(sure)
    found = to_numpy(feedback(normal(1, 1, 64)))
    np.testing.assert_allclose(found, to_numpy(embedding(token)), rtol=1e-4, atol=1e-4)


def test_a_doubtful_answer_is_a_mean():
    embedding, heads, feedback = made(("text", "grey"))
    for weight in heads.weights:
        weight.assign(np.zeros(weight.shape))
    # Every class is as likely as any other.
    tables = {w.path.rsplit("/", 1)[-1]: to_numpy(w).mean(axis=0) for w in embedding.weights}
    text = sum(tables[f"text_byte_{k}"] for k in (1, 2, 3))
    expected = (text + tables["grey_byte_1"]) / 2
    found = to_numpy(feedback(normal(1, 2, 3, 64)))
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-4, atol=1e-4)


def test_answers_in_bits():
    embedding, heads, feedback = made(("text", "grey"), table="bits")
    token = token_of("text")
    signs = to_numpy(embedding(token))
    found = to_numpy(feedback((40 * signs).astype("float32")))
    # Outside of the bits that are answered there is nothing.
    count = heads.compute_output_shape((1, 1, 64))[-1] // 2
    np.testing.assert_allclose(found[..., :count], signs[..., :count], atol=1e-5)
    assert (found[..., count:] == 0).all()


def test_gradients_reach_the_heads():
    embedding, heads, feedback = made(("text", "grey"))

    class Fed(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.heads, self.built = embedding, heads, True

        def call(self, x):
            return feedback(x)

    for number, weight in enumerate(heads.weights):
        weight.assign(np.random.default_rng(number).normal(size=weight.shape) / 4)
    found = weight_gradients(Fed(), lambda y: keras.ops.sum(y * y), normal(2, 3, 64))
    for name in ("text_byte_1_kernel", "grey_byte_1_kernel", "modality_kernel", "grey_byte_1"):
        (gradient,) = (g for path, g in found.items() if path.endswith(f"/{name}"))
        assert np.abs(gradient).max() > 1e-4, name
