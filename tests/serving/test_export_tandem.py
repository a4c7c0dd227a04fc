"""SavedModels of networks in tandem: all members, one of them, and a student."""

import keras
import numpy as np
import pytest
from tandem_networks import saved_student, saved_tandem

import mdnn
from mdnn.runs.run_folder import open_run

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are TensorFlow's", allow_module_level=True)

import tensorflow as tf
from networks import text_tokens

PROMPTS = ["The cat", "m"]


pytestmark = pytest.mark.usefixtures("decoded_without_xla")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved_tandem(tmp_path_factory.mktemp("tandem"))


def check(run, folder, settings):
    """Checks both signatures of a run's SavedModel, which XLA does not compile."""
    loaded = tf.saved_model.load(str(mdnn.export(run, folder, xla=False)))
    tokens = text_tokens((2, 8))
    answer = loaded.signatures["serving_default"](tokens=tf.constant(tokens))
    expected = keras.ops.convert_to_numpy(run.model.heads(run.model.hidden(tokens)))
    np.testing.assert_allclose(answer["scores"].numpy(), expected, atol=1e-5)
    generate = loaded.signatures["generate"]
    for temperature, seed in settings:
        answer = generate(
            prompt=tf.constant(PROMPTS),
            length=tf.constant(20),
            temperature=tf.constant(temperature),
            seed=tf.constant(seed),
        )["text"].numpy()
        texts = [
            mdnn.generate(run, prompt, length=20, temperature=temperature, seed=seed)
            for prompt in PROMPTS
        ]
        assert [text.decode() for text in answer] == texts


@pytest.mark.parametrize("member", [None, pytest.param(1, marks=pytest.mark.long)])
def test_all_and_one(run, tmp_path, member):
    check(run.member(member), tmp_path / "served", [(0.0, 0), (0.8, 3)])


@pytest.mark.long
def test_a_student_and_small_weights(run, tmp_path):
    check(saved_student(run, tmp_path), tmp_path / "student-served", [(0.0, 0), (0.8, 3)])
    small = open_run(mdnn.quantize(run, "int8", tmp_path / "small"))
    check(small, tmp_path / "small-served", [(0.8, 3)])
    one = open_run(mdnn.quantize(run.member(0), "int8", tmp_path / "one"))
    check(one, tmp_path / "one-served", [(0.8, 3)])
