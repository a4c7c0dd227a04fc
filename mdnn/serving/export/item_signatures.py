"""Items that answer texts, pictures and sounds, inside a graph."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from mdnn.generation.generate import WAYS
from mdnn.generation.item_writer import at_positions
from mdnn.generation.output_spec import LARGEST
from mdnn.generation.presets import PLAIN
from mdnn.generation.turn import TurnWriter
from mdnn.generation.whole import BlankWriter
from mdnn.generation.writer import UNIT
from mdnn.serving.export.exported_network import ServedNetwork
from mdnn.serving.export.graph_files import png, require, wav
from mdnn.serving.export.graph_text import GraphTokenizer
from mdnn.serving.export.prompt_contexts import PROMPT, PromptContexts, require_of_prompts
from mdnn.tokens.features import modality

KINDS = ("text", "image", "grey", "audio")
"""Kinds of items that are answered."""


@dataclasses.dataclass(frozen=True)
class Way:
    """One compiled way to answer.

    Args:
        hows: those of `mdnn.generation.generate.WAYS` that it is: all at once is unmasking in one
            pass.
        open: whether the network says where the answer ends.
        writer: `TurnWriter` or `BlankWriter`.
        units: int, positions that are answered at most.
    """

    hows: tuple[str, ...]
    open: bool
    writer: object
    units: int


class ServedItems(ServedNetwork):
    """What a SavedModel of a network of items holds.

    Args:
        run: `mdnn.runs.run_folder.Run`.
    """

    def __init__(self, run):
        super().__init__(run)
        config = run.config
        self.text = GraphTokenizer(run.words)
        self.held.append(self.text)
        self.positions, self.align = config.context.positions, config.context.pad_to_multiple_of
        self.rate = config.tokens.sample_rate
        self.kinds = tuple(kind for kind in KINDS if kind in config.tokens.modalities)
        self.heads = tuple(run.model.get_layer("heads").modalities)
        self.hows = tuple(how for how in WAYS if getattr(config.train.objectives, how))
        self.longest = {
            kind: run.item_statistics["longest"].get(kind, self.positions) for kind in self.kinds
        }
        shapes = run.item_statistics["shapes"]
        self.shapes = {kind: shapes[kind][0] for kind in shapes if len(shapes[kind]) == 1}
        self.contexts = PromptContexts(self.text, self.kinds, self.positions, self.align, self.rate)
        self.words = len(run.words)
        self.ways = {kind: self._ways(run.model, kind) for kind in self.kinds}

    def _ways(self, model, kind):
        """The `Way`s to answer in a kind."""
        ways = []
        most = math.prod(self.shapes.get(kind, (self.positions,)))
        lengths = {"text": (True,), "audio": (True, False)}.get(kind, (False,))
        for is_open in lengths:
            allowed = self._own(kind) + ("end",) * is_open
            settings = {
                "kinds": tuple(name for name in self.heads if name in allowed),
                "sampler": "plain",
                "words": self.words,
            }
            # An `end` may follow.
            units = min(self.positions, (self.longest[kind] if is_open else most) + 1)
            if "autoregressive" in self.hows:
                ways.append(Way(("autoregressive",), is_open, TurnWriter(model, **settings), units))
            if whole := tuple(how for how in self.hows if how != "autoregressive"):
                ways.append(Way(whole, is_open, BlankWriter(model, units, **settings), units))
        return tuple(ways)

    def _own(self, kind):
        """Names of the modalities that an item's units may have."""
        own = ("text", "word") if kind == "text" else (kind,)
        return tuple(name for name in self.heads if name in own)

    def _sizes(self, kind):
        """Names of the inputs that say how large an answer is to be."""
        if kind == "audio":
            return ("samples",)
        return () if kind == "text" or kind in self.shapes else ("height", "width")

    def signatures(self):
        """The functions that are served, by name."""
        found = {f"answer_{kind}": self._signature(kind) for kind in self.kinds}
        return super().signatures() | found

    def _signature(self, kind):
        texts = [tf.TensorSpec([None], tf.string, name) for name in PROMPT]
        settings = [
            tf.TensorSpec(None, tf.int32, "seed"),
            tf.TensorSpec(None, tf.float32, "temperature"),
            tf.TensorSpec(None, tf.string, "decoding"),
        ]
        sizes = [tf.TensorSpec(None, tf.int32, name) for name in self._sizes(kind)]
        name = "image" if kind == "grey" else kind

        # Nothing here is a Python branch on a tensor: rewriting it would take most of the time.
        @tf.function(input_signature=[*texts, *settings, *sizes], autograph=False)
        def answer(text, image, audio, seed, temperature, how, *sizes):
            prompt = {"text": text, "image": image, "audio": audio}
            with self.weights.in_use():
                return {name: self.answer(kind, prompt, seed, temperature, how, *sizes)}

        return answer

    def answer(self, kind, prompt, seed, temperature, how, *sizes):
        """Items of a kind that answer prompts, inside a graph; see
        `mdnn.serving.export.saved_model`.

        Args:
            kind: one of `KINDS`.
            prompt: dict from `PROMPT` to string `[batch]`.
            seed, temperature, how: int32, float32, string; one value or `[batch]`.
            sizes: int32, as `_sizes` names them.

        Returns:
            string `[batch]`.
        """
        batch = tf.shape(prompt["text"])[0]
        checks = [
            tf.debugging.assert_equal(
                tf.shape(prompt[name])[0], batch, f"{name}: expected as many as of text"
            )
            for name in PROMPT[1:]
        ]
        seed, temperature, how, *sizes = (
            tf.broadcast_to(tf.reshape(value, [-1]), [batch])
            for value in (seed, temperature, how, *sizes)
        )
        known = tf.reduce_any(how[:, None] == tf.constant(self.hows), axis=1)
        checks += [
            require(known, f"decoding: expected {', '.join(self.hows)}, received ", how),
            require(temperature >= 0, "temperature: expected 0 or more"),
        ]
        with tf.control_dependencies(checks):
            prompt = {name: tf.identity(value) for name, value in prompt.items()}
        tokens, stop, item = self.contexts(prompt)
        first = tf.maximum((stop + self.align - 1) // self.align, 1) * self.align
        shape, count, is_open = self._shape(kind, sizes, first)
        inputs = {
            "tokens": tokens,
            "first": first,
            "least": tf.ones_like(first),
            "item": item,
            "decoded": tf.zeros_like(first),
            "seed": seed,
            "temperature": temperature,
            "top_k": tf.fill([batch], PLAIN.top_k),
            "top_p": tf.fill([batch], PLAIN.top_p),
            "passes": tf.where(how == "parallel", 1, PLAIN.passes),
        }
        rows, written = tf.zeros([batch, self.positions, UNIT], tf.int32), tf.zeros_like(first)
        for way in self.ways[kind]:
            here = tf.reduce_any(how[:, None] == tf.constant(way.hows), axis=1)
            here &= is_open == way.open
            new, number = tf.cond(
                tf.reduce_any(here),
                lambda way=way, here=here: self._write(way, kind, here, count, shape, inputs),
                lambda rows=rows, written=written: (rows, written),
            )
            rows = tf.where(here[:, None, None], new, rows)
            written = tf.where(here, number, written)
        return self._file(kind, rows, written, shape)

    def _shape(self, kind, sizes, first):
        """The sizes of answers `[batch]` each, their units at most, whether they are open."""
        left, names = tf.maximum(self.positions - first, 0), self._sizes(kind)
        if kind == "text":
            shape, is_open = (tf.zeros_like(first),), tf.ones_like(first, tf.bool)
        elif kind == "audio":
            shape, is_open = tuple(sizes), sizes[0] == 0
        else:
            fixed = self.shapes.get(kind)
            if fixed is not None:
                sizes = [tf.fill([tf.size(first)], size) for size in fixed]
            shape = tuple(sizes)
            is_open = tf.zeros_like(first, tf.bool)
        least = 0 if kind == "audio" else 1
        checks = [
            require(size >= least, f"{name}: expected {least} or more, received ", size)
            for name, size in zip(names, sizes[: len(names)], strict=True)
        ]
        # No product beyond 32 bits: sizes above the positions do not fit anyway.
        wide = [tf.cast(tf.minimum(size, self.positions + 1), tf.int64) for size in shape]
        units = tf.cast(tf.minimum(math.prod(wide), self.positions + 1), tf.int32)
        needed = tf.where(is_open, 1, units)
        wanted = tf.strings.join([tf.as_string(size) for size in shape], "x")
        checks.append(
            require_of_prompts(
                needed <= left,
                f": {kind} ",
                tf.where(is_open, "", wanted + " "),
                f"does not fit: a context of {self.positions} positions has ",
                left,
                " left behind the prompt",
            )
        )
        with tf.control_dependencies(checks):
            own = tf.maximum(tf.minimum(left, self.longest[kind]), 1)
            return shape, tf.where(is_open, own, units), is_open

    def _write(self, way, kind, here, count, shape, inputs):
        """The units that a way writes, int32 `[batch, positions, 4]`, and how many."""
        count = tf.where(here, count, 0)
        own = self._own(kind)
        allowed = own + ("end",) * way.open
        batch = tf.size(count)
        inputs = dict(inputs)
        for name, names in (("own", own), ("allowed", allowed)):
            mask = np.array([[modal in names for modal in self.heads]], "int32")
            inputs[name] = tf.repeat(mask, batch, axis=0)
        ones, largest = tf.ones_like(count), tf.fill([batch], LARGEST)
        steps, sizes = [ones] * 3, [largest, ones, ones]
        if len(shape) == 2:
            steps, sizes = [shape[1], ones, ones], [largest, shape[1], ones]
        steps, sizes = tf.stack(steps, axis=1), tf.stack(sizes, axis=1)
        first = inputs["first"]
        if way.hows == ("autoregressive",):
            inputs = inputs | {"count": count, "steps": steps, "sizes": sizes}
            found = way.writer(inputs)
            positions = first[:, None] + tf.range(self.positions)
            return at_positions(found["tokens"], positions)[..., :UNIT], found["written"]
        shown = tf.where(here, tf.minimum(count + 1, self.positions - first), 0)
        # One more than there may be units, for the `end`.
        inputs = inputs | {"count": tf.where(here, shown, 0) if way.open else count, "shown": shown}
        unit = tf.range(way.units)[None, :, None]
        places = unit // steps[:, None] % sizes[:, None]
        blank = np.array([modality("blank").index, modality(kind).index, 0, 0], "int32")
        head = tf.zeros_like(places[..., :1]) + blank
        item = tf.zeros_like(places[..., :1]) + inputs["item"][:, None, None]
        ask = tf.concat([head, places, item], axis=-1)
        ask = tf.where(unit < shown[:, None, None], ask, 0)
        found = way.writer(inputs | {"ask": ask})
        rows = tf.pad(found["rows"][..., :UNIT], [[0, 0], [0, self.positions - way.units], [0, 0]])
        return rows, tf.minimum(found["written"], count)

    def _file(self, kind, rows, written, shape):
        """The files that hold units, string `[batch]`."""
        if kind == "audio":
            return wav(rows, written, self.rate)
        if kind != "text":
            return png(rows, *shape, 3 if kind == "image" else 1)
        inside = tf.range(self.positions)[None] < written[:, None]
        letters = tf.where(inside, self.text.lengths(rows), 0)
        return self.text.text(rows, tf.reduce_sum(letters, axis=1))

    def examples(self):
        """Requests to warm up with: pairs of a signature's name and its inputs."""
        found = super().examples()
        grey = [[[0]]] if "grey" in self.kinds else [[[0, 0, 0]]]
        files = {
            "text": tf.constant(b"a"),
            "image": tf.io.encode_png(tf.constant(grey, tf.uint8)),
            "audio": tf.audio.encode_wav([[0.0]], self.rate),
        }
        nothing = {name: tf.constant([""]) for name in PROMPT}
        known = {"text": "text", "image": "image", "grey": "image", "audio": "audio"}
        names = [name for name in PROMPT if name in [known[kind] for kind in self.kinds]]
        for kind in self.kinds:
            shape = self.shapes.get(kind, (1, 1))
            units = 1 if kind in ("text", "audio") else math.prod(shape)
            # As much of a prompt as leaves room for the answer.
            for number in range(len(names), -1, -1):
                if max(number, 1) * self.align + units <= self.positions:
                    break
            else:
                continue
            inputs = nothing | {name: files[name][None] for name in names[:number]}
            inputs |= {"seed": tf.constant(0), "temperature": tf.constant(0.8)}
            sizes = {"samples": 0, "height": 1, "width": 1}
            inputs |= {name: tf.constant(sizes[name]) for name in self._sizes(kind)}
            for how in self.hows:
                found.append((f"answer_{kind}", inputs | {"decoding": tf.constant(how)}))
        return found
