"""Generates items with a trained network, one answer after another in each context."""

import dataclasses
import itertools
import math

import numpy as np

from mdnn.errors import MdnnError
from mdnn.generation.autoregressive import AutoregressiveDecoder
from mdnn.generation.masked_diffusion import MaskedDiffusionDecoder
from mdnn.generation.output_spec import OutputSpec
from mdnn.generation.planning import answer_start, max_open_tokens, modalities_of
from mdnn.generation.requests import (
    END,
    OutputRequest,
    PromptContext,
    decoder_for,
    run_decoder,
)
from mdnn.tokens.features import ITEM, MODALITY, WIDTH
from mdnn.tokens.items import check_kind
from mdnn.tokens.modalities import kinds_of, modality, modality_at

MAX_ITEMS = 64
"""Maximum number of items in an answer if the network chooses its end."""

XLA_TOKENS = 256
"""Minimum number of answer tokens for which compiling the decoder with XLA saves time."""


class ItemGenerator:
    """Generates items with one network in one decoding mode.

    Args:
        run: `mdnn.runs.run_folder.Run` of an item network.
        decoding: one of `mdnn.generation.options.DECODINGS`.
        settings: `mdnn.generation.options.SamplingSettings`.
        length: int, maximum number of tokens of a text or sound of unspecified length; `None`: the
            length of the longest one in the training data.
        batch_size: int, maximum number of contexts per batch.
    """

    def __init__(self, run, decoding, settings, length=None, batch_size=32):
        self.run, self.decoding, self.settings = run, decoding, settings
        self.length, self.batch_size = length, batch_size
        self.tokenizer, self.config = run.item_tokenizer, run.config
        context = self.config.context
        self.positions, self.alignment = context.positions, context.pad_to_multiple_of
        self.modalities = self.config.tokens.modalities
        self.heads = tuple(run.model.heads.modalities)

    def generate(self, prompts, specs, seeds, on_item=None):
        """Answers prompts.

        Args:
            prompts: list of lists of `Item`.
            specs: list of `OutputSpec`, generated in order; `None`: the network chooses the kinds.
            seeds: list of int, one per prompt.
            on_item: function called with the index of a prompt and each generated `Item`, or
                `None`.

        Returns:
            List of lists of `Item`, one list per prompt.

        Raises:
            MdnnError: a prompt or answer that does not fit its context, or a kind or size that
                must be specified because the network cannot choose it.
        """
        contexts = [self._context(items, seed) for items, seed in zip(prompts, seeds, strict=True)]
        if specs is None:
            self._generate_chosen(contexts, on_item)
        else:
            for spec, following in zip(specs, [*specs[1:], None], strict=True):
                requests = self._requests(contexts, [spec] * len(contexts), following)
                self._decode(contexts, requests, on_item, contexts)
        return [context.items[context.prompt_items :] for context in contexts]

    def _generate_chosen(self, contexts, on_item):
        """Generates items of kinds that the network chooses, until it chooses to end the answer."""
        for number in range(MAX_ITEMS):
            active = [context for context in contexts if self._continues(context, number)]
            if not active:
                return
            kinds = self._choose_kinds(active, number)
            active = [context for context in active if not context.done]
            specs = [OutputSpec(kind) for kind in kinds if kind]
            if number:
                fits = [self._fits(*pair) for pair in zip(active, specs, strict=True)]
                active, specs = ([*itertools.compress(x, fits)] for x in (active, specs))
            if not active:
                return
            requests = self._requests(active, specs)
            self._decode(active, requests, on_item, contexts, chosen=True)

    def _context(self, items, seed):
        tokens, stop = np.zeros((self.positions, WIDTH), "int32"), 0
        for number, item in enumerate(items):
            name = item.name or f"item {number + 1} of the prompt"
            check_kind(item.kind, kinds_of(self.modalities), name)
            start = answer_start(stop, self.alignment) if stop else 0
            count = self.tokenizer.count(item)
            if start + count >= self.positions:
                raise MdnnError(
                    f"{name}: {item.kind} of {count} tokens from position {start} on leaves no "
                    f"room for an answer in a context of {self.positions} positions"
                )
            stop = start + count
            tokens[start:stop] = self.tokenizer.tokens(item, number)
        return PromptContext(tokens, stop, list(items), len(items), seed)

    def _start(self, context):
        return answer_start(context.stop, self.alignment)

    def _continues(self, context, number):
        """Returns whether a context may continue with another item chosen by the network.

        Raises:
            MdnnError: no room for the first item (`number` 0).
        """
        full = self._start(context) >= self.positions
        if full and number == 0:
            self._room(context, "an answer", 1)
        return not (context.done or full)

    def _fits(self, context, spec):
        """Returns whether another chosen item fits; otherwise marks the context as done."""
        try:
            self._request(context, spec, ("end",))
        except MdnnError:
            context.done = True
        return not context.done

    def _room(self, context, name, needed):
        """Returns the number of free positions in a context.

        Args:
            context: `PromptContext`.
            name: str, name of the item in the error message.
            needed: int, minimum number of free positions.

        Raises:
            MdnnError: fewer than `needed` positions are free.
        """
        left = max(0, self.positions - self._start(context))
        if left < needed:
            before = ", ".join(
                f"{item.name or item.kind} ({self.tokenizer.count(item)} tokens)"
                for item in context.items
            )
            raise MdnnError(
                f"{name} takes {needed} positions: a context of {self.positions} positions has "
                f"{left} left behind {before or 'its first position'}"
            )
        return left

    def _request(self, context, spec, ends):
        """Builds the request for an item.

        An unspecified shape becomes the shape of the training items if they all have the same.

        Args:
            context: `PromptContext`.
            spec: `OutputSpec`.
            ends: names of the modalities that may end the item.

        Returns:
            `OutputRequest`.

        Raises:
            MdnnError: no room for the item, or a missing size that the network cannot choose.
        """
        first, kind = self._start(context), spec.kind
        answer = modalities_of(kind, self.heads)
        shapes = self.run.item_statistics["shapes"].get(kind, [])
        if spec.shape is None and not spec.flat and len(shapes) == 1:
            spec = OutputSpec(kind, tuple(shapes[0]))
        if spec.shape is not None:
            self._room(context, f"{kind} {'x'.join(map(str, spec.shape))}", spec.num_tokens)
            return OutputRequest(spec, first, spec.num_tokens, answer)
        if not spec.flat and not self.config.tokens.answer_coordinates:
            trained = ", ".join("x".join(map(str, shape)) for shape in shapes[:4])
            sizes = "x".join(map(str, modality(kind).example_shape))
            raise MdnnError(
                f"output: specify the size of {kind}, such as '{kind} {sizes}': the network was "
                f"trained on {trained or 'none'} and does not decode coordinates "
                "(tokens.answer_coordinates)"
            )
        count = max_open_tokens(self._room(context, kind, 1), self._longest(spec))
        return OutputRequest(spec, first, count, answer, ends)

    def _longest(self, spec):
        """Returns the maximum number of tokens of an item, independent of its position."""
        if spec.shape is not None:
            return spec.num_tokens
        if spec.flat and self.length is not None:
            return self.length
        return self.run.item_statistics["longest"].get(spec.kind, self.positions)

    def _choose_kinds(self, contexts, number):
        """Returns the kinds of the next items, one per context; `None` at the end of an answer."""
        answer = tuple(name for name in self.heads if name != "end")
        # The answer has at least one item.
        least = 1 if number == 0 else 0
        spec = OutputSpec(answer[0])
        requests = [
            OutputRequest(spec, self._start(c), 1, answer, ("end",), least, hidden=True)
            for c in contexts
        ]
        if self.config.train.objectives.autoregressive:
            decoder = self._autoregressive(self.heads)
        elif self.config.tokens.answer_coordinates:
            decoder = self._masked_diffusion(self.heads, self.positions, parallel=True)
        else:
            raise MdnnError(
                "output: specify what to generate, such as 'text': this network was not trained "
                "to choose (train.objectives.autoregressive, tokens.answer_coordinates)"
            )
        kinds = []
        for context, (tokens, _) in zip(
            contexts, self._run(decoder, contexts, requests), strict=True
        ):
            kind = modality_at(tokens[0, MODALITY]).kind if len(tokens) else None
            context.done = kind is None
            kinds.append(kind)
        return kinds

    def _requests(self, contexts, specs, following=None):
        """Builds the requests for the next item of each context.

        Args:
            contexts: list of `PromptContext`.
            specs: list of `OutputSpec`, one per context.
            following: `OutputSpec` of the item after the next one, or `None`.

        Returns:
            List of `OutputRequest`.
        """
        requests = []
        for context, spec in zip(contexts, specs, strict=True):
            ends = ("end",)
            if following is not None and self.alignment == 1 and self.decoding == "autoregressive":
                answer = modalities_of(spec.kind, self.heads)
                behind = modalities_of(following.kind, self.heads)
                ends += tuple(name for name in behind if name not in answer)
            requests.append(self._request(context, spec, ends))
        return requests

    def _decode(self, contexts, requests, on_item, everyone, chosen=False):
        """Decodes requests and appends the items to their contexts.

        Args:
            contexts: list of `PromptContext`.
            requests: list of `OutputRequest`, one per context.
            on_item: see `generate`.
            everyone: list of all contexts; `on_item` receives an index into it.
            chosen: bool, whether the network chose the kinds, which may then differ.
        """
        # Choose the compiled decoder by the requests only, so that an answer does not depend on
        # the rest of the batch.
        allowed = requests[0].allowed
        kinds = self.heads if chosen else tuple(n for n in self.heads if n in allowed)
        if self.decoding == "autoregressive":
            is_long = self._longest(requests[0].spec) >= XLA_TOKENS
            decoder = self._autoregressive(kinds, xla=not chosen and is_long)
        else:
            most = max(request.num_masked(self.positions) for request in requests)
            # Round up to a power of two to limit the number of compiled decoders.
            most = min(self.positions, max(16, 2 ** math.ceil(math.log2(most))))
            parallel = self.decoding == "parallel"
            coordinates = any(request.decoded for request in requests)
            decoder = self._masked_diffusion(kinds, most, parallel, coordinates)
        decoded = self._run(decoder, contexts, requests)
        numbers = {id(context): number for number, context in enumerate(everyone)}
        for context, request, (tokens, stopped) in zip(contexts, requests, decoded, strict=True):
            tokens[:, ITEM] = len(context.items)
            context.tokens[request.first : request.first + len(tokens)] = tokens
            context.stop = request.first + len(tokens)
            context.done = stopped == END
            context.items.append(self._item(tokens, request))
            if on_item is not None:
                on_item(numbers[id(context)], context.items[-1])

    def _item(self, tokens, request):
        try:
            item = self.tokenizer.item(tokens)
        except MdnnError as error:
            if not request.decoded:
                raise
            raise MdnnError(
                f"the network's coordinates make no {request.spec.kind} ({error}); specify its "
                "size with output="
            ) from None
        if request.spec.shape is None:
            return item
        value = modality(item.kind).limited(item.value, request.spec.num_tokens)
        return dataclasses.replace(item, value=value)

    def _run(self, decoder, contexts, requests):
        settings, size = self.settings, self.batch_size
        return run_decoder(decoder, contexts, requests, self.tokenizer, settings, size)

    def _autoregressive(self, kinds, xla=False):
        options = {"kinds": kinds, "xla": xla, **self._decoder_options()}
        return decoder_for(AutoregressiveDecoder, self.run.model, **options)

    def _masked_diffusion(self, kinds, max_tokens, parallel, coordinates=False):
        return decoder_for(
            MaskedDiffusionDecoder,
            self.run.model,
            max_tokens=max_tokens,
            parallel=parallel,
            coordinates=coordinates,
            kinds=kinds,
            **self._decoder_options(),
        )

    def _decoder_options(self):
        settings = self.settings
        words = len(self.run.words)
        return {"steps": settings.steps, "sampler": settings.sampler, "words": words}
