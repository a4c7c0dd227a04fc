"""A trained network as a SavedModel that needs neither mdnn nor keras."""

import contextlib
import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from mdnn.errors import MdnnError
from mdnn.generation.writer import UNIT, Writer
from mdnn.models.run import open_run
from mdnn.serving.strings import GraphCodec
from mdnn.serving.warmup import write_warmup
from mdnn.tokens.units import WIDTH

# The longest text that one request may ask for: a request is answered whole or not at all.
MOST = 1_000_000


def export(run, directory):
    """Exports a trained network for serving.

    `directory`/1 (or the next number that is free) is a SavedModel as TensorFlow Serving loads
    it, with two signatures:

    - `serving_default`: `tokens` int32 `[batch, slots, 8]` to `scores` float32
      `[batch, slots, classes]` (bytes conditioned on the likeliest earlier ones) and `unit`
      int32 `[batch, slots, 4]`, the likeliest answer of every slot: modality and bytes.
    - `generate`: `prompt` string `[batch]`, `length` int32, `temperature` float32 and `seed`
      int32 (each one number for all rows, or `[batch]`) to `text` string `[batch]`, UTF-8,
      what `mdnn.generate` writes for the same prompt, settings and seed.

    Both are warmed up by `assets.extra/tf_serving_warmup_requests`.

    Args:
        run: a run folder.
        directory: where to; made where it is not there.

    Returns:
        `pathlib.Path` of the SavedModel.

    Raises:
        MdnnError: no run folder, a directory that is a file, a backend other than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise MdnnError(
            f"export needs the TensorFlow backend, Keras runs on {keras.backend.backend()}"
        )
    run = open_run(run)
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise MdnnError(f"{directory} is a file, expected a folder to export into")
    served = Served(run.model, run.words)
    missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    taken = [int(p.name) for p in directory.iterdir() if p.name.isdecimal()]
    target = directory / str(max(taken, default=0) + 1)
    # TensorFlow Serving watches for numbered folders: the number appears when all is there.
    part = Path(tempfile.mkdtemp(prefix=".export-", dir=directory))
    try:
        with _quiet():
            tf.saved_model.save(served, str(part), signatures=served.signatures())
        write_warmup(part, served.examples())
        part.chmod(0o755)
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    return target


@contextlib.contextmanager
def _quiet():
    """TensorFlow's word on where it writes names a folder that is about to be renamed."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


class Served(tf.Module):
    """What a SavedModel of a network holds.

    Args:
        model: a network as `mdnn.build` makes it.
        words: its table of words.
    """

    def __init__(self, model, words=()):
        super().__init__()
        self.writer = Writer(model, words=len(words))
        self.predict = keras.Model(model.input["tokens"], self._answers(model))
        self.codec = GraphCodec(words)
        self.held = [variable.value for variable in model.variables]

    def _answers(self, model):
        hidden, heads = model.get_layer("slots").output, model.get_layer("heads")
        return {"scores": heads(hidden), "unit": _Likeliest(heads)(hidden)}

    def signatures(self):
        """The functions that are served, by name."""
        slots = self.writer.slots

        @tf.function(input_signature=[tf.TensorSpec([None, slots, WIDTH], tf.int32, "tokens")])
        def serving_default(tokens):
            return self.predict(tokens, training=False)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, "prompt"),
                tf.TensorSpec(None, tf.int32, "length"),
                tf.TensorSpec(None, tf.float32, "temperature"),
                tf.TensorSpec(None, tf.int32, "seed"),
            ]
        )
        def generate(prompt, length, temperature, seed):
            return {"text": self.generate(prompt, length, temperature, seed)}

        # Kept as attributes, so that they can be called by name after loading, too.
        self.serving_default, self.generate_text = serving_default, generate
        return {"serving_default": serving_default, "generate": generate}

    def generate(self, prompt, length, temperature, seed):
        """Text that continues prompts, inside a graph; see `export`."""
        batch = tf.shape(prompt)[0]
        length, temperature, seed = (
            tf.broadcast_to(tf.reshape(value, [-1]), [batch])
            for value in (length, temperature, seed)
        )
        checks = [
            tf.debugging.assert_greater(
                tf.strings.length(prompt), 0, "prompt: expected at least one character"
            ),
            tf.debugging.assert_non_negative(length, "length: expected 0 or more"),
            tf.debugging.assert_less_equal(length, MOST, f"length: expected at most {MOST}"),
            tf.debugging.assert_non_negative(temperature, "temperature: expected 0 or more"),
        ]
        with tf.control_dependencies(checks):
            length = tf.identity(length)
            window, filled = self.codec.window(prompt, self.writer.slots)
        settings = {
            "seed": seed,
            "temperature": temperature,
            "top_k": tf.zeros_like(seed),
            "top_p": tf.ones_like(temperature),
        }
        most = tf.reduce_max(tf.concat([length, [0]], 0))
        # One more than is written, so that there is one where nothing is asked for.
        units = tf.TensorArray(tf.int32, size=most + 1, element_shape=[None, UNIT])
        units = units.write(0, tf.zeros([batch, UNIT], tf.int32))

        def unfinished(number, characters, *_):
            return (number < most) & tf.reduce_any(characters < length)

        def write(number, characters, units, *state):
            unit, state = self.writer.step(state, settings)
            characters += self.codec.lengths(unit)
            return number + 1, characters, units.write(number + 1, unit), *state

        zero = tf.zeros_like(length)
        number, _, units, *_ = tf.while_loop(
            unfinished, write, (0, zero, units, window, filled, zero)
        )
        written = tf.transpose(units.stack()[1 : number + 1], [1, 0, 2])
        return self.codec.text(tf.reshape(written, [batch, number, UNIT]), length)

    def examples(self):
        """Requests to warm up with: signature name to inputs."""
        tokens = tf.zeros([1, self.writer.slots, WIDTH], tf.int32)
        return {
            "serving_default": {"tokens": tokens},
            "generate": {
                "prompt": tf.constant(["The "]),
                "length": tf.constant(16),
                "temperature": tf.constant(0.8),
                "seed": tf.constant(0),
            },
        }


class _Likeliest(keras.layers.Layer):
    """The likeliest unit of each slot, `[batch, slots, 4]`."""

    def __init__(self, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, hidden):
        rows = self.heads.decode(hidden, lambda scores, _: keras.ops.argmax(scores, axis=-1))
        return rows[..., :UNIT]
