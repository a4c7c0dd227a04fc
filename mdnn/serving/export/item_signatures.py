"""Defines the signatures `answer_text`, `answer_image`, ..., which generate items in a graph."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from mdnn.generation.autoregressive import AutoregressiveDecoder
from mdnn.generation.masked_diffusion import MaskedDiffusionDecoder
from mdnn.generation.options import DECODINGS, DEFAULTS
from mdnn.generation.planning import (
    answer_start,
    coordinate_strides,
    max_open_tokens,
    modalities_of,
    num_masked,
)
from mdnn.generation.token_decoder import at_positions
from mdnn.generation.windows import TOKEN_BYTES
from mdnn.serving.export.exported_network import ExportedNetwork
from mdnn.serving.export.graph_codecs import largest, size_inputs
from mdnn.serving.export.graph_files import require
from mdnn.serving.export.graph_text import GraphTokenizer
from mdnn.serving.export.prompt_contexts import PromptContexts, require_of_prompts
from mdnn.tokens.modalities import item_kinds, kinds_of, modality
from mdnn.tokens.packing import aligned


@dataclasses.dataclass(frozen=True)
class CompiledDecoder:
    """A decoder and the requests that it answers.

    Args:
        decodings: those of `mdnn.generation.options.DECODINGS` that it serves: parallel decoding
            is masked diffusion in one pass.
        open: whether the network chooses where the answer ends.
        decoder: `AutoregressiveDecoder` or `MaskedDiffusionDecoder`.
        max_tokens: int, the most positions that it decodes.
    """

    decodings: tuple[str, ...]
    open: bool
    decoder: object
    max_tokens: int


class ExportedItems(ExportedNetwork):
    """A network of items as it is exported.

    Args:
        run, xla: see `ExportedNetwork`.
    """

    def __init__(self, run, xla=True):
        super().__init__(run, xla)
        config = run.config
        self.text = GraphTokenizer(run.words)
        self.held.append(self.text)
        self.positions, self.alignment = config.context.positions, config.context.pad_to_multiple_of
        self.rate = config.tokens.sample_rate
        kinds = [kind for kind in kinds_of(config.tokens.modalities) if modality(kind).served_by]
        # In the order of their numbers, independent of the order in the config.
        self.kinds = tuple(kind for kind in item_kinds() if kind in kinds)
        self.heads = tuple(run.model.heads.modalities)
        self.decodings = tuple(m for m in DECODINGS if getattr(config.train.objectives, m))
        self.longest = {
            kind: run.item_statistics["longest"].get(kind, self.positions) for kind in self.kinds
        }
        shapes = run.item_statistics["shapes"]
        self.shapes = {kind: shapes[kind][0] for kind in shapes if len(shapes[kind]) == 1}
        options = {"kinds": self.kinds, "text": self.text, "positions": self.positions}
        options |= {"rate": self.rate, "spectrum": config.tokens.spectrum}
        self.codecs = {kind: modality(kind).codec(**options) for kind in self.kinds}
        self.contexts = PromptContexts(self.codecs, self.positions, self.alignment)
        self.words = len(run.words)
        self.decoders = {kind: self._decoders(run.model, kind) for kind in self.kinds}

    def _decoders(self, model, kind):
        """Returns the `CompiledDecoder`s that answer with a kind of item."""
        decoders = []
        most = math.prod(self.shapes.get(kind, (self.positions,)))
        for is_open in self.codecs[kind].open_lengths:
            allowed = modalities_of(kind, self.heads) + ("end",) * is_open
            options = {
                "kinds": tuple(name for name in self.heads if name in allowed),
                "sampler": "plain",
                "words": self.words,
            }
            # An [EOS] may follow.
            count = min(self.positions, (self.longest[kind] if is_open else most) + 1)
            if "autoregressive" in self.decodings:
                decoder = AutoregressiveDecoder(model, **options)
                decoders.append(CompiledDecoder(("autoregressive",), is_open, decoder, count))
            if whole := tuple(name for name in self.decodings if name != "autoregressive"):
                decoder = MaskedDiffusionDecoder(model, count, **options)
                decoders.append(CompiledDecoder(whole, is_open, decoder, count))
        return tuple(decoders)

    def _sizes(self, kind):
        """Returns the names of the inputs for the size of an answer."""
        return size_inputs(self.codecs[kind], self.shapes.get(kind))

    def signatures(self):
        """Returns the functions that are served, by name."""
        answers = {f"answer_{kind}": self._signature(kind) for kind in self.kinds}
        return super().signatures() | answers

    def _signature(self, kind):
        names = self.contexts.inputs
        texts = [tf.TensorSpec([None], tf.string, name) for name in names]
        settings = [
            tf.TensorSpec(None, tf.int32, "seed"),
            tf.TensorSpec(None, tf.float32, "temperature"),
            tf.TensorSpec(None, tf.string, "decoding"),
        ]
        sizes = [tf.TensorSpec(None, tf.int32, name) for name in self._sizes(kind)]

        # Nothing here is a Python branch on a tensor: rewriting it would take most of the time.
        @tf.function(input_signature=[*texts, *settings, *sizes], autograph=False)
        def answer(*inputs):
            prompt = dict(zip(names, inputs, strict=False))
            with self.weights.bound():
                files = self.answer(kind, prompt, *inputs[len(names) :])
            return {modality(kind).key: files}

        return answer

    def answer(self, kind, prompt, seed, temperature, decoding, *sizes):
        """Returns items of a kind that answer prompts, inside a graph; see `export`.

        Args:
            kind: one of `kinds`.
            prompt: dict from `contexts.inputs` to string `[batch]`.
            seed, temperature, decoding: int32, float32, string; one value or `[batch]`.
            sizes: int32, as `_sizes` names them.

        Returns:
            string `[batch]`.
        """
        batch = tf.shape(prompt["text"])[0]
        checks = [
            tf.debugging.assert_equal(
                tf.shape(prompt[name])[0], batch, f"{name}: expected as many as of text"
            )
            for name in self.contexts.inputs[1:]
        ]
        seed, temperature, decoding, *sizes = (
            tf.broadcast_to(tf.reshape(value, [-1]), [batch])
            for value in (seed, temperature, decoding, *sizes)
        )
        known = tf.reduce_any(decoding[:, None] == tf.constant(self.decodings), axis=1)
        expected = f"decoding: expected {', '.join(self.decodings)}, received "
        checks += [
            require(known, expected, decoding),
            require(temperature >= 0, "temperature: expected 0 or more"),
        ]
        with tf.control_dependencies(checks):
            prompt = {name: tf.identity(value) for name, value in prompt.items()}
        tokens, stop, item = self.contexts(prompt)
        first = answer_start(stop, self.alignment)
        shape, count, is_open = self._shape(kind, sizes, first)
        inputs = {
            "tokens": tokens,
            "first": first,
            "least": tf.ones_like(first),
            "item": item,
            "decoded": tf.zeros_like(first),
            "seed": seed,
            "temperature": temperature,
            "top_k": tf.fill([batch], DEFAULTS.top_k),
            "top_p": tf.fill([batch], DEFAULTS.top_p),
            "num_denoising_steps": tf.where(
                decoding == "parallel", 1, DEFAULTS.num_denoising_steps
            ),
        }
        answer = tf.zeros([batch, self.positions, TOKEN_BYTES], tf.int32)
        written = tf.zeros_like(first)
        for compiled in self.decoders[kind]:
            here = tf.reduce_any(decoding[:, None] == tf.constant(compiled.decodings), axis=1)
            here &= is_open == compiled.open
            new, number = tf.cond(
                tf.reduce_any(here),
                lambda c=compiled, here=here: self._decode(c, kind, here, count, shape, inputs),
                lambda answer=answer, written=written: (answer, written),
            )
            answer = tf.where(here[:, None, None], new, answer)
            written = tf.where(here, number, written)
        return self.codecs[kind].files(answer, written, shape)

    def _shape(self, kind, sizes, first):
        """Returns the sizes of answers `[batch]` each, their most tokens, and which are open."""
        left, codec = tf.maximum(self.positions - first, 0), self.codecs[kind]
        shape, is_open = codec.shape(sizes, self.shapes.get(kind), first)
        least = codec.least_size
        checks = [
            require(size >= least, f"{name}: expected {least} or more, received ", size)
            for name, size in zip(self._sizes(kind), sizes, strict=True)
        ]
        count = largest(shape, self.positions)
        needed = tf.where(is_open, 1, count)
        size = tf.strings.join([tf.as_string(size) for size in shape], "x")
        checks.append(
            require_of_prompts(
                needed <= left,
                f": {kind} ",
                tf.where(is_open, "", size + " "),
                f"does not fit: a context of {self.positions} positions has ",
                left,
                " left behind the prompt",
            )
        )
        with tf.control_dependencies(checks):
            open_count = max_open_tokens(left, self.longest[kind])
            return shape, tf.where(is_open, open_count, count), is_open

    def _decode(self, compiled, kind, here, count, shape, inputs):
        """Returns the decoded tokens, int32 `[batch, positions, 4]`, and their number."""
        count = tf.where(here, count, 0)
        batch, first = tf.size(count), inputs["first"]
        answer = modalities_of(kind, self.heads)
        allowed = answer + ("end",) * compiled.open
        inputs = dict(inputs)
        for name, names in (("answer", answer), ("allowed", allowed)):
            mask = np.array([[modal in names for modal in self.heads]], "int32")
            inputs[name] = tf.repeat(mask, batch, axis=0)
        steps, sizes = (
            tf.stack([tf.zeros_like(count) + size for size in strides], axis=1)
            for strides in coordinate_strides(shape)
        )
        if compiled.decodings == ("autoregressive",):
            inputs = inputs | {"count": count, "steps": steps, "sizes": sizes}
            decoded = compiled.decoder(inputs)
            positions = first[:, None] + tf.range(self.positions)
            return at_positions(decoded["tokens"], positions)[..., :TOKEN_BYTES], decoded["written"]
        masked = tf.where(here, num_masked(count, self.positions - first), 0)
        # One more than there may be tokens, for the [EOS].
        inputs = inputs | {"count": masked if compiled.open else count, "num_masked": masked}
        number = tf.range(compiled.max_tokens)[None, :, None]
        coordinates = number // steps[:, None] % sizes[:, None]
        mask = np.array([modality("blank").index, modality(kind).index, 0, 0], "int32")
        head = tf.zeros_like(coordinates[..., :1]) + mask
        item = tf.zeros_like(coordinates[..., :1]) + inputs["item"][:, None, None]
        masks = tf.concat([head, coordinates, item], axis=-1)
        masks = tf.where(number < masked[:, None, None], masks, 0)
        decoded = compiled.decoder(inputs | {"masks": masks})
        rest = [[0, 0], [0, self.positions - compiled.max_tokens], [0, 0]]
        tokens = tf.pad(decoded["tokens"][..., :TOKEN_BYTES], rest)
        return tokens, tf.minimum(decoded["written"], count)

    def examples(self):
        """Returns requests to warm up with: pairs of a signature's name and its inputs."""
        requests = super().examples()
        files = {key: codec.example() for key, codec in self.contexts.codecs.items()}
        nothing = {name: tf.constant([""]) for name in self.contexts.inputs}
        names = [name for name in self.contexts.inputs if name in files]
        for kind in self.kinds:
            shape = self.shapes.get(kind, (1, 1))
            count = 1 if modality(kind).flat else math.prod(shape)
            # As much of a prompt as leaves room for the answer.
            for number in range(len(names), -1, -1):
                sizes = (self.contexts.codecs[name].example_tokens for name in names[:number])
                start = sum(aligned(size, self.alignment) for size in sizes)
                if max(start, self.alignment) + count <= self.positions:
                    break
            else:
                continue
            inputs = nothing | {name: files[name][None] for name in names[:number]}
            inputs |= {"seed": tf.constant(0), "temperature": tf.constant(DEFAULTS.temperature)}
            codec = self.codecs[kind]
            sizes = dict(zip(codec.size_inputs, codec.warmup_sizes, strict=True))
            inputs |= {name: tf.constant(sizes[name]) for name in self._sizes(kind)}
            for decoding in self.decodings:
                request = inputs | {"decoding": tf.constant(decoding)}
                requests.append((f"answer_{kind}", request))
        return requests
