"""Generates items with a trained network, one answer after another in each context."""

import dataclasses
import itertools
import math

from mdnn.errors import MdnnError
from mdnn.generation.autoregressive import AutoregressiveDecoder
from mdnn.generation.item_planner import ItemPlanner
from mdnn.generation.masked_diffusion import MaskedDiffusionDecoder
from mdnn.generation.output_spec import OutputSpec
from mdnn.generation.requests import (
    END,
    OutputRequest,
    decoder_for,
    run_decoder,
)
from mdnn.tokens.features import ITEM, MODALITY
from mdnn.tokens.modalities import modality, modality_at

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
        self.batch_size, self.planner = batch_size, ItemPlanner(run, decoding, length)
        self.tokenizer, self.config = run.item_tokenizer, run.config
        self.positions = self.config.context.positions
        self.heads, self.negatives = tuple(run.model.heads.modalities), 0

    def generate(self, prompts, specs, seeds, on_item=None, negatives=()):
        """Answers prompts.

        Args:
            prompts: list of lists of `Item`.
            specs: list of `OutputSpec`, generated in order; `None`: the network chooses the kinds.
            seeds: list of int, one per prompt.
            on_item: function called with the index of a prompt and each generated `Item`, or
                `None`.
            negatives: list of lists of `Item`, the negative prompts of every prompt.

        Returns:
            List of lists of `Item`, one list per prompt.

        Raises:
            MdnnError: a prompt or answer that does not fit its context, or a kind or size that
                must be specified because the network cannot choose it.
        """
        contexts = [
            self.planner.context(items, seed) for items, seed in zip(prompts, seeds, strict=True)
        ]
        self.negatives = len(negatives)
        for context in contexts:
            context.negatives = self.planner.negatives(context, negatives)
        if specs is None:
            self._generate_chosen(contexts, on_item)
        else:
            for spec, following in zip(specs, [*specs[1:], None], strict=True):
                requests = self.planner.requests(contexts, [spec] * len(contexts), following)
                self._decode(contexts, requests, on_item, contexts)
        return [context.items[context.prompt_items :] for context in contexts]

    def _generate_chosen(self, contexts, on_item):
        """Generates items of kinds that the network chooses, until it chooses to end the answer."""
        for number in range(MAX_ITEMS):
            active = [context for context in contexts if self.planner.continues(context, number)]
            if not active:
                return
            kinds = self._choose_kinds(active, number)
            active = [context for context in active if not context.done]
            specs = [OutputSpec(kind) for kind in kinds if kind]
            if number:
                fits = [self.planner.fits(*pair) for pair in zip(active, specs, strict=True)]
                active, specs = ([*itertools.compress(x, fits)] for x in (active, specs))
            if not active:
                return
            requests = self.planner.requests(active, specs)
            self._decode(active, requests, on_item, contexts, chosen=True)

    def _choose_kinds(self, contexts, number):
        """Returns the kinds of the next items, one per context; `None` at the end of an answer."""
        answer = tuple(name for name in self.heads if name != "end")
        # The answer has at least one item.
        least = 1 if number == 0 else 0
        spec = OutputSpec(answer[0])
        requests = [
            OutputRequest(spec, self.planner.start(c), 1, answer, ("end",), least, hidden=True)
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
            is_long = self.planner.longest(requests[0].spec) >= XLA_TOKENS
            decoder = self._autoregressive(kinds, xla=not chosen and is_long)
        else:
            most = max(request.num_masked(self.positions) for request in requests)
            # Round up to a power of two to limit the number of compiled decoders.
            most = min(self.positions, max(16, 2 ** math.ceil(math.log2(most))))
            parallel = self.decoding == "parallel"
            coordinates = any(request.decoded for request in requests)
            revises = self.settings.revise > 0
            decoder = self._masked_diffusion(kinds, most, parallel, coordinates, revises)
        decoded = self._run(decoder, contexts, requests)
        numbers = {id(context): number for number, context in enumerate(everyone)}
        for context, request, (tokens, stopped) in zip(contexts, requests, decoded, strict=True):
            item = self._item(tokens, request)
            for each in context.all:
                tokens[:, ITEM] = len(each.items)
                each.tokens[request.first : request.first + len(tokens)] = tokens
                each.stop = request.first + len(tokens)
                each.items.append(item)
            context.done = stopped == END
            if on_item is not None:
                on_item(numbers[id(context)], context.items[-1])

    def _item(self, tokens, request):
        try:
            item = self.tokenizer.item(tokens)
        except MdnnError as error:
            if not request.decoded:
                raise
            raise MdnnError(
                f"the decoded coordinates do not form an item of kind {request.spec.kind} "
                f"({error}); specify its size with output="
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

    def _masked_diffusion(self, kinds, max_tokens, parallel, coordinates=False, revises=False):
        return decoder_for(
            MaskedDiffusionDecoder,
            self.run.model,
            max_tokens=max_tokens,
            parallel=parallel,
            coordinates=coordinates,
            revises=revises,
            kinds=kinds,
            **self._decoder_options(),
        )

    def _decoder_options(self):
        settings = self.settings
        words = len(self.run.words)
        return {
            "steps": settings.steps,
            "sampler": settings.sampler,
            "words": words,
            "negatives": self.negatives,
        }
