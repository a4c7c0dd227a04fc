"""Parses output specifications such as `grey 8x8`."""

import dataclasses
import math
import re

from mdnn.errors import MdnnError, did_you_mean
from mdnn.generation.planning import MAX_INT32
from mdnn.tokens.items import accepted_kind, check_kind
from mdnn.tokens.modalities import item_kinds, kinds_of, modality


@dataclasses.dataclass(frozen=True)
class OutputSpec:
    """Specification of one item to generate.

    Args:
        kind: name of a kind of item, such as `"text"` or `"grey"` (`item_kinds()`).
        shape: sizes of the item in tokens: `(h, w)`, `(n, h, w)`, `(samples,)` or `(characters,)`;
            `None` if unspecified.
    """

    kind: str
    shape: tuple[int, ...] | None = None

    @property
    def flat(self):
        """bool, true for an item with one coordinate, whose length the network may choose."""
        return modality(self.kind).flat

    @property
    def num_tokens(self):
        """Number of tokens, int; requires a specified shape."""
        return math.prod(self.shape)


def parse_output_spec(text, modalities):
    """Parses a specification such as `"text"`, `"grey 8x8"`, `"audio 800"`, `"video 4x8x8"`.

    `"audio"` is also the sound of a network that has sounds as grids alone (`"spectrum"`).

    Args:
        text: str.
        modalities: names of the network's modalities.

    Returns:
        `OutputSpec`.

    Raises:
        MdnnError: an unknown kind, a kind that the network does not have, or an invalid size.
    """
    if not isinstance(text, str) or not text.split():
        raise MdnnError(f'output: expected a word such as "text" or "grey 8x8", received {text!r}')
    kind, *sizes = text.split()
    known = item_kinds()
    if kind not in known:
        raise MdnnError(
            f"output: unknown {kind!r}{did_you_mean(kind, known)}; known: {', '.join(known)}"
        )
    kinds = kinds_of(modalities)
    kind = accepted_kind(kind, kinds)
    check_kind(kind, kinds, f"output: {text!r}")
    if not sizes:
        return OutputSpec(kind)
    names = modality(kind).size_names
    expected, pattern = "x".join(names), "x".join([r"([0-9]{1,10})"] * len(names))
    match = re.fullmatch(pattern, sizes[0]) if len(sizes) == 1 else None
    shape = tuple(map(int, match.groups())) if match else ()
    if not shape or min(shape) < 1 or math.prod(shape) > MAX_INT32:
        raise MdnnError(f"output: expected '{kind} {expected}', received {text!r}")
    return OutputSpec(kind, shape)


def parse_output(output, modalities):
    """Parses the option `output`: one specification, or a list of them.

    Args:
        output: str, list of str, or `None`.
        modalities: see `parse_output_spec`.

    Returns:
        List of `OutputSpec`; `None` for `None`.
    """
    if output is None:
        return None
    specs = [output] if isinstance(output, str) else output
    if not isinstance(specs, (list, tuple)) or not specs:
        raise MdnnError(f"output: expected a word or a list of words, received {output!r}")
    return [parse_output_spec(spec, modalities) for spec in specs]
