"""What the benchmark of instructions asks, and which answers are right."""

import dataclasses
from typing import Any

import numpy as np
from instructions_data import INSTRUCTIONS, NEXT, SPOKEN, changed

from mdnn.datasets.items.digits import WORDS

FORMS = ("written", "spoken")
KINDS = ("word", "picture", "sound")
PAIRS = tuple((a, b) for a in KINDS for b in KINDS if a != b)
OUTPUTS = {"word": "text", "picture": "grey 8x8", "sound": "audio"}


@dataclasses.dataclass(frozen=True)
class Question:
    """Prompts of one kind, and what their answers should be.

    Attributes:
        name: string, the row of the table.
        prompts: list of lists of items.
        kind: `"word"`, `"picture"` or `"sound"`, the kind of the answers.
        exact: list of the right answers; `None` where any item of the right digit is one.
        digits: int array, the digits that a judge should read in the answers.
    """

    name: str
    prompts: list
    kind: str
    exact: Any
    digits: Any

    @property
    def output(self):
        """Returns the output spec, a string."""
        return OUTPUTS[self.kind]

    @property
    def sampled(self):
        """Returns whether there are many right answers, of which one is drawn."""
        return self.exact is None

    def figures(self, answers, judges):
        """Returns what share of the answers is right, and of exact pictures what share of pixels.

        Args:
            answers: list of strings or arrays, one per prompt.
            judges: dict from kinds to `judges.Judge`.
        """
        if self.exact is None:
            return {"right": float(np.mean(judges[self.kind](answers) == self.digits))}
        right = [np.array_equal(a, b) for a, b in zip(answers, self.exact, strict=True)]
        found = {"right": float(np.mean(right))}
        if self.kind == "picture":
            found["pixels"] = float(np.mean(np.stack(answers) == np.stack(self.exact)))
        return found


def instruction_questions(data, count):
    """Returns the questions with an instruction: each one written and, with sounds, spoken.

    Args:
        data: `instructions_data.Instructions`; test pictures and test recordings alone are asked.
        count: int, the largest number of pictures for each.
    """
    pictures, digits = _some(data.pictures, data.picture_digits, data.picture_test, count)
    found = []
    for form in FORMS[: 2 if data.sounds else 1]:
        for name in INSTRUCTIONS:
            words = [name] * len(pictures)
            if form == "spoken":
                own = np.flatnonzero(data.sound_test & (data.sound_digits == SPOKEN[name]))
                words = [data.sounds[own[n % len(own)]] for n in range(len(pictures))]
            prompts = [list(pair) for pair in zip(pictures, words, strict=True)]
            exact = None if name == NEXT else [changed(picture, name) for picture in pictures]
            found.append(Question(f"{name}, {form}", prompts, "picture", exact, (digits + 1) % 10))
    return found


def direction_questions(data, count, most_sounds):
    """Returns the questions from words, pictures and sounds to one another.

    Args:
        data, count: see `instruction_questions`.
        most_sounds: int, the largest number of sounds to be written for each.
    """
    found = []
    for prompt, answer in PAIRS:
        if "sound" in (prompt, answer) and not data.sounds:
            continue
        most = most_sounds if answer == "sound" else count
        if prompt == "word":
            digits = np.arange(most) % 10
            values = [WORDS[digit] for digit in digits]
        elif prompt == "picture":
            values, digits = _some(data.pictures, data.picture_digits, data.picture_test, most)
        else:
            values, digits = _some(data.sounds, data.sound_digits, data.sound_test, most)
        exact = [WORDS[digit] for digit in digits] if answer == "word" else None
        prompts = [[value] for value in values]
        found.append(Question(f"{prompt} to {answer}", prompts, answer, exact, digits))
    return found


def _some(values, digits, chosen, count):
    """Returns at most `count` of the chosen items, evenly spread, and their digits."""
    numbers = np.flatnonzero(chosen)
    numbers = numbers[np.linspace(0, len(numbers) - 1, min(count, len(numbers))).astype(int)]
    return [values[n] for n in numbers], np.asarray(digits)[numbers]
