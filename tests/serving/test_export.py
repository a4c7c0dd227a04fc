"""SavedModels: signatures, the same text as `mdnn.generate`, warm-up requests, what is refused."""

import gc
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import mdnn

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are TensorFlow's", allow_module_level=True)

import tensorflow as tf

from mdnn.serving.clients import saved_model_text as ask
from mdnn.serving.export import saved_model as export
from mdnn.serving.export import warmup

POSITIONS = 8
PROMPTS = ["The ", "m", "The cat sat on the mat. The dog", "Ça va, naïve 😀 日本\u0000"]


@pytest.fixture(scope="session")
def exported(tiny_exported):
    return tiny_exported


@pytest.fixture(scope="session")
def words_exported(words_run, tmp_path_factory):
    return mdnn.export(words_run, tmp_path_factory.mktemp("served"), xla=False)


@pytest.fixture(scope="module")
def generate(exported):
    """The signature as a function of plain values that gives a list of strings."""
    return called(tf.saved_model.load(str(exported)))


@pytest.mark.parametrize("pick", [pytest.param("signature", marks=pytest.mark.long), "attribute"])
def test_a_loaded_function_keeps_its_variables(exported, opened_tiny, pick):
    """As people paste it: in one expression, then inside tf.data and tf.function."""
    loaded = tf.saved_model.load(str(exported))
    generate = loaded.signatures["generate"] if pick == "signature" else loaded.generate
    del loaded
    gc.collect()
    settings = {"length": tf.constant(5), "temperature": tf.constant(0.0), "seed": tf.constant(1)}
    expected = [p + mdnn.generate(opened_tiny, p, length=5, temperature=0) for p in PROMPTS[:2]]
    prompts = tf.data.Dataset.from_tensor_slices(PROMPTS[:2]).batch(1)
    texts = prompts.map(lambda prompt: generate(prompt=prompt, **settings)["text"]).unbatch()
    found = [text.decode() for text in texts.as_numpy_iterator()]
    assert [p + text for p, text in zip(PROMPTS, found, strict=False)] == expected

    @tf.function
    def written(prompt):
        return tf.strings.join([prompt, generate(prompt=prompt, **settings)["text"]])

    assert [text.decode() for text in written(tf.constant(PROMPTS[:2])).numpy()] == expected
    # Twice in one expression: nothing was compiled for the first one.
    again = tf.saved_model.load(str(exported)).signatures["generate"]
    assert again(prompt=tf.constant(["The "]), **settings)["text"].shape == (1,)


def called(loaded):
    signature = loaded.signatures["generate"]

    def write(prompts, length, temperature=0.0, seed=0):
        text = signature(
            prompt=tf.constant(
                [p if isinstance(p, bytes) else p.encode() for p in prompts], tf.string
            ),
            length=tf.constant(length, tf.int32),
            temperature=tf.constant(temperature, tf.float32),
            seed=tf.constant(seed, tf.int32),
        )["text"]
        return [raw.decode("utf-8") for raw in text.numpy()]

    # The module is what keeps the signature's variables.
    write.loaded = loaded
    return write


def written(run, prompt, length, temperature, seed):
    """What `mdnn.generate` writes."""
    return mdnn.generate(run, prompt, length=length, temperature=temperature, seed=seed)


def process(*words):
    """Runs Python with words that follow; returns its standard output, bytes."""
    done = subprocess.run([sys.executable, *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
    return done.stdout


def test_what_is_in_the_folder(exported):
    assert exported.name == "1"
    assert os.listdir(exported.parent) == ["1"]
    assert sorted(os.listdir(exported)) == [
        "assets",
        "assets.extra",
        # No fingerprint.pb: it would not be that of the graph as it is rewritten.
        "saved_model.pb",
        "variables",
    ]
    assert exported.stat().st_mode & 0o777 == 0o755


def test_the_next_number_that_is_free(tmp_path, monkeypatch, tiny_run):
    # What is saved is tested above; saving takes seconds.
    monkeypatch.setattr(
        export.tf.saved_model, "save", lambda _, path, **__: os.mkdir(f"{path}/variables")
    )
    monkeypatch.setattr(export, "keep_variables", lambda folder: None)
    for name in ("7", "12x", "²", ".hidden"):
        (tmp_path / name).mkdir()
    assert mdnn.export(tiny_run, tmp_path) == tmp_path / "8"
    assert mdnn.export(str(tiny_run), str(tmp_path)) == tmp_path / "9"
    assert (tmp_path / "9" / "variables").is_dir()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".export")]


@pytest.mark.long
def test_signatures_by_saved_model_cli(exported):
    tool = "tensorflow.python.tools.saved_model_cli"
    shown = process("-m", tool, "show", "--dir", str(exported), "--all").decode()
    lines = [" ".join(line.split()) for line in shown.splitlines()]

    def after(*titles):
        """The lines that describe what the last of some titles, found in turn, stands above."""
        place = -1
        for title in titles:
            place = lines.index(title, place + 1)
        return lines[place + 1 : place + 3]

    generate = ("signature_def['generate']:",)
    inputs = {"prompt": "DT_STRING", "length": "DT_INT32", "temperature": "DT_FLOAT"}
    for name, dtype in (inputs | {"seed": "DT_INT32"}).items():
        shape = "(-1)" if name == "prompt" else "unknown_rank"
        found = after(*generate, f"inputs['{name}'] tensor_info:")
        assert found == [f"dtype: {dtype}", f"shape: {shape}"]
    text = after(*generate, "outputs['text'] tensor_info:")
    assert text == ["dtype: DT_STRING", "shape: (-1)"]
    default = ("signature_def['serving_default']:",)
    tokens = after(*default, "inputs['tokens'] tensor_info:")
    assert tokens == ["dtype: DT_INT32", "shape: (-1, 8, 8)"]
    scores = after(*default, "outputs['scores'] tensor_info:")
    assert scores == ["dtype: DT_FLOAT", "shape: (-1, 8, 529)"]
    unit = after(*default, "outputs['unit'] tensor_info:")
    assert unit == ["dtype: DT_INT32", "shape: (-1, 8, 4)"]


@pytest.mark.long
def test_text_by_saved_model_cli(exported, tiny_run):
    shown = process(
        "-m",
        "tensorflow.python.tools.saved_model_cli",
        *("run", "--dir", str(exported), "--tag_set", "serve", "--signature_def", "generate"),
        "--input_exprs",
        'prompt=["The "];length=20;temperature=0.8;seed=3',
    ).decode()
    expected = written(tiny_run, "The ", 20, 0.8, 3).encode()
    assert shown.strip().endswith(f"Result for output key text:\n[{expected!r}]")


# Runs where neither mdnn nor keras can be imported; writes what it is asked for as JSON.
ALONE = """
import json, runpy, sys
asked = json.loads(sys.argv[1])
runpy.run_path(asked["ask"])["main"](asked["path"], "The ", "30", "0.8", "5")
assert sys.modules["mdnn"] is None and sys.modules["keras"] is None
import tensorflow as tf
model = tf.saved_model.load(asked["path"])
for temperature, seed in asked["settings"]:
    text = model.signatures["generate"](
        prompt=tf.constant([p.encode() for p in asked["prompts"]]),
        length=tf.constant(asked["length"]),
        temperature=tf.constant(temperature),
        seed=tf.constant(seed),
    )["text"]
    print(json.dumps([raw.decode() for raw in text.numpy()]))
"""


def test_the_same_text_from_a_process_without_mdnn_and_keras(exported, opened_tiny):
    settings = [(0.0, 0), (0.8, 7), (2.0, -1)]
    asked = {
        "ask": ask.__file__,
        "path": str(exported),
        "prompts": PROMPTS,
        "settings": settings,
        "length": 37,
    }
    # -I: no PYTHONPATH, nothing from the folder it runs in.
    first, *lines = process("-I", "-c", ALONE, json.dumps(asked)).decode("utf-8").split("\n")[:-1]
    run, expected = opened_tiny, []
    assert first == written(run, "The ", 30, 0.8, 5)
    for temperature, seed in settings:
        expected.append([written(run, p, 37, temperature, seed) for p in PROMPTS])
    assert [json.loads(line) for line in lines] == expected
    assert len({text for texts in expected for text in texts}) > 6


def test_one_value_for_all_rows_or_one_each(generate, opened_tiny):
    run = opened_tiny
    lengths, warmth, seeds = [0, 3, 21, 17], [0.0, 0.8, 1.0, 2.0], [4, 5, 6, 7]
    each = generate(PROMPTS, lengths, warmth, seeds)
    for text, *settings in zip(each, PROMPTS, lengths, warmth, seeds, strict=True):
        assert text == written(run, *settings)
    for length, temperature, seed in ((12, 0.8, 5), ([12], [0.8], [5])):
        together = generate(PROMPTS, length, temperature, seed)
        assert together == [written(run, p, 12, 0.8, 5) for p in PROMPTS]


def test_groups_share_no_lock(exported):
    """What XLA compiles takes no variables: it would lock them, and groups would wait."""
    graph = tf.saved_model.load(str(exported)).signatures["generate"].graph.as_graph_def()
    compiled = [f for f in graph.library.function if f.attr["_XlaMustCompile"].b]
    assert compiled
    for function in compiled:
        assert tf.resource.as_datatype_enum not in [a.type for a in function.signature.input_arg]


def test_more_than_a_group(generate, opened_tiny):
    run = opened_tiny
    prompts = [*PROMPTS, "The dog", *PROMPTS, *PROMPTS, *PROMPTS]
    lengths, warmth, seeds = [9, 0, 5, 20, 9, 8, 7, 1, 30] * 2, [0.9] * 17, [*range(17)]
    del lengths[17:]
    found = generate(prompts, lengths, warmth, seeds)
    for text, *settings in zip(found, prompts, lengths, warmth, seeds, strict=True):
        assert text == written(run, *settings)


def test_nothing_asked_for(generate):
    assert generate(PROMPTS, 0) == [""] * 4
    assert generate(["The "], 0, 1.0) == [""]
    assert generate(PROMPTS[:0], 5) == []


@pytest.mark.long
def test_words_one_value_each(words_exported, opened_words):
    write, run = called(tf.saved_model.load(str(words_exported))), opened_words
    lengths = [0, 1, 30, 18]
    expected = [written(run, p, n, 1.0, 3) for p, n in zip(PROMPTS, lengths, strict=True)]
    assert write(PROMPTS, lengths, 1.0, 3) == expected
    assert write(["The cat"], 0) == [""]


@pytest.mark.parametrize(
    ("prompts", "length", "temperature", "message"),
    [
        (["The ", ""], 5, 0.5, "prompt: expected at least one character"),
        ([b"The \xff"], 5, 0.5, "Invalid formatting on input string"),
        (["The "], -1, 0.5, "length: expected 0 or more"),
        (["The ", "m"], [3, -5], 0.5, "length: expected 0 or more"),
        (["The "], -5, 0.5, "length: expected 0 or more"),
        (["The "], 1_000_001, 0.5, "length: expected at most 1000000"),
        (["The "], 5, -0.5, "temperature: expected 0 or more"),
        (["The "], 5, float("nan"), "temperature: expected 0 or more"),
        (["The ", "m"], [1, 2, 3], 0.5, "ncompatible shapes"),
    ],
)
def test_what_a_signature_refuses(generate, prompts, length, temperature, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        generate(prompts, length, temperature)


def test_serving_default_scores_like_the_model(generate, opened_tiny):
    run = opened_tiny
    units = run.tokenizer.ids("The cat sat on the mat. Ça ")[:24].reshape(3, POSITIONS)
    tokens = run.tokenizer.tokens(units)
    tokens[2, 5:] = 0
    found = generate.loaded.signatures["serving_default"](tokens=tf.constant(tokens))
    scores = np.asarray(run.model({"tokens": tokens, "targets": None}))
    np.testing.assert_allclose(found["scores"], scores, rtol=1e-5, atol=1e-5)
    plane, row, cell = (s.argmax(axis=-1) for s in np.split(scores, [17, 17 + 256], axis=-1))
    expected = np.stack([np.ones_like(plane), plane, row, cell], axis=-1)
    np.testing.assert_array_equal(found["unit"], expected)


def test_warmup_requests(generate, exported):
    messages = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    file = exported / "assets.extra" / "tf_serving_warmup_requests"
    records = [raw.numpy() for raw in tf.data.TFRecordDataset(str(file))]
    names = []
    for record in records:
        log = messages.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        name = request.model_spec.signature_name
        inputs = {key: tf.constant(tf.make_ndarray(t)) for key, t in request.inputs.items()}
        answer = generate.loaded.signatures[name](**inputs)
        names.append((name, sorted(inputs), sorted(answer)))
    assert names == [
        ("serving_default", ["tokens"], ["scores", "unit"]),
        ("generate", ["length", "prompt", "seed", "temperature"], ["text"]),
    ]


def test_long_fields_of_a_request():
    messages = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    tokens = np.arange(2 * 300 * 8, dtype="int32").reshape(2, 300, 8)
    raw = warmup.prediction_log("näme", {"tokens": tf.constant(tokens)})
    request = messages.PredictionLog.FromString(raw).predict_log.request
    assert request.model_spec.signature_name == "näme"
    np.testing.assert_array_equal(tf.make_ndarray(request.inputs["tokens"]), tokens)


@pytest.mark.parametrize("there", [False, True])
def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch, tiny_run, there):
    target = tmp_path / "new" / "folder"
    if there:
        (target / "1").mkdir(parents=True)

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(export.tf.saved_model, "save", lambda _, path, **__: None)
    monkeypatch.setattr(export, "keep_variables", lambda folder: None)
    monkeypatch.setattr(export, "write_warmup", fail)
    with pytest.raises(OSError, match="the disk is full"):
        mdnn.export(tiny_run, target)
    if there:
        assert os.listdir(target) == ["1"]
    else:
        assert os.listdir(tmp_path) == []


def test_what_cannot_be_exported(tmp_path, tiny_run):
    with pytest.raises(mdnn.MdnnError, match="none is not a run folder: there is nothing there"):
        mdnn.export(tmp_path / "none", tmp_path / "served")
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").write_text("text")
    with pytest.raises(mdnn.MdnnError, match="file is a file, expected a folder to export into"):
        mdnn.export(tiny_run, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "text"
