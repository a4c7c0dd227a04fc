"""Answers of a network to a few prompts of items, as one picture."""

import numpy as np

from mdnn.datasets.items.example import load
from mdnn.datasets.random_bits import VALIDATION, raw_bits
from mdnn.tokens.items import Item

PROMPTS = 6


def sample_sheet(run, lines, modes, path, title="", prompts=PROMPTS):
    """Draws prompts, the network's answers in every mode that is trained, and the right ones.

    Args:
        run: `mdnn.runs.run_folder.Run` of a network of items.
        lines: list of `mdnn.datasets.items.item_splits.Example`; prompts are spread over them,
            always the same.
        modes: names of the decoding modes.
        path: the PNG to write.
        title: text above.
        prompts: how many.
    """
    # imported late: matplotlib is needed while training only
    from mdnn.tasks.contact_sheet import contact_sheet

    drawn = sample_draws(lines, prompts, run.config.seed, run.config.data.order)
    answers = {mode: sample_answers(run, drawn, mode) for mode in modes}
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

    wants = [wanted(items[-1]) for items in drawn]
    answers = [None] * len(drawn)
    for want in dict.fromkeys(wants):
        own = [number for number, other in enumerate(wants) if other == want]
        prompts = [drawn[number][:-1] for number in own]
        for number, answer in zip(
            own, generate(run, prompts, output=want, decoding=way), strict=True
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
