"""Files that somebody made to do harm, or that were damaged: of every kind that mdnn reads."""

import dataclasses
import io
import json
import os
import pickle
import struct
import wave
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tiny
from PIL import Image

import mdnn
from mdnn.config.load import load_config
from mdnn.datasets.fingerprint import Fingerprint, source_change
from mdnn.datasets.items.manifest import read_manifest
from mdnn.datasets.media.media_files import read_item
from mdnn.datasets.puzzles.puzzle_splits import open_puzzles
from mdnn.datasets.text.text_sources import read_text
from mdnn.errors import MdnnError
from mdnn.paper.weights import load_weights
from mdnn.runs.item_statistics import read_item_statistics
from mdnn.runs.run_files import check_format, read_words
from mdnn.runs.safetensors_io import assign, read_arrays, spec_of, write_arrays
from mdnn.safety.keras_files import load_keras
from mdnn.safety.saved_model_ops import inspect_saved_model
from mdnn.strict_json import read_json
from mdnn.training import checkpoint
from mdnn.training.metrics_log import read_metrics

DEEP = 100_000


@dataclasses.dataclass
class Kind:
    """A kind of file.

    Args:
        name: the file's name.
        good: bytes of one that is taken.
        read: reads the file at a path; what it returns is not looked at.
        bad: dict from what is wrong to bytes that must be refused.
        exact: whether every change must be told: refused, or read as if nothing were changed.
        value: what `read` returned as something that can be compared.
    """

    name: str
    good: bytes
    read: Callable
    bad: dict
    exact: bool = False
    value: Callable = lambda found: None


def refusal(kind, path):
    """The line with which a file is refused; `None` where it is taken. Other errors are raised."""
    try:
        kind.read(path)
    except MdnnError as error:
        line = str(error)
        assert line
        assert line.isprintable(), line
        assert len(line) <= 1000
        return line
    return None


def changed(good, draw):
    """Bytes with a change that chance chose."""
    data = bytearray(good)
    at = draw.randrange(len(data))
    how = draw.choice(("flip", "flip", "byte", "cut", "drop", "double", "huge", "insert"))
    if how == "flip":
        data[at] ^= 1 << draw.randrange(8)
    elif how == "byte":
        data[at] = draw.randrange(256)
    elif how == "cut":
        del data[at:]
    elif how == "drop":
        del data[at : at + draw.choice((1, 2, 4, 8, 64))]
    elif how == "double":
        end = at + draw.choice((1, 4, 16, 256))
        data[at:at] = data[at:end]
    elif how == "huge":
        data[at : at + 4] = draw.choice((b"\xff" * 4, b"\x7f\xff\xff\xff", b"9999", b"\0" * 4))
    else:
        words = (b"[" * 50, b'{"a":', b"\0", b"\xed\xa0\x80", b"1e999", b"-1", b"../", b"NaN")
        data[at:at] = draw.choice(words)
    return bytes(data)


def saved(make, *args, **kwargs):
    """Bytes that something writes into a file that it is given."""
    with io.BytesIO() as file:
        make(file, *args, **kwargs)
        return file.getvalue()


def safetensors(arrays, size=None, body=b"", **more):
    """Bytes of a safetensors file with any head."""
    head = arrays if isinstance(arrays, bytes) else json.dumps(arrays).encode()
    return struct.pack("<Q", len(head) if size is None else size) + head + body


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def png(*chunks, width=2, height=1, depth=8, colour=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IEND", b"")]
    made = (
        struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))
        for tag, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def sound(samples):
    with io.BytesIO() as file:
        with wave.open(file, "wb") as opened:
            opened.setparams((1, 2, 8000, 0, "NONE", ""))
            opened.writeframes(np.asarray(samples, "<i2").tobytes())
        return file.getvalue()


def npy(shape="(2, 2)", descr="'<f4'", body=b"\0" * 16):
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body


def archive(*members, compress=zipfile.ZIP_DEFLATED):
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", compress) as opened:
            for name, body in members:
                opened.writestr(name, body)
        return file.getvalue()


def keras_file(folder, config=None, members=()):
    """Bytes of a `.keras` file, its config changed."""
    path = folder / "made.keras"
    inputs = keras.Input((4,))
    keras.Model(inputs, mdnn.layers.AxisDense(1, 3)(inputs)).save(path)
    with zipfile.ZipFile(path) as opened:
        own = {name: opened.read(name) for name in opened.namelist()}
    if config is not None:
        own["config.json"] = config(json.loads(own["config.json"])).encode()
    path.unlink()
    return archive(*own.items(), *members)


def with_layer(**layer):
    """Changes a config of a `.keras` file: its second layer is another one."""

    def change(table):
        table["config"]["layers"][1] |= layer
        return json.dumps(table)

    return change


DEEP_JSON = b"[" * DEEP + b"]" * DEEP
JSON = {
    "empty": b"",
    "deep": DEEP_JSON,
    "no UTF-8": b"\xff\xfe[",
    "long number": b"9" * 10_000,
    "cut": b'["the", "ca',
    "zeros": bytes(100),
}


def kinds(folder):
    """Every `Kind`, a list; `folder` is for what is made on the way."""
    config = tiny.load_config(folder)
    variables = [
        keras.Variable(np.arange(6, dtype="float32").reshape(2, 3), name="one"),
        keras.Variable(np.arange(4, dtype="int32"), name="two", dtype="int32"),
    ]
    weights = folder / "made.safetensors"
    write_arrays(weights, {v.path: np.asarray(v) for v in variables}, {"a": "b"})
    arrays = weights.read_bytes()
    weights.unlink()
    expected = spec_of({v.path: v for v in variables})

    def read_weights(path):
        found = read_arrays(path, expected)
        assign(variables, found[0], path)
        return found

    def array_bytes(found):
        return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in found[0].items()}

    parts = {"model": {v.path: v for v in variables}}
    progress = checkpoint.Progress(
        3, 1.5, train_loss={"autoregressive": 1.0}, losses=[["autoregressive", 2.0]]
    )
    checkpoint.write_checkpoint(folder, parts, progress)
    state = checkpoint.newest(folder).read_bytes()
    checkpoint.newest(folder).unlink()

    def read_checkpoint(path):
        (path.parent / checkpoint.FOLDER).mkdir(exist_ok=True)
        file = path.parent / checkpoint.FOLDER / "step-000000003.safetensors"
        file.write_bytes(path.read_bytes())
        for v in variables:
            v.assign(np.zeros(v.shape))
        return checkpoint.restore(path.parent, parts)

    def state_bytes(progress):
        return dataclasses.asdict(progress), [np.asarray(v).tobytes() for v in variables]

    good = {"one": entry(shape=(2, 3), offsets=(0, 24)), "two": entry("I32", (4,), (24, 40))}
    body = bytes(40)

    def two(*spec):
        return safetensors(good | {"two": entry(*spec)}, body=body)

    toml = config.to_toml().encode()
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    saved_model = saved_model_bytes(folder)
    line = {"items": [{"text": "seven"}, {"text": "7"}], "name": "a", "split": "train"}
    manifest = f"{json.dumps(line)}\n{json.dumps(line)}\n".encode()
    cut = {"empty": b"", "one byte": b"\x89"}
    return [
        Kind(
            "a.toml",
            toml,
            load_config,
            {
                "empty train": b"[train]\nsteps = 1\nminutes = 2",
                "twice": b"seed = 1\nseed = 2\n" + toml,
                "deep": b"a = " + b"[" * DEEP + b"]" * DEEP,
                "dotted": b"a." * DEEP + b"b = 1",
                "dotted, in between": b'v = ["""\n""", {' + b"a." * DEEP + b'b = 1}, ""]',
                "dotted heads": b"[" + b"a." * DEEP + b"b]",
                "no UTF-8": b'data.source = "\xff"',
                "huge": b"[context]\ngrid = [" + b"9" * 4000 + b"]",
                "long": b"# " + b"x" * (1 << 20),
                "infinite": b"train.optimizer.learning_rate = inf",
                "another kind": b"context = 3",
                "a date": b"seed = 1979-05-27",
                "cut": toml[: len(toml) // 2] + b"[",
            },
        ),
        Kind(
            "a.safetensors",
            arrays,
            read_weights,
            {
                **cut,
                "no head": struct.pack("<Q", 2**63) + b"{}",
                "huge head": safetensors(b"{}", size=10**8),
                "wrong shape": safetensors(
                    good | {"two": entry("I32", (2, 2), (24, 40))}, body=body
                ),
                "wrong dtype": safetensors(good | {"two": entry("F32", (4,), (24, 40))}, body=body),
                "no such dtype": safetensors(
                    good | {"two": entry("F128", (4,), (24, 40))}, body=body
                ),
                "halves": safetensors(good | {"two": entry("BF16", (8,), (24, 40))}, body=body),
                "eights": safetensors(good | {"two": entry("F8_E4M3", (16,), (24, 40))}, body=body),
                "huge shape": safetensors(
                    good | {"two": entry("I32", (2**62, 4), (24, 40))}, body=body
                ),
                "huge offsets": safetensors(
                    good | {"two": entry("I32", (2**40,), (24, 2**42 + 24))}, body=body
                ),
                "overlap": safetensors(good | {"two": entry("I32", (4,), (8, 24))}, body=body),
                "backwards": safetensors(good | {"two": entry("I32", (4,), (40, 24))}, body=body),
                "another name": safetensors(
                    {"one": good["one"], "../../two": good["two"]}, body=body
                ),
                "one more": safetensors(
                    good | {"three": entry(offsets=(40, 48))}, body=body + bytes(8)
                ),
                "one less": safetensors({"one": good["one"]}, body=body[:24]),
                "twice": safetensors(
                    json.dumps(good)[:-1].encode()
                    + b', "one": '
                    + json.dumps(entry(shape=(6,), offsets=(0, 24))).encode()
                    + b"}",
                    body=body,
                ),
                "deep": safetensors(DEEP_JSON),
                "checksum": safetensors(good | {"__metadata__": {"crc32": "0"}}, body=body),
                "no checksum": arrays.replace(b'"crc32"', b'"crc33"'),
                "metadata": safetensors(good | {"__metadata__": {"crc32": 5}}, body=body),
                "a pickle": pickle.dumps(os.system),
            },
            exact=True,
            value=array_bytes,
        ),
        Kind(
            "b.safetensors",
            state,
            read_checkpoint,
            {
                **cut,
                "another network": arrays,
                "no checksum": state.replace(b'"crc32"', b'"crc33"'),
                "cut": state[:-1],
            },
            exact=True,
            value=state_bytes,
        ),
        Kind(
            "words.json",
            '["the", "naïve"]'.encode(),
            lambda path: read_words(path.parent),
            JSON
            | {"numbers": b"[1, 2]", "not a list": b'{"a": 1}', "half a character": b'["\\ud800"]'},
        ),
        Kind(
            "item_statistics.json",
            b'{"longest": {"text": 5}, "shapes": {"grey": [[4, 4]]}}',
            lambda path: read_item_statistics(path.parent),
            JSON
            | {
                "twice": b'{"longest": {}, "longest": {}, "shapes": {}}',
                "not a number": b'{"longest": {"text": NaN}, "shapes": {}}',
                "infinite": b'{"longest": {"text": 1e999}, "shapes": {}}',
                "huge": b'{"longest": {"text": 1%s}, "shapes": {}}' % (b"0" * 40),
                "below zero": b'{"longest": {"text": -1}, "shapes": {}}',
                "too flat": b'{"longest": {}, "shapes": {"grey": [[4]]}}',
                "no shape": b'{"longest": {}, "shapes": {"grey": [[4, 1%s]]}}' % (b"0" * 40),
            },
        ),
        Kind(
            "run.json",
            b'{"format": 1, "mdnn": "0.1.0"}',
            lambda path: check_format(path.parent),
            JSON
            | {
                "newer": b'{"format": 2, "mdnn": "\\u001b[2J"}',
                "twice": b'{"format": 1, "format": 1}',
                "a list": b"[1]",
                "below zero": b'{"format": -1}',
                "a truth": b'{"format": true}',
                "large": b'{"format": 1, "mdnn": "' + b"x" * (1 << 17) + b'"}',
            },
        ),
        Kind(
            "manifest.jsonl",
            manifest,
            read_manifest,
            JSON
            | {
                "twice": b'{"items": [{"text": "a"}], "items": []}',
                "outside": b'{"items": [{"image": "../../secret.png"}]}',
                "from the root": b'{"items": [{"text_file": "/etc/passwd.txt"}]}',
                "a link": b'{"items": [{"text_file": "link.txt"}]}',
                "an address": b'{"items": [{"image": "https://example.com/a.png"}]}',
                "a device": b'{"items": [{"text_file": "pipe.txt"}]}',
                "half a character": b'{"items": [{"text": "\\ud800"}]}',
                "a zero": b'{"items": [{"image": "a\\u0000.png"}]}',
                "infinite": b'{"items": [{"text": Infinity}]}',
            },
        ),
        Kind(
            "a.png",
            saved(Image.fromarray(picture).save, format="PNG"),
            read_item,
            {
                **cut,
                "huge": png((b"IDAT", zlib.compress(bytes(99))), width=2**31 - 1, height=2**31 - 1),
                "a bomb": png((b"IDAT", zlib.compress(bytes(10**7))), width=9000, height=9000),
                "flat": png((b"IDAT", b""), width=0),
                "few pixels": png((b"IDAT", zlib.compress(b"\0"))),
                "deep colors": png((b"IDAT", zlib.compress(b"\0\1\2\3\4")), depth=16),
                "no palette": png((b"IDAT", zlib.compress(bytes(9))), colour=3),
                "transparent": png((b"IDAT", zlib.compress(bytes(9))), colour=4),
                "a bomb of 16 bits": png(
                    (b"IDAT", zlib.compress(bytes(10**7))), width=9000, height=9000, depth=16
                ),
                "no checksum": png((b"IDAT", zlib.compress(bytes(3))))[:-1] + b"\0",
            },
        ),
        Kind(
            "a.jpg",
            saved(Image.fromarray(picture).save, format="JPEG"),
            read_item,
            {
                **cut,
                "no frame": b"\xff\xd8\xff\xd9",
                "huge": b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0\xff\xd9",
                "cut": saved(Image.fromarray(picture).save, format="JPEG")[:-20],
            },
        ),
        *(
            Kind(
                f"a.{form.lower()}",
                saved(Image.fromarray(picture).save, format=form),
                read_item,
                {
                    **cut,
                    "no pixels": saved(Image.fromarray(picture).save, format=form)[:-9],
                    "huge": huge,
                },
            )
            for form, huge in (
                ("GIF", b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\0;"),
                ("WEBP", b"RIFF\x12\0\0\0WEBPVP8L\5\0\0\0\x2f\xff\xff\xff\xff\0"),
                ("BMP", b"BM" + struct.pack("<IIIIiiHH", 54, 0, 54, 40, 2**30, 2**30, 1, 24)),
            )
        ),
        Kind(
            "source.json",
            json.dumps({"source": "a.txt", "length": 3, "hash": "0" * 32}).encode(),
            # A run folder may have none.
            lambda path: (read_json(path), source_change(path.parent, Fingerprint(3, "0" * 32))),
            {**JSON, "other keys": b'{"length": 3}', "no hash": b'{"source": "a", "length": 3}'},
        ),
        Kind(
            "a.wav",
            sound(range(50)),
            read_item,
            {
                **cut,
                "huge": sound([])[:40] + b"\xff\xff\xff\x7f",
                "none": sound([]),
                "cut": sound(range(50))[:-1],
                "stereo": sound(range(50))[:22] + b"\2" + sound(range(50))[23:],
                "a chunk that leaves the file": sound(range(50))[:16] + b"\xff" * 4 + bytes(9),
                "no format": b"RIFF\x18\0\0\0WAVEdata\4\0\0\0" + bytes(4),
            },
        ),
        Kind("a.txt", "naïve text".encode(), read_item, {"no UTF-8": b"\xff", "cut": b"na\xc3"}),
        Kind(
            "b.txt",
            "naïve text".encode(),
            read_text,
            {"empty": b"", "no UTF-8": b"\xff", "half a character": b"\xed\xa0\x80"},
        ),
        Kind(
            "axis_0.npy",
            saved(np.save, np.eye(3, dtype="float32")),
            lambda path: load_weights(path.parent),
            {
                **cut,
                "huge": npy(f"({2**40}, {2**20})"),
                "large": npy("(60000, 60000)"),
                "below zero": npy("(-1, 2)"),
                "a pickle": npy("(1,)", "'|O'", b"\x80\x04N."),
                "code": npy("__import__('os').getcwd()"),
                "deep": npy("(" * 3000 + ")" * 3000),
                "texts": npy("(2, 2)", "'<U1'"),
                "an archive": saved(np.savez, a=np.eye(2)),
            },
        ),
        Kind(
            "metrics.csv",
            b"step,rate\n1,0.5\n",
            lambda path: (
                path.with_name("times.csv").write_text("step,seconds\n1,1\n"),
                read_metrics(path.parent),
            ),
            {"words": b"step,rate\none,two\n", "few": b"step,rate\n1\n", "many": b"step\n1,2\n"},
        ),
        Kind(
            "puzzles.csv",
            b"puzzle,solution\n1.3..41..1.3..2.,1234341221434321\n1.3..41..1.3..2.,\n",
            lambda path: open_puzzles(str(path), validation=0.0),
            {
                "empty": b"",
                "no rows": b"puzzle,solution\n",
                "no UTF-8": b"puzzle\n\xff",
                "a zero": b"puzzle\n1.3..41\0.1.3..2.\n",
                "no size": b"puzzle\n1.3\n",
                "two sizes": b"puzzle\n1.3..41..1.3..2.\n1.3..41..1.3..2\n",
                "a wrong digit": "puzzle\n1.3..41..1.3..2²\n".encode(),
                "another solution": b"puzzle,solution\n1.3..41..1.3..2.,1234341221434312\n",
                "columns": b"puzzle,solution\n1.3..41..1.3..2.\n",
                "a quote": b'puzzle\n"1.3..41..1.3..2.',
                "long": b"puzzle\n" + b"1" * 200_000,
                "all blank": b"puzzle\n" + b"." * 81,
                # Without a solution; to find that by trying in order takes half an hour.
                "hard": b"puzzle\n.....5.8....6.1.43..........1.5........1.6...3.......553.....61"
                b"........4.........\n",
            },
        ),
        Kind(
            "a.keras",
            keras_file(folder),
            load_keras,
            {
                **cut,
                "no archive": b"PK\3\4" + bytes(100),
                "one more": keras_file(folder, members=[("../../evil.py", b"")]),
                "a lambda": keras_file(
                    folder,
                    with_layer(
                        class_name="Lambda",
                        config={
                            "name": "a",
                            "function": {
                                "class_name": "__lambda__",
                                "config": {"code": "4wE=", "defaults": None, "closure": None},
                            },
                        },
                    ),
                ),
                "a function": keras_file(
                    folder,
                    with_layer(class_name="function", module="os", config="system"),
                ),
                "a class by name": keras_file(
                    folder,
                    with_layer(module="subprocess", class_name="Popen", registered_name=None),
                ),
                "a class of Keras that is not a layer": keras_file(
                    folder,
                    with_layer(
                        module="keras.utils",
                        class_name="get_file",
                        registered_name=None,
                        config={"fname": "a", "origin": "http://127.0.0.1:9/"},
                    ),
                ),
                "another program": keras_file(
                    folder,
                    with_layer(
                        module="keras.layers",
                        class_name="TFSMLayer",
                        registered_name=None,
                        config={"filepath": "/tmp", "name": "a"},
                    ),
                ),
                "not registered": keras_file(
                    folder, with_layer(module=None, registered_name="mdnn>Nothing")
                ),
                "deep": keras_file(folder, lambda table: DEEP_JSON.decode()),
                "a bomb": keras_file(folder, lambda table: " " * (1 << 27)),
                "twice": keras_file(folder, lambda table: '{"a": 1, "a": 2}'),
            },
        ),
        Kind(
            "saved_model.pb",
            saved_model,
            lambda path: inspect_saved_model(path.parent),
            {"empty": b"", "deep": b"\x12\x7f" * 1000, "cut": saved_model[: len(saved_model) // 2]},
        ),
    ]


def saved_model_bytes(folder):
    """Bytes of a `saved_model.pb` that reads a file, and runs a program on it."""
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    graph = message.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    for name, op in (("a", "Placeholder"), ("b", "ReadFile"), ("c", "Evil"), ("d", "RestoreV2")):
        graph.graph_def.node.add(name=name, op=op)
    function = graph.graph_def.library.function.add()
    function.signature.name = "own"
    function.node_def.add(name="e", op="EagerPyFunc")
    function.node_def.add(name="f", op="own")
    signature = graph.signature_def["serve\x1b[2J"]
    signature.inputs["x"].name = "a:0"
    signature.inputs["x"].dtype = 1
    for size in (-1, 3):
        signature.inputs["x"].tensor_shape.dim.add(size=size)
    return message.SerializeToString()


def surroundings(folder):
    """What lies around a file: a link that leads out, and a pipe that would never end."""
    secret = Path(folder).parent / "secret.txt"
    secret.write_text("not yours")
    (folder / "link.txt").symlink_to(secret)
    os.mkfifo(folder / "pipe.txt")


def fuzz(kind, path, draw, number):
    """Reads so many changed files; returns how many were refused.

    Raises:
        AssertionError: a change that must be told was taken for the truth.
        Exception: any error but a named one.
    """
    path.write_bytes(kind.good)
    truth = kind.value(kind.read(path))
    refused = 0
    for _ in range(number):
        data = changed(kind.good, draw)
        for _ in range(draw.choice((0, 0, 0, 1, 4))):
            data = changed(data or b"\0", draw)
        path.write_bytes(data)
        try:
            found = kind.read(path)
        except MdnnError:
            refused += 1
            continue
        except Exception as error:
            raise AssertionError(f"{kind.name}: {error!r} for {data[:2000]!r}") from error
        if kind.exact:
            assert kind.value(found) == truth, data[:2000]
    return refused
