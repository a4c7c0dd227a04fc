"""Answers of a network to a few prompts of items, as one picture."""

import numpy as np

from mdnn.datasets.items.example import load
from mdnn.datasets.random_bits import VALIDATION, raw_bits
from mdnn.tokens.items import Item
from mdnn.training.decoding_modes import decoding_mode_shares
from mdnn.training.plots import contact_sheet

PROMPTS = 6


def sample_sheet(run, lines, path, title="", prompts=PROMPTS):
    """Draws prompts, the network's answers in every way that is trained, and what is right.

    Args:
        run: `mdnn.runs.run_folder.Run` of a network of items.
        lines: list of `mdnn.datasets.items.item_splits.Example`; prompts are spread over them,
            always the same.
        path: the PNG to write.
        title: text above.
        prompts: how many.
    """
    drawn = sample_draws(lines, prompts, run.config.seed, run.config.data.order)
    answers = {way: sample_answers(run, drawn, way) for way in decoding_mode_shares(run.config)}
    longest = max(len(items) for items in drawn) - 1
    rows = []
    for number, items in enumerate(drawn):
        *prompt, right = items
        gap = [None] * (longest - len(prompt))
        rows.append([*gap, *prompt, *(own[number] for own in answers.values()), right])
    heads = [*["prompt"] * longest, *answers, "right"]
    contact_sheet(rows, heads, path, title)


def sample_draws(lines, prompts, seed, order):
    """Draws of items, one list for each prompt; the last item is the right answer.

    With `order="pairs"` the pairs of a line follow one another, so that every direction comes.
    """
    drawn = []
    for number in range(prompts):
        line = lines[number * len(lines) // prompts % len(lines)]
        bits = raw_bits(seed, number, line.draws, VALIDATION)
        if line.order_of(order) == "pairs":
            parts = [line.parts[part] for part in line.pairs[number % len(line.pairs)]]
            drawn.append([load(part[int(bits[k]) % len(part)]) for k, part in enumerate(parts)])
        else:
            drawn.append(line.draw(bits, order)[0])
    return drawn


def sample_answers(run, drawn, way):
    """A network's answers to draws, of the kind and size of the right ones: a list of `Item`s.

    `None` stands for an answer without a unit.
    """
    # imported late: writing compiles much
    from mdnn import generate

    outputs = [wanted(items[-1]) for items in drawn]
    answers = [None] * len(drawn)
    for output in dict.fromkeys(outputs):
        own = [number for number, other in enumerate(outputs) if other == output]
        prompts = [drawn[number][:-1] for number in own]
        for number, answer in zip(
            own, generate(run, prompts, output=output, decoding=way), strict=True
        ):
            if len(answer):
                answers[number] = Item(
                    drawn[number][-1].kind, answer, rate=run.config.tokens.sample_rate
                )
    return answers


def wanted(item):
    """The word that asks `generate` for an item like this: its kind, and a picture's size."""
    if item.kind in ("text", "audio"):
        return item.kind
    shape = np.shape(item.value)[: 3 if "video" in item.kind else 2]
    return f"{item.kind} {'x'.join(map(str, shape))}"
