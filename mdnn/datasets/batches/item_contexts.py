"""Builds contexts of items with the inputs and targets of each objective."""

import dataclasses

import numpy as np

from mdnn.datasets.batches.objectives import mask_tokens, masked_inputs, masked_positions
from mdnn.datasets.items.augment import augment
from mdnn.tokens.features import COORDINATES, ITEM, MODALITY, NUM_FEATURES
from mdnn.tokens.modalities import modality
from mdnn.tokens.packing import aligned, pack_items

WORDS = 5
"""Number of random words per context, for its offset and its mask tokens."""

HIDDEN = 8
"""With `hide`, one in `HIDDEN` answers has mask tokens without modality and coordinates."""

SPARE = 8
"""Maximum number of extra mask tokens after the longest answer."""

_END = modality("end").index

# Capacity of the cache in tokens of 32 bytes; tokens of further items are rebuilt at each use.
_CACHE_TOKENS = 8_000_000


def positions_needed(counts, align):
    """Returns the number of positions of items and their end token.

    Args:
        counts: list of ints, the tokens of each item, in order.
        align: int; every item starts at a multiple of `align`.
    """
    return sum(aligned(count, align) for count in counts[:-1]) + counts[-1] + 1


def _changes(items, varied, options):
    """Returns the changes of each item: `(options, bits)`, or `None` for an item as it is.

    Args:
        items: list of `mdnn.tokens.items.Item`; the last is the answer.
        varied: uint64 `[items, DRAWS]`, random bits; `None` for no change.
        options: `mdnn.config.data_tables.Augment`.
    """
    if varied is None:
        return [None] * len(items)
    changes = [(options, bits) for bits in varied[: len(items)]]
    # Noise would be learned as part of what is to be answered, and how loud it is, too.
    answer = dataclasses.replace(options, noise=0.0, volume=0.0)
    changes[-1] = (answer, changes[-1][1]) if items[-1].kind in options.answers else None
    return changes


class ItemContexts:
    """Packs items into contexts and builds mask tokens and targets.

    The last item is the answer. The number of mask tokens must not reveal the length of a text or
    sound, so extra mask tokens follow the one of the end token: half the time as many as the
    longest item of the kind needs, otherwise a random number. No mask tokens follow an end token
    that is not masked.

    Args:
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
        context: `mdnn.config.data_tables.Context`.
        truncate: bool, whether to truncate items that do not fit.
        prompt_weight: float, loss weight of prompt tokens in `autoregressive` training; with 0
            they are not targets.
        hide: bool, whether one in `HIDDEN` answers is masked with tokens without modality and
            coordinates, from its first position to the context's end.
        longest: Dictionary from kinds to the token count of the longest item.
        augment: `mdnn.config.data_tables.Augment`, the random changes of items in `fill`.
    """

    def __init__(
        self,
        tokenizer,
        context,
        truncate=False,
        prompt_weight=1.0,
        hide=False,
        longest=None,
        augment=None,
    ):
        self.tokenizer = tokenizer
        self.positions, self.align = context.positions, context.pad_to_multiple_of
        self.padding = context.padding
        self.truncate, self.hide = bool(truncate), bool(hide)
        self.prompt_weight = float(prompt_weight)
        self.longest = dict(longest or {})
        self.augment = augment
        self._rows, self._left = {}, _CACHE_TOKENS

    def rows(self, item, change=None):
        """Returns an item's tokens from a cache, or those of an augmented copy.

        Args:
            item: `mdnn.tokens.items.Item`.
            change: `(options, bits)` of `mdnn.datasets.items.augment.augment`, or `None`.
        """
        if change is not None:
            options, bits = change
            other = augment(item, options, bits, self.longest.get(item.kind))
            if other is not item:
                return self.tokenizer.tokens(other)
        # Lines of large manifests are made again at each use, with other objects of equal texts.
        key = item.value if item.kind == "text" else item
        rows = self._rows.get(key)
        if rows is None:
            rows = self.tokenizer.tokens(item)
            if len(rows) <= self._left:
                self._left -= len(rows)
                self._rows[key] = rows
        return rows

    def needs_keys(self, objective):
        """Returns whether `fill` draws single positions in training with an objective."""
        masks = self.augment is not None and self.augment.mask > 0
        return objective == "masked_diffusion" or (objective == "autoregressive" and masks)

    def fill(self, drawn, objective, bits, keys=None, padding=None, varied=None):
        """Builds contexts, their targets and loss weights.

        Args:
            drawn: list of `n` lists of `mdnn.tokens.items.Item`; the last of each is the answer.
            objective: `"autoregressive"`, `"parallel"` or `"masked_diffusion"`.
            bits: uint64 `[n, WORDS]`, random bits.
            keys: uint64 `[n, positions]`, random bits where `needs_keys(objective)`.
            padding: `"none"` or `"random"`; `None` for the context's setting.
            varied: uint64 `[n, items, DRAWS]`, random bits of the augmentation; `None`
                for no augmentation.

        Returns:
            `(tokens, targets, weights)`: int32 `[n, positions, 8]` twice (zeros at positions
            without a target), and float64 `[n, positions]` (undefined at positions without a
            target).

        Raises:
            MdnnError: an item does not fit and `truncate` is `False`.
        """
        padded = (padding or self.padding) == "random"
        right = np.zeros((len(drawn), self.positions, NUM_FEATURES), dtype=np.int32)
        first, stop = [], []
        for number, items in enumerate(drawn):
            own = None if varied is None else varied[number]
            changes = _changes(items, own, self.augment)
            rows = [self.rows(item, change) for item, change in zip(items, changes, strict=True)]
            offset = 0
            if padded:
                counts = [len(tokens) for tokens in rows]
                room = self.positions - positions_needed(counts, self.align)
                offset = int(bits[number, 0]) % (max(0, room) // self.align + 1) * self.align
            names = [item.name for item in items]
            right[number], spans = pack_items(
                rows, self.positions, offset, self.align, self.truncate, names
            )
            # The end token is part of the answer, unless there is no position for it.
            first.append(spans[-1][0])
            stop.append(min(spans[-1][1] + 1, self.positions))
        targets = np.zeros_like(right)
        weights = np.ones(right.shape[:2])
        if objective == "autoregressive":
            targets[:, :-1] = right[:, 1:]
            prompt = np.arange(self.positions) + 1 < np.array(first)[:, None]
            weights[prompt] = self.prompt_weight
            if not self.prompt_weight:
                # Without targets, no loss is computed for the prompt.
                targets[prompt] = 0
            if not self.needs_keys(objective):
                return right, targets, weights
            # The end token is predicted only.
            most, stop = self.augment.mask, np.array(stop) - 1
            masked = masked_inputs(first, stop, self.positions, bits[:, 1], keys, most)
            kinds = np.array([modality(items[-1].kind).index for items in drawn])
            tokens = np.where(masked[..., None], mask_tokens(right, kinds[:, None]), right)
            return tokens, targets, weights
        masked, weight = masked_positions(objective, first, stop, self.positions, bits[:, 1], keys)
        masks, filler = self._masks(drawn, right, first, stop, masked, bits)
        tokens = np.where((masked | filler)[..., None], masks, right)
        targets[:, :-1] = right[:, 1:] * masked[:, 1:, None]
        return tokens, targets, weights * weight[:, None]

    def _masks(self, drawn, right, first, stop, masked, bits):
        """Builds the mask token of every position and selects extra ones after the answer.

        Returns:
            `(masks, filler)`: int32 `[n, positions, 8]`, and boolean `[n, positions]`, the
            positions after the answer that hold a mask token.
        """
        kinds = np.array([modality(items[-1].kind).index for items in drawn])
        asked = mask_tokens(right, kinds[:, None])
        filler = np.zeros(masked.shape, dtype=bool)
        for number, items in enumerate(drawn):
            hidden = self.hide and int(bits[number, 4]) % HIDDEN == 0
            if hidden:
                asked[number, :, MODALITY + 1 :] = 0
            end = stop[number] - 1
            if right[number, end, MODALITY] != _END or not masked[number, end]:
                continue
            if hidden:
                filler[number, stop[number] :] = True
                continue
            more = self._more(items[-1].kind, end - first[number], stop[number], bits[number])
            behind = slice(end, end + 1 + more)
            filler[number, end + 1 : end + 1 + more] = True
            coordinate = (
                int(right[number, end - 1, COORDINATES.start]) + 1 if end > first[number] else 0
            )
            asked[number, behind, COORDINATES.start] = coordinate + np.arange(1 + more)
            asked[number, behind, ITEM] = len(items) - 1
        return asked, filler

    def _more(self, kind, count, stop, bits):
        """Returns the number of mask tokens after that of the end token."""
        if not modality(kind).flat:
            return 0
        room = self.positions - stop
        missing = max(0, self.longest.get(kind, 0) - count)
        if bits[2] & np.uint64(1):
            return min(room, missing)
        return int(bits[3]) % (min(room, missing + SPARE) + 1)
