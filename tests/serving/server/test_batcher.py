"""Batches: what may be answered together, in order, with nobody kept waiting or harmed."""

import numpy as np
import pytest

from mdnn.serving.requests.request_limits import BAD, RefusalError, RequestLimits
from mdnn.serving.requests.request_validation import as_job, is_own
from mdnn.serving.server import served_model as networks
from mdnn.serving.server.batcher import Batcher, Job
from mdnn.serving.server.served_model import GENERATE, ServedModel
from mdnn.serving.server.signatures import Signature, Spec

DOUBLE = Signature("double", {"x": Spec("float32", (None,))}, {"y": Spec("float32", (None,))})


def doubled(inputs):
    if (inputs["x"] < 0).any():
        raise RefusalError(BAD, "x: expected 0 or more")
    return {"y": 2 * inputs["x"]}


def a_job(key, values, told):
    values = np.array(values, "float32")
    return Job(key, {"x": values}, len(values), told.append)


def test_rows_come_back_to_those_who_asked_for_them():
    network = ServedModel("1", {"double": (DOUBLE, doubled)})
    told = [[], [], []]
    jobs = [
        a_job(("double",), values, own)
        for values, own in zip([[1, 2], [3], [4, 5, 6]], told, strict=True)
    ]
    assert len(list(network.run(jobs))) == 1
    found = [own[0][1]["y"].tolist() for own in told]
    assert found == [[2, 4], [6], [8, 10, 12]]
    assert [len(own) for own in told] == [1, 1, 1]


def test_one_that_is_refused_harms_no_other():
    network = ServedModel("1", {"double": (DOUBLE, doubled)})
    told = [[], [], []]
    jobs = [
        a_job(("double",), values, own) for values, own in zip([[1], [-1], [2]], told, strict=True)
    ]
    list(network.run(jobs))
    assert [own[0][0] for own in told] == ["end", "error", "end"]
    assert told[2][0][1]["y"].tolist() == [4]
    assert str(told[1][0][1]) == "x: expected 0 or more"


def test_what_is_compiled_is_compiled_for_few_sizes():
    sizes = []

    def call(inputs):
        sizes.append(len(inputs["prompt"]))
        return {"text": inputs["prompt"]}

    network = ServedModel("1", {"generate": (GENERATE, call)})
    for rows in range(1, 17):
        told = []
        prompts = np.array([b"%d" % row for row in range(rows)], object)
        inputs = {"prompt": prompts, "length": np.int32(5), "temperature": np.float32(0)}
        inputs["seed"] = np.int32(0)
        job = as_job(GENERATE, inputs, RequestLimits(), told.append)
        list(network.run([job]))
        assert told[0][1]["text"].tolist() == prompts.tolist()
    assert set(sizes) == {1, 4, 16}
    assert networks.size(17) == 64


def key_of(length, rows=1, **inputs):
    inputs = {
        "prompt": np.array([b"a"] * rows, object),
        "length": np.int32(length),
        "temperature": np.float32(0.5),
        "seed": np.int32(0),
    } | inputs
    return as_job(GENERATE, inputs, RequestLimits(), None).key


def test_who_shares_a_batch():
    assert key_of(100) == key_of(120, rows=3)
    assert key_of(100) != key_of(200)
    assert key_of(100, temperature=np.float32(0)) == key_of(100)
    other = Signature("other", GENERATE.inputs, GENERATE.outputs)
    inputs = {"prompt": np.array([b"a"], object)}
    # Of a function that is not mdnn's nothing is known, nor of one that has mdnn's name.
    one = Signature("serving_default", {"tokens": Spec("int32", (8,))}, {"x": Spec("int32", ())})
    assert not is_own(one)
    assert not is_own(other)
    first, second = (as_job(other, inputs, RequestLimits(), None) for _ in range(2))
    assert first.key != second.key


def batches_of(jobs, **limits):
    """The batches that jobs are answered in, by key and rows."""
    batches, told = [], []

    def run(jobs):
        batches.append([(job.key, job.rows) for job in jobs])
        for job in jobs:
            job.end({})
        yield

    batcher = Batcher(run, RequestLimits(gather=500, **limits))
    for key, rows in jobs:
        batcher.submit(Job(key, {}, rows, told.append))
    batcher.stop()
    batcher.thread.join(10)
    assert [kind for kind, _ in told] == ["end"] * len(jobs)
    with pytest.raises(RefusalError, match="the server is stopping"):
        batcher.submit(Job("a", {}, 1, told.append))
    return batches


def test_batches_are_filled_up_to_their_limit():
    jobs = [("a", rows) for rows in (1, 2, 3, 1, 4)]
    # In order, but for smaller ones that fill what is left.
    found = [[rows for _, rows in batch] for batch in batches_of(jobs, rows=4)]
    assert found == [[1, 2, 1], [3], [4]]


def test_batches_are_of_one_kind():
    found = batches_of([("a", 1), ("b", 2), ("a", 3), ("b", 1)])
    assert found == [[("a", 1), ("a", 3)], [("b", 2), ("b", 1)]]
