"""Converts between JSON and arrays as TensorFlow Serving does (its guide "RESTful API").

A request holds `instances`, a list with a value (or an object of all inputs) for each row, or
`inputs`, one tensor (or an object of them), and the `signature_name` of the function. Bytes are
`{"b64": "..."}`. An answer to `instances` is `predictions`, to `inputs` `outputs`.
"""

import base64
import binascii
import json

import numpy as np

from mdnn.errors import MdnnError
from mdnn.serving.requests.request_limits import BAD, RefusalError
from mdnn.serving.server.signatures import is_file
from mdnn.strict_json import check_nesting

DEFAULT = "serving_default"

# Largest count of numbers in one answer, which bounds the memory of its JSON.
MOST_NUMBERS = 2**22
# Largest number of axes of a tensor, which bounds the nesting of its JSON.
MOST_AXES = 8


def parse_body(body):
    """Returns the JSON object in a request's body, bytes."""
    try:
        text = body.decode("utf-8")
        check_nesting(text, "the body")
        request = json.loads(text)
    except UnicodeDecodeError as error:
        raise RefusalError(BAD, f"JSON Parse error: not UTF-8 at offset: {error.start}") from None
    except json.JSONDecodeError as error:
        raise RefusalError(BAD, f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except (ValueError, MdnnError) as error:
        # Numbers of thousands of digits; brackets in brackets.
        raise RefusalError(BAD, f"JSON Parse error: {error}") from None
    if not isinstance(request, dict):
        raise RefusalError(BAD, f"JSON Value: {_shown(request)} Is not object")
    return request


def read_request(body, signatures):
    """Parses a request to `:predict`.

    Args:
        body: bytes.
        signatures: dict from names to `Signature`s.

    Returns:
        The `Signature`, a dict from its inputs' names to arrays (strings: objects of bytes), and
        whether the request is in row form.

    Raises:
        RefusalError: not such a request.
    """
    request = parse_body(body)
    name = request.get("signature_name", DEFAULT)
    if not isinstance(name, str):
        raise RefusalError(
            BAD,
            f"JSON Value: {_shown(name)} not formatted correctly. 'signature_name' key must be a "
            "string value.",
        )
    signature = signatures.get(name or DEFAULT)
    if signature is None:
        raise RefusalError(BAD, f'Serving signature name: "{name}" not found in signature def')
    given = [key for key in ("instances", "inputs") if key in request]
    if len(given) != 1:
        raise RefusalError(
            BAD,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
            if given
            else "Missing 'inputs' or 'instances' key",
        )
    rows = given == ["instances"]
    read, value = _of_rows if rows else _of_columns, request[given[0]]
    columns = read(value, signature.inputs, signature.defaults)
    inputs = {name: tensor(name, columns[name], spec) for name, spec in signature.inputs.items()}
    return signature, inputs, rows


def _of_rows(instances, specs, defaults):
    """Returns values by input from a list with one value, or one object, for each row."""
    if not isinstance(instances, list):
        raise RefusalError(BAD, "Expecting 'instances' to be an list/array")
    if not instances:
        raise RefusalError(BAD, "No values in 'instances' array")
    if not _is_object(instances[0]):
        if len(specs) > 1:
            raise RefusalError(
                BAD,
                "instances is a plain list, but expecting list of objects as multiple input "
                f"tensors required: {', '.join(specs)}",
            )
        return {next(iter(specs)): instances}
    for number, row in enumerate(instances):
        if not _is_object(row) or (defaults | row).keys() != specs.keys():
            raise RefusalError(
                BAD,
                f"Failed to process element: {number} of 'instances' list. JSON object: "
                f"{_shown(row)} keys must be equal to: {','.join(sorted(specs))}",
            )
    return {name: [(defaults | row)[name] for row in instances] for name in specs}


def _of_columns(inputs, specs, defaults):
    """Returns values by input from an object of them, or from the value of the only one."""
    if not _is_object(inputs):
        if len(specs) > 1:
            raise RefusalError(
                BAD,
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                f"required: {', '.join(specs)}",
            )
        return {next(iter(specs)): inputs}
    for name in specs:
        if name not in inputs and name not in defaults:
            raise RefusalError(BAD, f"Missing named input: {name} in 'inputs' object.")
    return defaults | inputs


def _is_object(value):
    return isinstance(value, dict) and not _is_bytes(value)


def _is_bytes(value):
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def tensor(name, value, spec):
    """Returns the array that nested lists hold.

    Args:
        name: str, its label in error messages.
        value: a JSON value.
        spec: its `Spec`.

    Raises:
        RefusalError: lists of unequal lengths, values of another type, another shape.
    """
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        if len(shape) > MOST_AXES:
            raise RefusalError(BAD, f"{name}: expected at most {MOST_AXES} axes")
        if not first:
            break
        first = first[0]
    if not spec.fits(shape):
        sizes = ",".join("?" if size is None else str(size) for size in spec.shape)
        raise RefusalError(BAD, f"{name}: expected shape [{sizes}], received {shape}")
    flat = []
    _fill(name, value, shape, 0, _reader(name, spec.dtype), flat)
    array = np.empty(len(flat), object if spec.dtype == "string" else spec.dtype)
    array[:] = flat
    return array.reshape(shape)


def _fill(name, value, shape, level, read, flat):
    """Appends the values of nested lists, one after another."""
    if isinstance(value, list) != (level < len(shape)):
        raise RefusalError(
            BAD, f"{name}: JSON Value: {_shown(value)} found at incorrect level: {level + 1}"
        )
    if not isinstance(value, list):
        flat.append(read(value))
        return
    if len(value) != shape[level]:
        raise RefusalError(
            BAD,
            f"{name}: Encountered list at unexpected size: {len(value)} at level: {level} expected "
            f"size: {shape[level]}",
        )
    for part in value:
        _fill(name, part, shape, level + 1, read, flat)


def _reader(name, dtype):
    """Returns the function that converts a JSON value to a dtype, or refuses it."""

    def refuse(value):
        raise RefusalError(
            BAD, f"{name}: JSON Value: {_shown(value)} is not of expected type: {dtype}"
        )

    def text(value):
        if _is_bytes(value):
            try:
                return base64.b64decode(value["b64"], validate=True)
            except (binascii.Error, ValueError):
                raise RefusalError(BAD, f"{name}: Unable to base64 decode") from None
        if not isinstance(value, str):
            refuse(value)
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError:
            raise RefusalError(
                BAD, f"{name}: unpaired surrogate in string: {_shown(value)}"
            ) from None

    def number(value):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            refuse(value)
        limit = float(np.finfo(dtype).max)
        # Infinities and NaN are numbers in TensorFlow Serving's JSON.
        if limit < abs(value) and (isinstance(value, int) or abs(value) < float("inf")):
            raise RefusalError(
                BAD, f"Cannot convert JSON value: {_shown(value)} to {dtype} without loss"
            )
        return value

    def whole(value):
        limits = np.iinfo(dtype)
        if isinstance(value, bool) or not isinstance(value, int):
            refuse(value)
        return value if limits.min <= value <= limits.max else refuse(value)

    def truth(value):
        return value if isinstance(value, bool) else refuse(value)

    readers = {"string": text, "bool": truth}
    return readers.get(dtype, number if dtype.startswith("float") else whole)


def answer_json(outputs, rows):
    """Returns the JSON of an answer.

    Args:
        outputs: dict from names to arrays.
        rows: whether in row form.

    Returns:
        bytes.

    Raises:
        RefusalError: more than `MOST_NUMBERS`; in row form, outputs without rows.
    """
    outputs = {name: _readable(name, np.asarray(value)) for name, value in outputs.items()}
    if (numbers := sum(array.size for array in outputs.values())) > MOST_NUMBERS:
        most = f"at most {MOST_NUMBERS}: send fewer rows"
        raise RefusalError(BAD, f"an answer of {numbers} numbers; {most}")
    if not rows:
        values = {name: _json(array) for name, array in outputs.items()}
        return _object({"outputs": _only(values)}).encode()
    sizes = {array.shape[:1] for array in outputs.values()}
    if len(sizes) != 1 or () in sizes:
        raise RefusalError(BAD, "outputs of unequal rows: ask in the form 'inputs'")
    found = []
    for number in range(next(iter(sizes))[0]):
        row = {name: array[number : number + 1] for name, array in outputs.items()}
        # A list of one row, without its brackets.
        found.append(_only({name: _json(array)[1:-1] for name, array in row.items()}))
    return _object({"predictions": "[" + ", ".join(found) + "]"}).encode()


def _only(values):
    """Joins JSON texts into one object; returns a single text without its name."""
    return next(iter(values.values())) if len(values) == 1 else _object(values)


def _object(values):
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in values.items()) + "}"


def _json(array):
    """Returns the JSON text of an array."""
    if array.dtype.kind == "f":
        # By its shortest decimal, which is shorter than that of the same number as a float64.
        array = array.astype("S32").astype("float64")
    return json.dumps(array.tolist())


def _readable(name, array):
    """Returns strings as texts; as bytes where they are files, or one is not UTF-8."""
    if array.dtype != object:
        return array
    raw = array.reshape(-1).tolist()
    try:
        if is_file(name) or name.endswith("_bytes"):
            raise UnicodeError
        values = [value.decode("utf-8") for value in raw]
    except UnicodeError:
        values = [{"b64": base64.b64encode(value).decode("ascii")} for value in raw]
    found = np.empty(len(values), object)
    found[:] = values
    return found.reshape(array.shape)


def _shown(value, most=80):
    """Returns a JSON value for an error message, truncated."""
    if isinstance(value, (list, dict)) and len(value) > most:
        return f"{type(value).__name__} of {len(value)}"
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        return type(value).__name__
    return text if len(text) <= most else text[:most] + "..."
