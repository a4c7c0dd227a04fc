"""Digits as words, pictures and sounds: a folder with a manifest, as mdnn reads it."""

import json

import numpy as np
from judges import trimmed

from mdnn import MdnnError
from mdnn.datasets.items.digits import WORDS, grey_levels
from mdnn.datasets.media.media_files import resample, write_item
from mdnn.tokens import Item

# Samples per second that sounds are laid into contexts with, and the longest that is kept. Below
# 1 kHz a judge still tells 95 % of the words (97 % at 4000 samples a second), at half the
# positions.
RATE, SECONDS = 2000, 0.56
# The loudest sample of a recording: recordings are as loud as each other.
PEAK = 30_000
TEST = 0.2
# How many lines of the manifest each direction has: hearing and speaking are the hardest to learn.
LINES = {
    ("text", "audio"): 4,
    ("image", "audio"): 3,
    ("audio", "text"): 4,
    ("audio", "image"): 2,
    ("text", "image"): 2,
    ("image", "text"): 2,
}


def recordings(path=None):
    """Spoken digits.

    Args:
        path: an .npz file of `audio` (all samples end to end, int16, 8 kHz), `length`, `digit`
            and `speaker`; `None` for TFDS `spoken_digit`, whose recordings are the same.

    Returns:
        List of int16 arrays, int array of digits, array of speakers' names.
    """
    if path is not None:
        with np.load(path, allow_pickle=False) as data:
            audio, length = data["audio"], data["length"]
            stop = np.cumsum(length)
            sounds = [audio[b - n : b] for b, n in zip(stop, length, strict=True)]
            return sounds, data["digit"].astype(int), data["speaker"]
    from mdnn.datasets.tfds.tfds_sets import examples, open_set

    found = [example for part in open_set("spoken_digit").values() for example in examples(part)]
    sounds = [np.asarray(example["audio"]).astype("int16") for example in found]
    names = [bytes(example["audio/filename"]).decode() for example in found]
    digits = np.array([int(example["label"]) for example in found])
    return sounds, digits, np.array([name.split("_")[1] for name in names])


def prepared(samples, rate=RATE, seconds=SECONDS):
    """A recording as networks and judges see it: trimmed, as loud as the others, at `rate`."""
    samples = samples.astype("float64") - samples.mean()
    samples = trimmed(samples)
    samples = np.round(samples * (PEAK / np.abs(samples).max())).astype("int16")
    return resample(samples, 8000, rate)[: round(seconds * rate)]


def pictures():
    """Scikit-learn's pictures of digits: uint8 `[1797, 8, 8]`, and their digits."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return grey_levels(data.images), data.target


def split(count, seed, share=TEST):
    """Boolean `[count]`: which are for testing, the same ones each time."""
    return np.random.default_rng(seed).random(count) < share


class Digits:
    """All items with their split, and the folder that is written of them.

    Args:
        sounds: what `recordings` returns, or `None` for words and pictures alone.
        seed: of the split.
        speaker: name of a speaker whose recordings all test, and no other's; `None` to split
            every speaker's at random.
    """

    def __init__(self, sounds=None, seed=0, speaker=None):
        self.pictures, self.picture_digits = pictures()
        self.picture_test = split(len(self.pictures), seed)
        self.sounds, self.sound_digits, self.sound_test = [], np.zeros(0, int), np.zeros(0, bool)
        self.speaker = speaker
        if sounds is None:
            return
        self.sounds = [prepared(samples) for samples in sounds[0]]
        self.sound_digits = sounds[1]
        if speaker is None:
            self.sound_test = split(len(self.sounds), seed + 1)
        elif speaker in sounds[2]:
            self.sound_test = sounds[2] == speaker
        else:
            known = ", ".join(sorted(set(sounds[2])))
            raise MdnnError(f"no recordings of a speaker {speaker!r}; there are {known}")

    def write(self, folder, kinds=("text", "image", "audio")):
        """Writes PNG, WAV and manifest.jsonl of some kinds into a folder, and returns the folder.

        Each digit has a line of all kinds for validation, and for training lines of two kinds, as
        many of each direction as `LINES` says.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for digit, word in enumerate(WORDS):
            parts = {"train": [], "validation": []}
            files = [("image", "png", self.pictures, self.picture_digits, self.picture_test)]
            if self.sounds:
                files.append(("audio", "wav", self.sounds, self.sound_digits, self.sound_test))
            for kind, suffix, values, digits, test in files:
                if kind not in kinds:
                    continue
                for side, own in (("train", ~test), ("validation", test)):
                    names = []
                    for number in np.flatnonzero(own & (digits == digit)):
                        name = f"{word}-{number:04}.{suffix}"
                        item = (
                            Item("grey", values[number])
                            if kind == "image"
                            else Item("audio", values[number], RATE)
                        )
                        write_item(item, folder / name)
                        names.append(name)
                    if names:
                        parts[side].append({kind: names})
            text = [{"text": word}] if "text" in kinds else []
            validation = {"name": word, "items": [*text, *parts["validation"]]}
            lines.append({**validation, "split": "validation"})
            own = {key: values for part in [*text, *parts["train"]] for key, values in part.items()}
            for pair, count in LINES.items():
                if not set(pair) <= set(own):
                    continue
                items = [{key: own[key]} for key in pair]
                about = {"name": f"{word}, {' to '.join(pair)}", "order": "given"}
                lines += [{**about, "items": items, "split": "train"}] * count
        manifest = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "manifest.jsonl").write_text(manifest, encoding="utf-8")
        return folder
