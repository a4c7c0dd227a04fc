"""Validates requests and makes jobs of them."""

import numpy as np

from mdnn.serving.export.guided_contexts import PREFIX
from mdnn.serving.requests.request_limits import BAD, RefusalError
from mdnn.serving.server.batcher import Job
from mdnn.serving.server.served_model import GENERATE, WITH_IDENTITY

MOST_TEMPERATURE = 100


def as_job(signature, inputs, limits, tell, write=False):
    """Returns the `Job` of a request.

    Args:
        signature: `Signature`.
        inputs: dict of arrays.
        limits: `RequestLimits`.
        tell: see `Job`.
        write: whether a text is passed on as it is written.

    Raises:
        RefusalError: more than the limits allow, no prompt, settings beyond their limits.
    """
    if not is_own(signature):
        return Job((signature.name, object()), inputs, 0, tell)
    rows = None
    for name, spec in signature.inputs.items():
        if not spec.batched:
            continue
        if rows is not None and rows[1] != len(inputs[name]):
            raise RefusalError(
                BAD,
                f"{name}: expected as many rows as of {rows[0]}, {rows[1]}, received "
                f"{len(inputs[name])}",
            )
        rows = name, len(inputs[name])
    rows = rows[1]
    if not 1 <= rows <= limits.rows:
        raise RefusalError(BAD, f"expected 1 to {limits.rows} rows, received {rows}")
    inputs = dict(inputs)
    for name, spec in signature.inputs.items():
        if spec.shape is None:
            inputs[name] = _one_each(name, inputs[name], rows)
    check_settings(inputs, limits)
    key = [signature.name, tuple(inputs[name].shape[1:] for name in sorted(inputs))]
    if signature in (GENERATE, WITH_IDENTITY):
        check_prompts(inputs["prompt"], limits)
        if write:
            key[0] = "write"
        # A short answer does not wait for a long one: none is twice as long as another.
        key.append(int(inputs["length"].max()).bit_length())
    elif "text" in inputs:
        check_prompts(inputs["text"], limits, least=0)
        if negatives := _negatives(inputs):
            _check_negatives(inputs, rows, negatives, limits)
            # They are computed in the same batch, which has no room for other requests then.
            key.append(object())
    return Job(tuple(key), inputs, rows, tell)


def is_own(signature):
    """Returns whether a signature is one of mdnn's, whose rows do not depend on one another.

    What such a one takes once for all rows can be given once for each.
    """
    names = set(signature.inputs)
    specs = signature.inputs.values()
    return (
        any(spec.batched for spec in specs)
        and all(spec.batched or spec.shape is None for spec in specs)
        and all(spec.batched for spec in signature.outputs.values())
        and (
            signature in (GENERATE, WITH_IDENTITY)
            or (signature.name == "serving_default" and names == {"tokens"})
            or (
                signature.name.startswith(("answer_", "guided_"))
                and names >= {"text", "image", "audio", "decoding"}
            )
        )
    )


def _negatives(inputs):
    """Returns how many negative prompts each prompt has, int."""
    tables = (array for name, array in inputs.items() if name.startswith(PREFIX))
    return max((array.shape[1] for array in tables if array.ndim == 2), default=0)


def _check_negatives(inputs, rows, negatives, limits):
    """Refuses too many negative prompts, and those that are not text or too long."""
    if rows * (1 + negatives) > limits.rows:
        raise RefusalError(
            BAD,
            f"expected at most {limits.rows} prompts and negative prompts together, received "
            f"{rows} and {rows * negatives}",
        )
    check_prompts(np.ravel(inputs.get(f"{PREFIX}text", [])), limits, 0, f"{PREFIX}text")


def _one_each(name, array, rows):
    """Returns one value for each row."""
    if array.shape not in ((), (1,), (rows,)):
        raise RefusalError(
            BAD, f"{name}: expected one value or {rows}, received shape {list(array.shape)}"
        )
    return np.broadcast_to(array.reshape(-1), (rows,))


def check_identities(inputs, known):
    """Refuses names of identities that are not served.

    Args:
        inputs: dict of arrays.
        known: tuple of str, the names.
    """
    for name in np.ravel(inputs.get("identity", [])):
        text = name.decode("utf-8", "replace")
        if text and text not in known:
            raise RefusalError(
                BAD, f"identity: expected {', '.join(known)} or none, received {text[:80]!r}"
            )


def check_prompts(prompts, limits, least=1, name="prompt"):
    """Refuses prompts, bytes, that are not text or too long.

    Args:
        prompts: sequence of bytes.
        limits: `mdnn.serving.requests.request_limits.RequestLimits`.
        least: int, fewest characters of a prompt.
        name: str, the input, for errors.

    Raises:
        RefusalError: names the first such prompt.
    """
    for number, prompt in enumerate(prompts, 1):
        where = f"{name} {number}" if len(prompts) > 1 else name
        try:
            length = len(prompt.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise RefusalError(
                BAD, f"{where}: expected UTF-8, received other bytes at offset {error.start}"
            ) from None
        if length < least:
            raise RefusalError(BAD, f"{where}: expected at least one character")
        if length > limits.prompt:
            raise RefusalError(
                BAD, f"{where}: expected at most {limits.prompt} characters, received {length}"
            )


def check_settings(inputs, limits):
    """Refuses lengths and temperatures beyond their limits."""
    for name, most in (("length", limits.length), ("temperature", MOST_TEMPERATURE)):
        for value in inputs.get(name, np.zeros(0)).tolist():
            # Not the other way about, which lets NaN pass.
            if not 0 <= value <= most:
                raise RefusalError(BAD, f"{name}: expected 0 to {most}, received {value}")
