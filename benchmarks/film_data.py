"""Films of bouncing digits: a pure function of the seed, and a folder of them as mdnn reads it."""

import json

import numpy as np
from digits_data import pictures, split

from mdnn.datasets.items.digits import WORDS
from mdnn.datasets.media.media_files import write_item
from mdnn.tokens import Item

FRAMES, SIDE, DIGIT = 8, 16, 8
ROOM = SIDE - DIGIT
SPEED = 2
"""Pixels per frame along an axis, at most."""
SEEN = 2
"""Frames that are shown; the others are to be written."""


def film(picture, seed, number):
    """Returns a film of a digit that bounces off the four sides.

    Args:
        picture: uint8 `[8, 8]`.
        seed, number: integers; the film is a function of them and the picture alone.

    Returns:
        uint8 `[8, 16, 16]`.
    """
    draw = np.random.default_rng([seed, number])
    start = draw.integers(0, ROOM + 1, 2)
    speed = np.zeros(2, int)
    while not speed.any():
        speed = draw.integers(-SPEED, SPEED + 1, 2)
    frames = np.zeros((FRAMES, SIDE, SIDE), np.uint8)
    for moment, frame in enumerate(frames):
        # Unfolded, the way is straight: there and back is twice the room.
        y, x = ROOM - np.abs(ROOM - (start + speed * moment) % (2 * ROOM))
        frame[y : y + DIGIT, x : x + DIGIT] = picture
    return frames


class Films:
    """Films to train on and films of other pictures to test on.

    Args:
        count: Integer, films to train on.
        tests: Integer, films to test on.
        seed: Integer.
    """

    def __init__(self, count=2000, tests=200, seed=0):
        self.pictures, self.picture_digits = pictures()
        test = split(len(self.pictures), seed)
        self.is_test = test
        self.train = self._films(np.flatnonzero(~test), count, seed)
        self.test = self._films(np.flatnonzero(test), tests, seed + 1)

    def _films(self, own, count, seed):
        """Returns films `[count, 8, 16, 16]` of pictures, one after another, and their digits."""
        chosen = own[np.arange(count) % len(own)]
        made = [film(self.pictures[n], seed, k) for k, n in enumerate(chosen)]
        return np.stack(made), self.picture_digits[chosen]

    def write(self, folder):
        """Writes animated PNGs and manifest.jsonl into a folder, and returns the folder.

        Each film has two lines: its word and the film in any order, and its first two frames with
        the six that follow.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for side, (films, digits) in (("train", self.train), ("validation", self.test)):
            for number, (frames, digit) in enumerate(zip(films, digits, strict=True)):
                names = []
                for part, own in (("", frames), ("-a", frames[:SEEN]), ("-b", frames[SEEN:])):
                    names.append(f"{side}-{number:05}{part}.png")
                    write_item(Item("grey_video", own), folder / names[-1])
                whole, seen, following = ({"video": name} for name in names)
                about = {"name": f"{side} {number} ({WORDS[digit]})", "split": side}
                word = {"text": WORDS[digit]}
                lines.append({**about, "items": [word, whole], "order": "any"})
                lines.append({**about, "items": [seen, following], "order": "given"})
        manifest = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "manifest.jsonl").write_text(manifest, encoding="utf-8")
        return folder


def digit_in(frame):
    """Returns the 8 x 8 part of a frame with the most ink, uint8 `[8, 8]`."""
    sums = np.lib.stride_tricks.sliding_window_view(frame.astype(int), (DIGIT, DIGIT))
    sums = sums.sum(axis=(2, 3))
    y, x = np.unravel_index(sums.argmax(), sums.shape)
    return frame[y : y + DIGIT, x : x + DIGIT]


def film_judge(films, digits):
    """Returns a function of frames `[n, 16, 16]` that says which digit a film shows.

    A support vector machine on the part with the most ink, trained on real frames; of the frames of
    a film the most frequent digit counts.
    """
    from judges import picture_judge

    judge = picture_judge(
        [digit_in(frame) for frames in films for frame in frames[::3]],
        np.repeat(digits, len(films[0][::3])),
    )

    def seen(frames):
        return int(np.bincount(judge([digit_in(frame) for frame in frames]), minlength=10).argmax())

    return seen
