"""What comes back: the words that say which item is wanted, of which size."""

import dataclasses
import math
import re

from mdnn.config.schema import nearest
from mdnn.errors import MdnnError
from mdnn.tokens.items import RANKS

KINDS = ("text", *RANKS)

# Sizes of an item, counted in units, by kind.
_SIZES = {
    "text": "CHARACTERS",
    "audio": "SAMPLES",
    "image": "HEIGHTxWIDTH",
    "grey": "HEIGHTxWIDTH",
    "video": "FRAMESxHEIGHTxWIDTH",
    "grey_video": "FRAMESxHEIGHTxWIDTH",
}

LARGEST = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class OutputSpec:
    """One item that is asked for.

    Args:
        kind: `"text"`, `"image"`, `"grey"`, `"video"`, `"grey_video"` or `"audio"`.
        shape: its sizes in units: `(h, w)`, `(n, h, w)`, `(samples,)` or `(characters,)`; `None`
            where they are not said.
    """

    kind: str
    shape: tuple[int, ...] | None = None

    @property
    def flat(self):
        """Whether its length may be left to the network: a text or a sound."""
        return self.kind in ("text", "audio")

    @property
    def units(self):
        """How many units it has, where its shape is known."""
        return math.prod(self.shape)


def parse_output_spec(word, modalities):
    """The `OutputSpec` of a word such as `"text"`, `"grey 8x8"`, `"audio 800"`, `"video 4x8x8"`.

    Args:
        word: str.
        modalities: the network's, names.

    Raises:
        MdnnError: no such kind, sizes that are not its own, a kind that the network has not.
    """
    if not isinstance(word, str) or not word.split():
        raise MdnnError(f'output: expected a word such as "text" or "grey 8x8", received {word!r}')
    kind, *sizes = word.split()
    if kind not in KINDS:
        raise MdnnError(
            f"output: unknown {kind!r}{nearest(kind, KINDS)}; known: {', '.join(KINDS)}"
        )
    check_kind(kind, modalities, f"output: {word!r}")
    if not sizes:
        return OutputSpec(kind)
    expected = _SIZES[kind]
    pattern = "x".join([r"([0-9]{1,10})"] * (expected.count("x") + 1))
    match = re.fullmatch(pattern, sizes[0]) if len(sizes) == 1 else None
    shape = tuple(map(int, match.groups())) if match else ()
    if not shape or min(shape) < 1 or math.prod(shape) > LARGEST:
        raise MdnnError(f"output: expected '{kind} {expected}', received {word!r}")
    return OutputSpec(kind, shape)


def check_kind(kind, modalities, what):
    """Refuses a kind of item whose units the network has not."""
    if kind not in modalities:
        known = [name for name in modalities if name in KINDS]
        raise MdnnError(f"{what}: this network knows {', '.join(known)}, not {kind}")
