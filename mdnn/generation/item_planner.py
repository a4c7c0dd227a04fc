"""Plans the positions and sizes of an answer's items in their contexts."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.generation.output_spec import OutputSpec
from mdnn.generation.planning import answer_start, max_open_tokens, modalities_of
from mdnn.generation.requests import OutputRequest, PromptContext
from mdnn.tokens.features import NUM_FEATURES
from mdnn.tokens.items import accepted_item, check_kind
from mdnn.tokens.modalities import kinds_of, modality


class ItemPlanner:
    """Builds the contexts of prompts and the requests for items that follow them.

    Args:
        run: `mdnn.runs.run_folder.Run` of an item network.
        decoding: one of `mdnn.generation.options.DECODINGS`.
        length: int, maximum number of tokens of an item with one coordinate and unspecified
            length; `None`: the length of the longest one in the training data.
    """

    def __init__(self, run, decoding, length=None):
        self.run, self.decoding, self.length = run, decoding, length
        self.tokenizer, self.config = run.item_tokenizer, run.config
        context = self.config.context
        self.positions, self.alignment = context.positions, context.pad_to_multiple_of
        self.modalities = self.config.tokens.modalities
        self.heads = tuple(run.model.heads.modalities)

    def context(self, items, seed):
        """Lays the items of a prompt out as a `PromptContext`.

        Raises:
            MdnnError: an item of a kind that the network does not have, or no room for an answer.
        """
        tokens, stop = np.zeros((self.positions, NUM_FEATURES), "int32"), 0
        kinds = kinds_of(self.modalities)
        items = [accepted_item(item, kinds) for item in items]
        for number, item in enumerate(items):
            name = item.name or f"item {number + 1} of the prompt"
            check_kind(item.kind, kinds, name)
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

    def negatives(self, context, prompts):
        """Lays out negative prompts for a context.

        Raises:
            MdnnError: an answer to one of them would begin elsewhere.
        """
        found = [self.context(items, context.seed) for items in prompts]
        for number, other in enumerate(found, 1):
            if self.start(other) != self.start(context):
                raise MdnnError(
                    f"negative_prompt: expected prompts after which an answer begins at position "
                    f"{self.start(context)}, as after the prompt; after number {number} it "
                    f"begins at {self.start(other)}"
                )
        return found

    def start(self, context):
        """Returns the first position of the next item of a context."""
        return answer_start(context.stop, self.alignment)

    def continues(self, context, number):
        """Returns whether a context may continue with another item chosen by the network.

        Raises:
            MdnnError: no room for the first item (`number` 0).
        """
        full = self.start(context) >= self.positions
        if full and number == 0:
            self._room(context, "an answer", 1)
        return not (context.done or full)

    def fits(self, context, spec):
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
        left = max(0, self.positions - self.start(context))
        if left < needed:
            before = ", ".join(
                f"{item.name or item.kind} ({self.tokenizer.count(item)} tokens)"
                for item in context.items
            )
            raise MdnnError(
                f"{name} takes {needed} positions: a context of {self.positions} positions has "
                f"{left} left after {before or 'its first position'}"
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
        first, kind = self.start(context), spec.kind
        answer = modalities_of(kind, self.heads)
        shapes = self.run.item_statistics["shapes"].get(kind, [])
        if spec.shape is None and not spec.flat and len(shapes) == 1:
            spec = OutputSpec(kind, tuple(shapes[0]))
        if spec.shape is not None:
            modality(kind).check_size(spec.shape, self.tokenizer)
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
        count = max_open_tokens(self._room(context, kind, 1), self.longest(spec))
        return OutputRequest(spec, first, count, answer, ends)

    def longest(self, spec):
        """Returns the maximum number of tokens of an item, independent of its position."""
        if spec.shape is not None:
            return spec.num_tokens
        if spec.flat and self.length is not None:
            return self.length
        return self.run.item_statistics["longest"].get(spec.kind, self.positions)

    def requests(self, contexts, specs, following=None):
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
