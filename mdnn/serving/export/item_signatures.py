"""Defines the signatures `answer_text`, `guided_text`, ..., which generate items in a graph."""

import math

import tensorflow as tf

from mdnn.generation.autoregressive import AutoregressiveDecoder
from mdnn.generation.masked_diffusion import MaskedDiffusionDecoder
from mdnn.generation.options import DECODINGS, DEFAULTS
from mdnn.generation.planning import answer_start, max_open_tokens, modalities_of
from mdnn.generation.windows import TOKEN_BYTES
from mdnn.serving.export.compiled_decoder import CompiledDecoder
from mdnn.serving.export.exported_network import ExportedNetwork
from mdnn.serving.export.graph_codecs import largest, size_inputs
from mdnn.serving.export.graph_files import require
from mdnn.serving.export.graph_text import GraphTokenizer
from mdnn.serving.export.guided_contexts import GuidedContexts
from mdnn.serving.export.prompt_contexts import PromptContexts, require_of_prompts
from mdnn.tokens.modalities import item_kinds, kinds_of, modality
from mdnn.tokens.packing import aligned


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
        self.guided_contexts = GuidedContexts(self.contexts)
        # To revise is to decide a token given all others, which that objective trains.
        self.revises = "masked_diffusion" in self.decodings
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
                "negatives": None,
            }
            # An [EOS] may follow.
            count = min(self.positions, (self.longest[kind] if is_open else most) + 1)
            if "autoregressive" in self.decodings:
                decoder = AutoregressiveDecoder(model, **options)
                decoders.append(CompiledDecoder(("autoregressive",), is_open, decoder, count))
            if whole := tuple(name for name in self.decodings if name != "autoregressive"):
                decoder = MaskedDiffusionDecoder(model, count, revises=self.revises, **options)
                decoders.append(CompiledDecoder(whole, is_open, decoder, count))
        return tuple(decoders)

    def _sizes(self, kind):
        """Returns the names of the inputs for the size of an answer."""
        return size_inputs(self.codecs[kind], self.shapes.get(kind))

    def signatures(self):
        """Returns the functions that are served, by name."""
        signatures = super().signatures()
        for kind in self.kinds:
            answer, guided = self._signature(kind)
            signatures |= {f"answer_{kind}": answer, f"guided_{kind}": guided}
        return signatures

    def _signature(self, kind):
        """Returns the functions of a kind of answer, without and with guidance and revision."""
        names, negative = self.contexts.inputs, self.guided_contexts.inputs
        specs = [tf.TensorSpec([None], tf.string, name) for name in names]
        specs += [
            tf.TensorSpec(None, tf.int32, "seed"),
            tf.TensorSpec(None, tf.float32, "temperature"),
            tf.TensorSpec(None, tf.string, "decoding"),
            *(tf.TensorSpec(None, tf.int32, name) for name in self._sizes(kind)),
        ]
        more = [tf.TensorSpec(None, tf.float32, "guidance_scale")]
        more += [tf.TensorSpec([None, None], tf.string, name) for name in negative]
        more += [tf.TensorSpec(None, tf.int32, "revise")] * self.revises

        # Nothing here is a Python branch on a tensor: rewriting it would take most of the time.
        @tf.function(input_signature=[*specs, *more], autograph=False)
        def guided(*inputs):
            given = dict(zip([spec.name for spec in (*specs, *more)], inputs, strict=True))
            with self.weights.bound():
                return {modality(kind).key: self.answer(kind, given)}

        @tf.function(input_signature=specs, autograph=False)
        def answer(*inputs):
            nothing = tf.fill([tf.shape(inputs[0])[0], 0], "")
            # The same function, which is traced and saved once.
            return guided(*inputs, 1.0, *[nothing] * len(negative), *[0] * self.revises)

        return answer, guided

    def answer(self, kind, given):
        """Returns items of a kind that answer prompts, inside a graph; see `export`.

        Args:
            kind: one of `kinds`.
            given: dict of the inputs of the signature `guided_*`.

        Returns:
            string `[batch]`.
        """
        prompt = {name: given[name] for name in self.contexts.inputs}
        negative = [given[name] for name in self.guided_contexts.inputs]
        batch = tf.shape(prompt["text"])[0]
        checks = [
            tf.debugging.assert_equal(
                tf.shape(prompt[name])[0], batch, f"{name}: expected as many as of text"
            )
            for name in self.contexts.inputs[1:]
        ]
        settings = {
            name: tf.broadcast_to(tf.reshape(value, [-1]), [batch])
            for name, value in given.items()
            if name not in prompt and name not in self.guided_contexts.inputs
        }
        with tf.control_dependencies([*checks, *self._checks(settings)]):
            prompt = {name: tf.identity(value) for name, value in prompt.items()}
        scale = settings["guidance_scale"]
        tokens, stop, item, negatives = self.guided_contexts(prompt, negative, scale)
        rows = 1 + negatives
        # Where the prompts' own contexts stand.
        places = tf.range(batch) * rows
        first = answer_start(stop, self.alignment)
        sizes = [settings[name] for name in self._sizes(kind)]
        shape, count, is_open = self._shape(kind, sizes, tf.gather(first, places))
        settings = {name: tf.repeat(value, rows) for name, value in settings.items()}
        count, is_open, *wide = (tf.repeat(value, rows) for value in (count, is_open, *shape))
        decoding = settings["decoding"]
        inputs = {
            "tokens": tokens,
            "first": first,
            "least": tf.ones_like(first),
            "item": item,
            "decoded": tf.zeros_like(first),
            "top_k": tf.zeros_like(first) + DEFAULTS.top_k,
            "top_p": tf.zeros_like(settings["temperature"]) + DEFAULTS.top_p,
            "num_denoising_steps": tf.where(
                decoding == "parallel", 1, DEFAULTS.num_denoising_steps
            ),
            "negatives": negatives,
        }
        names = ("seed", "temperature", "guidance_scale", *["revise"] * self.revises)
        inputs |= {name: settings[name] for name in names}
        answer = tf.zeros([batch * rows, self.positions, TOKEN_BYTES], tf.int32)
        written = tf.zeros_like(first)
        for compiled in self.decoders[kind]:
            here = tf.reduce_any(decoding[:, None] == tf.constant(compiled.decodings), axis=1)
            here &= is_open == compiled.open
            new, number = tf.cond(
                tf.reduce_any(here),
                lambda c=compiled, here=here: c.decode(kind, here, count, wide, inputs),
                lambda answer=answer, written=written: (answer, written),
            )
            answer = tf.where(here[:, None, None], new, answer)
            written = tf.where(here, number, written)
        # Those of the prompts: their negative prompts got the same.
        return self.codecs[kind].files(tf.gather(answer, places), tf.gather(written, places), shape)

    def _checks(self, settings):
        """Returns assertions about settings, a dict of tensors `[batch]`."""
        decoding = settings["decoding"]
        known = tf.reduce_any(decoding[:, None] == tf.constant(self.decodings), axis=1)
        expected = f"decoding: expected {', '.join(self.decodings)}, received "
        checks = [
            require(known, expected, decoding),
            require(settings["temperature"] >= 0, "temperature: expected 0 or more"),
        ]
        if self.revises:
            revise = settings["revise"]
            checks += [
                require(revise >= 0, "revise: expected 0 or more, received ", revise),
                require(
                    (revise == 0) | (decoding != "autoregressive"),
                    "revise has no effect on autoregressive decoding",
                ),
            ]
        return checks

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
                " left after the prompt",
            )
        )
        with tf.control_dependencies(checks):
            open_count = max_open_tokens(left, self.longest[kind])
            return shape, tf.where(is_open, open_count, count), is_open

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
