"""SavedModels of items: the same answers as `mdnn.generate`, and what is refused."""

import base64
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tiny

import mdnn
from mdnn.datasets.media.media_files import item_bytes, read_picture
from mdnn.runs.item_statistics import write_item_statistics
from mdnn.runs.run_files import write_run
from mdnn.runs.run_folder import open_run
from mdnn.tokens.items import Item

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are TensorFlow's", allow_module_level=True)

import tensorflow as tf

from mdnn.serving.clients import saved_model_items as ask_items
from mdnn.serving.export import exported_network as network
from mdnn.serving.export.exported_network import ExportedNetwork
from mdnn.serving.export.item_signatures import ExportedItems
from mdnn.tasks.item_task import ItemTask

# Runs where neither mdnn nor keras can be imported; answers requests, a line of JSON each.
ALONE = """
import base64, json, sys
sys.modules["mdnn"] = sys.modules["keras"] = None
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
def decoded(value):
    return [decoded(one) for one in value] if isinstance(value, list) else base64.b64decode(value)
for line in sys.stdin:
    name, inputs = json.loads(line)
    signature = model.signatures[name]
    specs = signature.structured_input_signature[1]
    for key, value in inputs.items():
        if specs[key].dtype == tf.string:
            value = decoded(value)
        inputs[key] = tf.constant(value, specs[key].dtype)
    try:
        (found,) = signature(**inputs).values()
        found = [base64.b64encode(one).decode() for one in found.numpy()]
    except tf.errors.InvalidArgumentError as error:
        found = str(error)
    print(json.dumps([sorted(specs), found]), flush=True)
"""


def in_base64(value):
    """A value of JSON with bytes in it."""
    if isinstance(value, list):
        return [in_base64(one) for one in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


class Server:
    """Another process with a SavedModel."""

    def __init__(self, path):
        # -I: no PYTHONPATH, nothing from the folder it runs in.
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", ALONE, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def request(self, name, inputs):
        """What is answered: list of bytes, or the error's text; and the names of the inputs."""
        raw = {key: in_base64(value) for key, value in inputs.items()}
        self.process.stdin.write((json.dumps([name, raw]) + "\n").encode())
        self.process.stdin.flush()
        names, found = json.loads(self.process.stdout.readline())
        if isinstance(found, list):
            found = [base64.b64decode(one) for one in found]
        return found, names

    def answer(
        self,
        kind,
        prompts,
        seed=0,
        temperature=0.0,
        decoding="autoregressive",
        form="answer",
        **sizes,
    ):
        """Answers to prompts, dicts of the bytes of their items; or the error's text."""
        inputs = {
            name: [prompt.get(name, b"") for prompt in prompts]
            for name in ("text", "image", "audio")
        }
        hows = [decoding] if isinstance(decoding, str) else decoding
        inputs |= {"seed": seed, "temperature": temperature, "decoding": [h.encode() for h in hows]}
        return self.request(f"{form}_{kind}", inputs | sizes)[0]

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class ExportedPictures(ExportedItems):
    """Pictures from prompts of all kinds: texts and sounds as answers take as long again, each."""

    names = ("serving_default", "answer_grey", "guided_grey")

    def signatures(self):
        found = super().signatures()
        return {name: found[name] for name in self.names}

    def examples(self):
        return [(name, inputs) for name, inputs in super().examples() if name in self.names]


@pytest.fixture(scope="module")
def exported(items_run, tmp_path_factory, thorough):
    with pytest.MonkeyPatch.context() as patch:
        if not thorough:
            patch.setattr(ItemTask, "exported_as", ExportedPictures)
        return mdnn.export(items_run, tmp_path_factory.mktemp("served"), xla=thorough)


@pytest.fixture(scope="module")
def server(exported):
    server = Server(exported)
    yield server
    server.close()


@pytest.fixture(scope="module")
def run(opened_items):
    return opened_items


def file(item):
    return item_bytes(item)[0]


SEVEN, TWO = tiny.picture("seven", 1), tiny.sound("two", 2)
PNG, WAV = file(Item("grey", SEVEN)), file(Item("audio", TWO, rate=1000))
PROMPTS = [
    ({"text": b"one"}, ["one"]),
    ({"image": PNG}, [SEVEN]),
    ({"audio": WAV}, [TWO]),
    ({"text": b"tw", "audio": WAV}, ["tw", TWO]),
    ({"text": "é".encode(), "image": PNG}, ["é", SEVEN]),
    ({}, []),
]
RAW, VALUES = (list(column) for column in zip(*PROMPTS, strict=True))


def value(kind, raw):
    """What a file holds, to be compared."""
    if kind == "text":
        return raw.decode()
    return raw if kind == "audio" else read_picture(raw, "a.png").value.tolist()


def expected(run, kind, want, prompts, **settings):
    found = mdnn.generate(run, prompts, output=want, **settings)
    if kind == "audio":
        return [file(Item("audio", samples, rate=1000)) for samples in found]
    return found if kind == "text" else [picture.tolist() for picture in found]


@pytest.mark.parametrize("decoding", ["autoregressive", "parallel", "masked_diffusion"])
@pytest.mark.parametrize(
    ("kind", "want", "sizes"),
    [
        ("text", "text", {}),
        ("grey", "grey", {}),
        ("audio", "audio", {"samples": 0}),
        pytest.param("audio", "audio 6", {"samples": 6}, marks=pytest.mark.long),
    ],
)
def test_the_same_answers_without_mdnn_and_keras(server, run, kind, want, sizes, decoding):
    answers = set()
    for temperature, seed in ((0.0, 0), (0.8, 3), (2.0, -5)):
        settings = {"temperature": temperature, "seed": seed, "decoding": decoding}
        found = server.answer(kind, RAW, **settings, **sizes)
        found = [value(kind, raw) for raw in found]
        assert found == expected(run, kind, want, VALUES, **settings)
        answers |= {str(one) for one in found}
    assert len(answers) > 3


def test_one_value_each(server, run):
    hows = [
        "autoregressive",
        "parallel",
        "masked_diffusion",
        "autoregressive",
        "masked_diffusion",
        "parallel",
    ]
    samples, seeds = [0, 3, 0, 7, 5, 0], [1, 2, 3, 4, 5, 6]
    warmth = [0.0, 1.0, 2.0, 2.0, 0.5, 1.5]
    settings = {"seed": seeds, "temperature": warmth, "decoding": hows}
    found = server.answer("audio", RAW, **settings, samples=samples)
    for n, raw in enumerate(found):
        want = f"audio {samples[n]}" if samples[n] else "audio"
        one = {"seed": seeds[n], "temperature": warmth[n], "decoding": hows[n]}
        # All of them, as above, so that nothing new is compiled.
        assert raw == expected(run, "audio", want, VALUES, **one)[n]


def guided(server, kind, prompts, negatives, **settings):
    """What `guided_*` answers; `negatives` are lists of dicts of the bytes of their items."""
    inputs = {"guidance_scale": 1.0, "revise": 0} | settings
    for name in ("text", "image", "audio"):
        some = any(name in other for row in negatives for other in row)
        # Those that no negative prompt has may have no columns.
        inputs[f"negative_{name}"] = [
            [other.get(name, b"") for other in row] if some else [] for row in negatives
        ]
    return server.answer(kind, prompts, form="guided", **inputs)


ONE, TWO_WORDS = {"text": b"one"}, [{"text": b"one"}, {"text": b"two"}]


@pytest.mark.parametrize(
    ("decoding", "more"),
    [
        ("autoregressive", {}),
        ("parallel", {"revise": 5}),
        pytest.param("masked_diffusion", {"revise": 3}, marks=pytest.mark.long),
    ],
)
def test_guidance_and_a_second_look(server, run, decoding, more):
    """The answers of Python for the seeds; each row has its own negative prompts."""
    prompts, words = [{"text": b"three"}, {"text": b"two"}], [["three"], ["two"]]
    settings = {"temperature": 1.0, "seed": 3, "decoding": decoding}
    python = settings | more | {"output": "grey"}
    scale = {"guidance_scale": 50.0}
    found = guided(server, "grey", prompts, [TWO_WORDS] * 2, **scale, **settings, **more)
    right = mdnn.generate(run, words, negative_prompt=["one", "two"], **scale, **python)
    assert [value("grey", raw) for raw in found] == [picture.tolist() for picture in right]
    plain = guided(server, "grey", prompts, [[], []], **settings)
    assert plain == server.answer("grey", prompts, **settings)
    assert plain != found
    # A row does not depend on the other rows, nor on what their negative prompts are.
    mixed = [[{"text": b"seven"}, {"text": b"x"}], TWO_WORDS]
    assert (
        guided(server, "grey", prompts, mixed, guidance_scale=50.0, **settings, **more)[1]
        == found[1]
    )
    if more:
        seen = guided(server, "grey", prompts, [[], []], **settings, **more)
        expected = [picture.tolist() for picture in mdnn.generate(run, words, **python)]
        assert [value("grey", raw) for raw in seen] == expected


def test_negative_prompts_of_several_kinds(server, run):
    """Pictures from sounds, away from what a text and another sound make likely."""
    other, settings = tiny.sound("seven"), {"temperature": 0.0, "decoding": "parallel"}
    negatives = [[ONE, {"audio": file(Item("audio", other, rate=1000))}]]
    (found,) = guided(server, "grey", [{"audio": WAV}], negatives, guidance_scale=2.0, **settings)
    right = mdnn.generate(
        run, [TWO], output="grey", guidance_scale=2.0, negative_prompt=["one", other], **settings
    )
    assert value("grey", found) == right.tolist()


@pytest.mark.parametrize(
    ("negatives", "settings", "message"),
    [
        ([[]], {"guidance_scale": 2.0}, "expected guidance_scale, a number other than 1, and neg"),
        ([[ONE]], {}, "expected guidance_scale, a number other than 1, and neg"),
        ([[ONE]], {"guidance_scale": 101.0}, "guidance_scale: expected 0 to 100"),
        ([[ONE]], {"guidance_scale": float("nan")}, "guidance_scale: expected 0 to 100"),
        ([[]], {"revise": -1}, "revise: expected 0 or more, received -1"),
        ([[]], {"revise": 2}, "revise has no effect on autoregressive decoding"),
        ([[ONE], [ONE]], {"guidance_scale": 2.0}, "negative_text: expected as many as of text"),
        (
            [[ONE, {"text": b"a longer word"}]],
            {"guidance_scale": 2.0},
            "prompt 1: negative prompts: expected some after which an answer begins at position "
            "8, as after the prompt; after number 2 it begins at 16",
        ),
        ([[{"image": b"none"}]], {"guidance_scale": 2.0}, "prompt 2: image: expected a PNG file"),
    ],
)
def test_guidance_that_is_refused(server, negatives, settings, message):
    found = guided(server, "grey", [{"text": b"seven"}], negatives, **settings)
    assert isinstance(found, str)
    assert message in found


def test_negative_prompts_that_are_not_as_many(server):
    inputs = {"negative_text": [[b"a", b"b"]], "negative_image": [[b""]], "negative_audio": [[]]}
    inputs |= {"guidance_scale": 2.0, "revise": 0}
    found = server.answer("grey", [{"text": b"seven"}], form="guided", **inputs)
    assert "negative_image: expected as many negative prompts as of the others or none" in found


def of_others(*values):
    """A case of answers that are not pictures."""
    return pytest.param(*values, marks=pytest.mark.long)


def test_no_prompts_at_all(server):
    nothing = {name: [] for name in ("text", "image", "audio", "seed", "temperature")}
    for name, sizes in (("text", {}), ("grey", {}), ("audio", {"samples": []})):
        found, _ = server.request(f"answer_{name}", nothing | {"decoding": []} | sizes)
        assert found == []


@pytest.mark.parametrize(
    ("kind", "prompt", "settings", "message"),
    [
        ("grey", {"image": b"no picture"}, {}, "prompt 2: image: expected a PNG file"),
        ("grey", {"image": PNG[:-3]}, {}, "prompt 2: image: a truncated PNG of"),
        (
            "grey",
            {"image": file(Item("image", np.zeros((2, 2, 3), "uint8")))},
            {},
            "prompt 2: image: expected an item of the kinds text, grey, audio, received image",
        ),
        (
            "grey",
            {"image": file(Item("grey", np.zeros((7, 6), "uint8")))},
            {},
            "prompt 2: image: 6 x 7 pixels, this network takes 40 at most",
        ),
        ("grey", {"audio": PNG}, {}, "prompt 2: audio: expected a WAV file of 16-bit PCM"),
        (
            "grey",
            {"audio": file(Item("audio", TWO, rate=8000))},
            {},
            "prompt 2: audio: expected 1000 samples per second, received 8000",
        ),
        ("grey", {"text": b"\xff"}, {}, "Invalid formatting on input string"),
        (
            "grey",
            {"text": b"a" * 40},
            {},
            "prompt 2: text: 40 tokens from position 0 on leave no room",
        ),
        (
            "grey",
            {"text": b"a" * 33, "audio": WAV + b" "},
            {},
            "prompt 2: audio: 6 tokens from position 40 on leave no room for an answer",
        ),
        (
            "grey",
            {"text": b"a" * 25},
            {},
            "prompt 2: grey 4x4 does not fit: a context of 40 positions has 8 left after the "
            "prompt",
        ),
        of_others("text", {"text": b"a" * 39}, {}, "prompt 2: text does not fit: .* has 0 left"),
        of_others("audio", {}, {"samples": 33}, "1: audio 33 does not fit: .* has 32 left"),
        of_others("audio", {}, {"samples": 2**31 - 1}, "prompt 1: audio 2147483647 does not fit"),
        of_others("audio", {}, {"samples": [0, -1]}, "samples: expected 0 or more, received -1"),
        (
            "grey",
            {},
            {"decoding": "twice"},
            "decoding: expected autoregressive, parallel, masked_diffusion, received twice",
        ),
        ("grey", {}, {"temperature": -0.5}, "temperature: expected 0 or more"),
        ("grey", {}, {"temperature": float("nan")}, "temperature: expected 0 or more"),
        ("grey", {}, {"seed": [1, 2, 3]}, "ncompatible shapes"),
    ],
)
def test_what_a_signature_refuses(server, kind, prompt, settings, message):
    if kind == "audio":
        settings = {"samples": 0} | settings
    found = server.answer(kind, [{}, prompt], **settings)
    assert isinstance(found, str)
    assert re.search(message, found), found


def test_prompts_that_are_not_as_many(server):
    inputs = {"text": [b"", b""], "image": [b""], "audio": [b"", b""]}
    found, _ = server.request(
        "answer_grey", inputs | {"seed": 0, "temperature": 0.0, "decoding": [b"autoregressive"]}
    )
    assert "image: expected as many as of text" in found


def test_warmup_requests(server, exported, thorough):
    messages = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    path = exported / "assets.extra" / "tf_serving_warmup_requests"
    asked = []
    for record in tf.data.TFRecordDataset(str(path)):
        request = messages.PredictionLog.FromString(record.numpy()).predict_log.request
        name = request.model_spec.signature_name
        inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
        if name == "serving_default":
            continue
        how = inputs["decoding"].item().decode()
        asked.append((name, how))
        lists = {k: v.tolist() for k, v in inputs.items()} | {"decoding": [how.encode()]}
        found, names = server.request(name, lists)
        assert isinstance(found, list)
        assert len(found) == 1
        assert sorted(inputs) == names
        # What there is room for beside the answer is in the prompt.
        assert all(lists[kind][0] for kind in ("text", "image", "audio"))
    hows = ("autoregressive", "parallel", "masked_diffusion")
    kinds = ("text", "grey", "audio") if thorough else ("grey",)
    assert asked == [(f"answer_{k}", how) for k in kinds for how in hows]


def test_ask_items(tmp_path, monkeypatch):
    """The program alone: a SavedModel takes long to load."""
    dtypes = dict.fromkeys(("text", "image", "audio", "decoding"), tf.string)
    dtypes |= {"seed": tf.int32, "temperature": tf.float32, "samples": tf.int32}

    class Signature:
        structured_input_signature = (
            (),
            {name: tf.TensorSpec(None, dtype, name) for name, dtype in dtypes.items()},
        )

        def __call__(self, image, decoding, **inputs):
            assert {name: inputs[name].dtype for name in inputs}.items() <= dtypes.items()
            numbers = [inputs[name].numpy() for name in ("seed", "temperature", "samples")]
            assert [inputs[name].numpy().tolist() for name in ("text", "audio")] == [[b""]] * 2
            return {"audio": image + f"{numbers} ".encode() + decoding}

    class Guided:
        structured_input_signature = ((), {"negative_text": tf.TensorSpec(None, tf.string)})
        structured_input_signature[1].update(guidance_scale=tf.TensorSpec(None, tf.float32))
        structured_input_signature[1].update(negative_audio=tf.TensorSpec(None, tf.string))

        def __call__(self, text, image, audio, guidance_scale, negative_text, negative_audio):
            assert negative_audio.shape == (1, 0)
            return {"audio": text + f"{guidance_scale.numpy()}" + negative_text[:, 1]}

    class Loaded:
        signatures = {"answer_audio": Signature(), "guided_audio": Guided()}  # noqa: RUF012

    monkeypatch.setattr(tf.saved_model, "load", {"saved": Loaded}.get)
    for name in ("mdnn", "keras"):
        monkeypatch.setitem(sys.modules, name, sys.modules[name])
    (tmp_path / "a.png").write_bytes(PNG)
    out = tmp_path / "out.wav"
    ask_items.main("saved", "audio", str(out), str(tmp_path / "a.png"), "samples=4", "seed=9")
    assert sys.modules["mdnn"] is sys.modules["keras"] is None
    numbers = [np.int32(9), np.float32(0.8), np.int32(4)]
    assert out.read_bytes() == PNG + f"{numbers} autoregressive".encode()
    words = ("guidance_scale=3", "negative_text=one", "negative_text=two")
    ask_items.main("saved", "audio", str(out), *words)
    assert out.read_bytes() == b"3.0two"


SHAPES = {
    "tokens.modalities": ["text", "word", "image"],
    "tokens.words": 3,
    "train.objectives.autoregressive": 0,
}


@pytest.mark.long
def test_pictures_of_several_shapes_words_and_one_way(tmp_path):
    """A network that nobody trained: its answers are noise, the same noise."""
    settings = [f"{key}={json.dumps(one)}" for key, one in SHAPES.items()]
    config = tiny.load_items(tmp_path, *settings)
    words, folder = ("one", "two", "seven"), tmp_path / "run"
    keras.utils.set_random_seed(3)
    folder.mkdir()
    write_run(folder, config, words, mdnn.build(config, words))
    seen = {"longest": {"text": 6, "image": 9}, "shapes": {"image": [[2, 3], [3, 3]]}}
    write_item_statistics(folder, seen)
    run, server = open_run(folder), Server(mdnn.export(folder, tmp_path / "served"))
    colours = np.arange(18, dtype="uint8").reshape(2, 3, 3) * 14
    png = file(Item("image", colours))
    raw = [{"text": b"one two x"}, {"text": b"seven", "image": png}]
    values = [["one two x"], ["seven", colours]]
    sizes = [(2, 3), (3, 1)]
    height, width = ([size[k] for size in sizes] for k in (0, 1))
    for how in ("parallel", "masked_diffusion"):
        settings = {"decoding": how, "temperature": 1.0, "seed": 4}
        texts = [text.decode() for text in server.answer("text", raw, **settings)]
        assert texts == mdnn.generate(run, values, output="text", **settings)
        found = server.answer("image", raw, **settings, height=height, width=width)
        for png, prompt, size in zip(found, values, sizes, strict=True):
            want = "image {}x{}".format(*size)
            np.testing.assert_array_equal(
                read_picture(png, "a.png").value,
                mdnn.generate(run, prompt, output=want, **settings),
            )
    for height, message in ((0, "height: expected 1 or more"), (2**31 - 1, "does not fit")):
        assert message in server.answer("image", raw, decoding="parallel", height=height, width=3)
    message = "decoding: expected parallel, masked_diffusion, received autoregressive"
    assert message in server.answer("text", raw)
    wav = {"audio": WAV}
    message = "audio: expected an item of the kinds text, image, received audio"
    assert message in server.answer("text", [wav], decoding="parallel")
    assert server.answer("text", [{}], decoding="parallel")
    server.close()


def test_scores_are_answered_where_there_is_room(run, monkeypatch):
    tokens = np.zeros((1, 40, 8), "int32")
    tokens[0, :3] = run.item_tokenizer.tokens("one")
    served = ExportedNetwork(run)
    found = served.signatures()["serving_default"](tf.constant(tokens))
    assert sorted(found) == ["scores", "unit"]
    scores = np.asarray(run.model({"tokens": tokens, "targets": None}))
    np.testing.assert_allclose(found["scores"], scores, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(network, "MAX_SCORES", scores.size - 1)
    fewer = ExportedNetwork(run).signatures()["serving_default"](tf.constant(tokens))
    assert list(fewer) == ["unit"]
    np.testing.assert_array_equal(fewer["unit"], found["unit"])
