"""A server of networks in tandem: all members, one of them, a student, in all forms of requests."""

import json

import keras
import numpy as np
import pytest
from serving_client import NAME, serving
from tandem_networks import saved_student, saved_tandem

import mdnn
from mdnn.cli import main

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)

from mdnn.serving.server.served_models import open_served_model

pytestmark = pytest.mark.usefixtures("decoded_without_xla")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved_tandem(tmp_path_factory.mktemp("tandem"))


@pytest.fixture(scope="module")
def everyone(run):
    """A client of a server of all members."""
    with serving(open_served_model(run.path), gather=30) as client:
        yield client


@pytest.fixture(scope="module")
def one(run, tmp_path_factory):
    """A client of a server of member 1, and of a student."""
    student = saved_student(run, tmp_path_factory.mktemp("student"))
    more = {"student": open_served_model(student.path)}
    with serving(open_served_model(run.path, member=1), gather=30, more=more) as client:
        yield client


@pytest.mark.parametrize(
    ("served", "member"), [("everyone", None), pytest.param("one", 1, marks=pytest.mark.long)]
)
def test_rows_and_streams(request, run, served, member):
    client, chosen = request.getfixturevalue(served), run.member(member)
    rows = [("The cat", 9, 0.0, 0), ("m", 20, 0.8, 5)]
    expected = [
        mdnn.generate(chosen, prompt, length=length, temperature=temperature, seed=seed)
        for prompt, length, temperature, seed in rows
    ]
    assert client.generate(rows) == (200, {"predictions": expected})
    events = client.stream(prompt="m", length=20, temperature=0.8, seed=5)
    assert "".join(data["text"] for kind, data in events if kind == "text") == expected[1]
    assert client.get("/about.json")[1]["parameters"] == chosen.model.count_params()


@pytest.mark.long
@pytest.mark.parametrize(
    ("served", "model", "member"),
    # The student has the weights of member 2; its teacher is not read.
    [("everyone", NAME, None), ("one", NAME, 1), ("one", "student", 2)],
)
def test_completions(request, run, served, model, member):
    client = request.getfixturevalue(served)
    body = {"model": model, "prompt": "The ", "max_tokens": 12, "temperature": 0.8, "seed": 5}
    status, _, raw = client.ask("POST", "/v1/completions", body)
    assert status == 200, raw
    expected = mdnn.generate(run.member(member), "The ", length=12, temperature=0.8, seed=5)
    assert json.loads(raw)["choices"][0]["text"] == expected


@pytest.mark.long
def test_log_probabilities_and_grammars(run, everyone):
    """They are those of the mean of the members' probabilities."""
    client, prompt = everyone, "The "
    body = {"model": NAME, "prompt": prompt, "max_tokens": 3, "temperature": 0}
    status, _, raw = client.ask("POST", "/v1/completions", body | {"logprobs": 0})
    assert status == 200, raw
    choice = json.loads(raw)["choices"][0]
    assert choice["text"] == mdnn.generate(run, prompt, length=3, temperature=0)
    ids = run.tokenizer.ids(prompt + choice["text"][0])
    rows = run.tokenizer.tokens(ids)
    tokens, targets = np.zeros((2, 1, 8, 8), "int32")
    tokens[0, : len(rows) - 1], targets[0, : len(rows) - 1] = rows[:-1], rows[1:]
    steps, total = run.model.heads.steps, 0.0
    scores = keras.ops.convert_to_numpy(run.model.scores(tokens, targets))[0, len(rows) - 2]
    ends = np.cumsum([step.classes for step in steps])[:-1]
    for step, logs in zip(steps, np.split(scores, ends), strict=True):
        total += logs[int(step.answer(rows[-1:])[0])]
    assert choice["logprobs"]["token_logprobs"][0] == pytest.approx(total, abs=1e-4)
    regex = {"type": "regex", "pattern": "(yes|no)!"}
    body = {"model": NAME, "messages": [{"role": "user", "content": "m"}], "max_tokens": 9}
    status, _, raw = client.ask(
        "POST", "/v1/chat/completions", body | {"response_format": regex, "seed": 1}
    )
    assert status == 200, raw
    assert json.loads(raw)["choices"][0]["message"]["content"] in ("yes!", "no!")


def test_the_command_serves_one_member(run, monkeypatch, capsys):
    """`mdnn serve RUN --member N` opens this member; a member that is not there is refused."""
    opened = []

    def stop(path, engine, *chosen):
        opened.append((str(path), *chosen))
        raise mdnn.MdnnError("opened")

    monkeypatch.setattr("mdnn.serving.server.served_models.open_served_model", stop)
    assert main(["serve", str(run.path), "--port", "0", "--member", "2"]) == 2
    assert opened == [(str(run.path), 2, None, {})]
    monkeypatch.undo()
    for word, said in (
        ("3", "member: expected a number from 0 to 2, received 3"),
        ("-1", "member: expected a number from 0 to 2, received -1"),
    ):
        assert main(["serve", str(run.path), "--port", "0", f"--member={word}"]) == 2
        assert said in capsys.readouterr().err
