"""A network as the server runs it: functions by signatures, and text streams."""

import numpy as np

from mdnn.chat.chat_layout import ChatFormat
from mdnn.generation.completions.completion import CharacterCompletions
from mdnn.serving.requests.request_limits import RefusalError
from mdnn.serving.server.signatures import Signature, Spec

COMPLETE = "complete"
"""First entry of the key of a job whose input `requests` are `CompletionRequest`s."""

GENERATE = Signature(
    "generate",
    {
        "prompt": Spec("string", (None,)),
        "length": Spec("int32", None),
        "temperature": Spec("float32", None),
        "seed": Spec("int32", None),
    },
    {"text": Spec("string", (None,))},
)
"""The signature `generate` of `mdnn.serving.export.saved_model.export`."""


WITH_IDENTITY = Signature(
    "generate",
    GENERATE.inputs | {"identity": Spec("string", None)},
    GENERATE.outputs,
    defaults={"identity": ""},
)
"""`generate` of a network that is served with identities: the name of each text's; `""`: none."""

# Batches of texts are padded to one of these sizes, so that functions are compiled for few sizes
# only, before the first request.
BATCH_SIZES = tuple(4**power for power in range(16))


def size(rows):
    """Returns the padded batch size for `rows` examples."""
    return next(size for size in BATCH_SIZES if size >= rows)


class ServedModel:
    """A network that is served.

    Args:
        version: str, a whole number.
        functions: dict from signatures' names to pairs of a `Signature` and a function of a dict
            of its inputs that gives the dict of its outputs, arrays.
        write: see `mdnn.serving.server.text_streams`; `None` where no texts are written.
        resources: objects that the functions need alive.
        streams: list of functions like `write` that are warmed up in its place.
        identities: names of the identities that texts may have.
        about: dict of what the page shows of the network: `parameters`, int; `source`, the name
            of the training data; `examples`, a list of prompts; `density`, a float or `"auto"`.
        completions: what answers completions, see `mdnn.generation.completions.completion`; `None`:
            `write`.
        chat_format: `mdnn.chat.chat_layout.ChatFormat` of conversations; `None`: the plain one.
        chunks: function of a text that returns its chunks and the strength of the cut before each,
            lists of str and float; `None` of networks that cut no texts.
    """

    def __init__(
        self,
        version,
        functions,
        write=None,
        resources=None,
        about=None,
        streams=(),
        identities=(),
        completions=None,
        chat_format=None,
        chunks=None,
    ):
        self.chunks = chunks
        self.identities = tuple(identities)
        known = {"parameters": None, "source": None, "density": None, "examples": []}
        self.about = known | (about or {})
        self.streams = list(streams) or [write] * (write is not None)
        self.version, self.write, self.resources = version, write, resources
        if completions is None and write is not None:
            completions = CharacterCompletions(write)
        self.completions, self.chat_format = completions, chat_format or ChatFormat()
        self.functions = {name: function for name, (_, function) in functions.items()}
        self.signatures = {name: signature for name, (signature, _) in functions.items()}

    def run(self, jobs):
        """Answers jobs that may share a batch; a generator that yields between steps."""
        name = jobs[0].key[0]
        if name == "write":
            yield from self._write(jobs)
        elif name == COMPLETE:
            yield from self._complete(jobs)
        else:
            self._call(name, jobs)
            yield

    def _write(self, jobs):
        inputs = _joined(jobs)
        prompts = [prompt.decode("utf-8") for prompt in inputs["prompt"]]
        settings = (inputs[name].tolist() for name in ("length", "temperature", "seed"))
        lengths, *settings = settings
        if "identity" in inputs:
            settings.append([name.decode("utf-8") for name in inputs["identity"]])
        left = [list(part) for part in _cut(lengths, jobs)]
        for job, own in zip(jobs, left, strict=True):
            if not any(own):
                job.end()
        for new in self.write(prompts, lengths, *settings):
            for job, texts, own in zip(jobs, _cut(new, jobs), left, strict=True):
                own[:] = [
                    0 if text is None else count - len(text)
                    for count, text in zip(own, texts, strict=True)
                ]
                texts = [text or "" for text in texts]
                if any(texts):
                    job.piece(texts)
                if not any(own):
                    job.end()
            yield

    def _complete(self, jobs):
        requests = [request for job in jobs for request in job.inputs["requests"]]
        finished = [request.max_tokens <= 0 for request in requests]
        for pieces in self.completions.complete(requests):
            finished = [
                done or piece.finish is not None
                for done, piece in zip(finished, pieces, strict=True)
            ]
            cuts = _cut(pieces, jobs), _cut(finished, jobs)
            for job, of_job, ended in zip(jobs, *cuts, strict=True):
                if any(piece.tokens or piece.finish for piece in of_job):
                    job.piece(of_job)
                if all(ended):
                    job.end()
                for request in job.inputs["requests"]:
                    request.cancelled = job.over
            yield
        for job in jobs:
            job.end()

    def _call(self, name, jobs):
        rows = sum(job.rows for job in jobs)
        inputs = _joined(jobs)
        # Compiled for few sizes of the batch only.
        if name == GENERATE.name and rows:
            more = np.zeros(size(rows) - rows, int)
            rest = {key: array[more] for key, array in inputs.items()}
            inputs = {key: np.concatenate([array, rest[key]]) for key, array in inputs.items()}
        try:
            outputs = self.functions[name](inputs)
        except RefusalError:
            if len(jobs) == 1:
                raise
            # One of them is to blame, and the others get their answers.
            for job in jobs:
                try:
                    self._call(name, [job])
                except RefusalError as refusal:
                    job.fail(refusal)
            return
        if len(jobs) == 1 and jobs[0].rows == 0:
            jobs[0].end(outputs)
            return
        start = 0
        for job in jobs:
            end = start + job.rows
            job.end({key: array[start:end] for key, array in outputs.items()})
            start = end

    def warm_up(self):
        """Compiles the text stream for each size of a batch; yields those sizes."""
        for rows in BATCH_SIZES:
            for write in self.streams:
                list(write(["a"] * rows, [1] * rows, [0.0] * rows, [0] * rows))
            yield rows


def _joined(jobs):
    """Returns the inputs of jobs as one batch."""
    if len(jobs) == 1:
        return jobs[0].inputs
    return {name: np.concatenate([job.inputs[name] for job in jobs]) for name in jobs[0].inputs}


def _cut(values, jobs):
    """Splits a list with one value for each row of a batch by job."""
    start = 0
    for job in jobs:
        yield values[start : start + job.rows]
        start += job.rows
