"""Pictures of digits with instructions: a folder with a manifest, as mdnn reads it.

A context is a picture, an instruction and the changed picture; others lead from a word, a picture
or a sound to another of them, as in `digits_data`. The folder is a pure function of the recordings
and the seed.
"""

import json

import numpy as np
from digits_data import RATE, Digits

from mdnn.datasets.items.digits import LEVELS, WORDS, grey_levels
from mdnn.datasets.media.media_files import item_bytes
from mdnn.tokens import Item

NEXT = "next"
"""The instruction whose answer is not a function of the pixels: a picture of the digit after it."""


def overprinted(levels):
    """Returns a picture printed once more a pixel to the right, as fonts without a bold cut are."""
    beside = np.zeros_like(levels)
    beside[:, 1:] = levels[:, :-1]
    return np.maximum(levels, beside)


RULES = {
    "mirror": lambda levels: levels[:, ::-1],
    "invert": lambda levels: LEVELS - levels,
    "turn": lambda levels: np.rot90(levels, -1),
    "bolder": overprinted,
}
"""Functions of levels `[8, 8]` from 0 to 16; "turn" is a quarter clockwise."""

INSTRUCTIONS = (*RULES, NEXT)
"""The written instructions. Recordings are of digits alone, so that a spoken one is a number, as in
a menu by telephone: one is the first of them, "mirror", and five the last, "next"."""

SPOKEN = {name: number for number, name in enumerate(INSTRUCTIONS, 1)}
"""The digit that is spoken for each instruction."""

# Lines of the manifest for each training item of a direction: an item of its first kind, or of its
# second kind where the first is a word.
DIRECTIONS = (
    ("image", "text"),
    ("text", "image"),
    ("audio", "text"),
    ("text", "audio"),
    ("audio", "image"),
    ("image", "audio"),
)


def changed(picture, instruction):
    """Returns the picture that an instruction makes of one, uint8 `[8, 8]`.

    Args:
        picture: uint8 `[8, 8]`, of the 17 values of `grey_levels`.
        instruction: a key of `RULES`.
    """
    levels = np.searchsorted(grey_levels(np.arange(LEVELS + 1)), picture)
    return grey_levels(RULES[instruction](levels))


class Instructions(Digits):
    """All items with their split (see `digits_data.Digits`), and the folder written of them.

    Args:
        sounds: what `digits_data.recordings` returns, or `None`: written instructions alone, words
            and pictures.
        seed: of the split and of what is drawn for a line.
    """

    def __init__(self, sounds=None, seed=0):
        super().__init__(sounds, seed)
        self.seed = seed

    def write(self, folder):
        """Writes PNG, WAV and manifest.jsonl into a folder, and returns the folder.

        Each training picture has a line with each instruction written and, with one of the
        training recordings, spoken. Each test picture validates one instruction in both forms.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(self.pictures):
            for name, value in self._pictures(picture).items():
                data, _ = item_bytes(Item("grey", value))
                (folder / _picture(number, name)).write_bytes(data)
        for number, sound in enumerate(self.sounds):
            data, _ = item_bytes(Item("audio", sound, RATE))
            (folder / _sound(number)).write_bytes(data)
        rng = np.random.default_rng([self.seed, 22])
        lines = [
            {"items": items, "order": "given", "split": side}
            for side in ("train", "validation")
            for items in [*self._instructions(side, rng), *self._directions(side, rng)]
        ]
        manifest = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "manifest.jsonl").write_text(manifest, encoding="utf-8")
        return folder

    def _pictures(self, picture):
        return {"": picture, **{name: changed(picture, name) for name in RULES}}

    def _of(self, side, kind):
        """Returns a function from a digit to the numbers of a side's pictures or sounds of it."""
        of_test = self.picture_test if kind == "image" else self.sound_test
        digits = self.picture_digits if kind == "image" else self.sound_digits
        own = of_test == (side == "validation")
        return lambda digit: np.flatnonzero(own & (digits == digit))

    def _instructions(self, side, rng):
        """Yields the items of lines with an instruction."""
        pictures, sounds = self._of(side, "image"), self._of(side, "audio")
        for number in np.flatnonzero(self.picture_test == (side == "validation")):
            some = INSTRUCTIONS
            if side == "validation":
                some = [INSTRUCTIONS[number % len(INSTRUCTIONS)]]
            for name in some:
                answer = _picture(number, name)
                if name == NEXT:
                    following = pictures((self.picture_digits[number] + 1) % 10)
                    answer = [_picture(n) for n in rng.permutation(following)[:4]]
                asked, answer = {"image": _picture(number)}, {"image": answer}
                yield [asked, {"text": name}, answer]
                if self.sounds:
                    spoken = _sound(rng.choice(sounds(SPOKEN[name])))
                    yield [asked, {"audio": spoken}, answer]

    def _directions(self, side, rng):
        """Yields the items of lines that lead from one kind to another."""
        of = {kind: self._of(side, kind) for kind in ("image", "audio")}
        names = {"image": _picture, "audio": _sound}
        count = 0
        for pair in DIRECTIONS:
            if "audio" in pair and not self.sounds:
                continue
            main = pair[0] if pair[0] != "text" else pair[1]
            for digit, word in enumerate(WORDS):
                for number in of[main](digit):
                    count += 1
                    if side == "validation" and count % 4:
                        continue
                    parts = {"text": word, main: names[main](number)}
                    for kind in set(pair) - set(parts):
                        parts[kind] = names[kind](rng.choice(of[kind](digit)))
                    yield [{kind: parts[kind]} for kind in pair]


def _picture(number, name=""):
    return f"{number:04}{'-' * bool(name)}{name}.png"


def _sound(number):
    return f"{number:04}.wav"
