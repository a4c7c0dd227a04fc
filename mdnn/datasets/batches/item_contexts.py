"""Contexts of items with their targets, as each objective wants them."""

import numpy as np

from mdnn.datasets.batches.objectives import mask_tokens, masked_positions
from mdnn.datasets.items.augment import augment
from mdnn.tokens.features import ITEM, MODALITY, PLACES, WIDTH, modality
from mdnn.tokens.packing import aligned, pack_items

WORDS = 5
"""Random words that each context takes: where it begins, and what of it is blank."""

HIDDEN = 8
"""One in so many answers is asked for without its modality and places, where that is allowed."""

SPARE = 8
"""Blanks behind the longest answer, at most."""

_END = modality("end").index

# Units of items whose rows are kept, 32 bytes each; rows of further items are made each time.
_KEPT = 8_000_000


def positions_needed(counts, align):
    """Returns how many positions items and their `end` take.

    Args:
        counts: List of integers, units of each item, in their order.
        align: Integer; every item begins at a multiple of so many positions.
    """
    return sum(aligned(count, align) for count in counts[:-1]) + counts[-1] + 1


def _bits_of(varied, count):
    """Random words for each of `count` items, `None` for the last, the answer."""
    if varied is None:
        return [None] * count
    return [*varied[: count - 1], None]


class ItemContexts:
    """Lays drawn items into contexts, makes the blanks and the targets.

    The answer is the last item. A text's or a sound's length is not to be seen by how many
    positions are blank, so more blanks follow the one that its `end` takes: half the time as many
    as the longest item of the kind would fill, else a random number. Where an unmasked answer shows
    its `end`, nothing follows.

    Args:
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
        context: `mdnn.config.data_tables.Context`.
        cut: Boolean; whether what does not fit is left out.
        prompt_weight: Float, what a unit weighs that is not the answer's, in turn; with 0 it is no
            target.
        hide: Boolean; whether one in `HIDDEN` answers is asked for by blanks that name neither
            modality nor place, from its first position to the context's end.
        longest: Dictionary from kinds to units, the longest item of each kind.
        augment: `mdnn.config.data_tables.Augment`, how prompts are changed where `fill` is told to.
    """

    def __init__(
        self,
        tokenizer,
        context,
        cut=False,
        prompt_weight=1.0,
        hide=False,
        longest=None,
        augment=None,
    ):
        self.tokenizer = tokenizer
        self.positions, self.align = context.positions, context.pad_to_multiple_of
        self.padding = context.padding
        self.cut, self.hide = bool(cut), bool(hide)
        self.prompt_weight = float(prompt_weight)
        self.longest = dict(longest or {})
        self.augment = augment
        self._rows, self._left = {}, _KEPT

    def rows(self, item, bits=None):
        """Returns an item's token rows, made once and kept; with `bits`, those of a variation."""
        if bits is not None:
            other = augment(item, self.augment, bits, self.longest.get(item.kind))
            if other is not item:
                return self.tokenizer.tokens(other)
        rows = self._rows.get(item)
        if rows is None:
            rows = self.tokenizer.tokens(item)
            if len(rows) <= self._left:
                self._left -= len(rows)
                self._rows[item] = rows
        return rows

    def fill(self, drawn, objective, bits, keys=None, padding=None, varied=None):
        """Returns contexts, their targets and what each target weighs.

        Args:
            drawn: List of `n` lists of `mdnn.tokens.items.Item`; the last of each is the answer.
            objective: `"autoregressive"`, `"parallel"` or `"masked_diffusion"`.
            bits: uint64 `[n, WORDS]`, random bits.
            keys: uint64 `[n, positions]`, random bits; for `"masked_diffusion"` only.
            padding: `"none"` or `"random"`; `None` for the context's own.
            varied: uint64 `[n, items, DRAWS]`, random bits that prompts are varied by; `None`: they
                stay as they are.

        Returns:
            int32 `[n, positions, 8]` tokens, the same of targets (zeros where nothing is to be
            answered), float64 `[n, positions]` weights (any value where nothing is).

        Raises:
            MdnnError: If an item does not fit and may not be cut.
        """
        padded = (padding or self.padding) == "random"
        right = np.zeros((len(drawn), self.positions, WIDTH), dtype=np.int32)
        first, stop = [], []
        for number, items in enumerate(drawn):
            own = _bits_of(None if varied is None else varied[number], len(items))
            rows = [self.rows(item, bits_of) for item, bits_of in zip(items, own, strict=True)]
            offset = 0
            if padded:
                room = self.positions - positions_needed([len(own) for own in rows], self.align)
                offset = int(bits[number, 0]) % (max(0, room) // self.align + 1) * self.align
            names = [item.name for item in items]
            right[number], spans = pack_items(
                rows, self.positions, offset, self.align, self.cut, names
            )
            # the end belongs to the answer; it is left out only where there is no position for it
            first.append(spans[-1][0])
            stop.append(min(spans[-1][1] + 1, self.positions))
        targets = np.zeros_like(right)
        weights = np.ones(right.shape[:2])
        if objective == "autoregressive":
            targets[:, :-1] = right[:, 1:]
            prompt = np.arange(self.positions) + 1 < np.array(first)[:, None]
            weights[prompt] = self.prompt_weight
            if not self.prompt_weight:
                # Not answered at all, so that nothing is computed for it.
                targets[prompt] = 0
            return right, targets, weights
        blank, weight = masked_positions(objective, first, stop, self.positions, bits[:, 1], keys)
        asked, filler = self._ask(drawn, right, first, stop, blank, bits)
        tokens = np.where((blank | filler)[..., None], asked, right)
        targets[:, :-1] = right[:, 1:] * blank[:, 1:, None]
        return tokens, targets, weights * weight[:, None]

    def _ask(self, drawn, right, first, stop, blank, bits):
        """Returns the blank row of every position, and which positions behind the answer are
        blank."""
        kinds = np.array([modality(items[-1].kind).index for items in drawn])
        asked = mask_tokens(right, kinds[:, None])
        filler = np.zeros(blank.shape, dtype=bool)
        for number, items in enumerate(drawn):
            hidden = self.hide and int(bits[number, 4]) % HIDDEN == 0
            if hidden:
                asked[number, :, MODALITY + 1 :] = 0
            end = stop[number] - 1
            if right[number, end, MODALITY] != _END or not blank[number, end]:
                continue
            if hidden:
                filler[number, stop[number] :] = True
                continue
            more = self._more(items[-1].kind, end - first[number], stop[number], bits[number])
            behind = slice(end, end + 1 + more)
            filler[number, end + 1 : end + 1 + more] = True
            place = int(right[number, end - 1, PLACES.start]) + 1 if end > first[number] else 0
            asked[number, behind, PLACES.start] = place + np.arange(1 + more)
            asked[number, behind, ITEM] = len(items) - 1
        return asked, filler

    def _more(self, kind, count, stop, bits):
        """Returns how many blanks follow the one of the `end`."""
        if modality(kind).places > 1:
            return 0
        room = self.positions - stop
        missing = max(0, self.longest.get(kind, 0) - count)
        if bits[2] & np.uint64(1):
            return min(room, missing)
        return int(bits[3]) % (min(room, missing + SPARE) + 1)
