"""Draws a network's answers to a few item prompts as one picture."""

from mdnn.datasets.items.example import load_item
from mdnn.datasets.random_bits import VALIDATION, raw_bits
from mdnn.tokens.items import Item
from mdnn.tokens.modalities import modality

PROMPTS = 6


def sample_sheet(run, lines, modes, path, title="", prompts=PROMPTS):
    """Draws prompts, the network's answers in each decoding mode, and the reference answers.

    Args:
        run: `mdnn.runs.run_folder.Run` of an item network.
        lines: list of `mdnn.datasets.items.item_splits.Example`; the prompts are evenly spaced over
            them and the same in each call.
        modes: names of the decoding modes.
        path: the PNG file to write.
        title: str, the title.
        prompts: int, number of prompts.
    """
    # Deferred import: Matplotlib is only needed during training.
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
    """Draws prompts with their reference answers from examples.

    With `order="pairs"` successive prompts use successive pairs of an example, so that all
    directions occur.

    Args:
        lines: list of `mdnn.datasets.items.item_splits.Example`.
        prompts: int, number of prompts.
        seed: int.
        order: str, `data.order` of the config.

    Returns:
        List of lists of `Item`, one per prompt; the last item of each is the reference answer.
    """
    drawn = []
    for number in range(prompts):
        line = lines[number * len(lines) // prompts % len(lines)]
        bits = raw_bits(seed, number, line.draws, VALIDATION)
        if line.order_of(order) == "pairs":
            parts = [line.parts[part] for part in line.pairs[number % len(line.pairs)]]
            drawn.append(
                [load_item(part[int(bits[k]) % len(part)]) for k, part in enumerate(parts)]
            )
        else:
            drawn.append(line.draw(bits, order)[0])
    return drawn


def sample_answers(run, drawn, mode):
    """Generates answers of the kinds and sizes of the reference answers.

    Args:
        run: `mdnn.runs.run_folder.Run` of an item network.
        drawn: list of lists of `Item`, as returned by `sample_draws`.
        mode: str, the decoding mode.

    Returns:
        List of `Item`, one per prompt; `None` for an empty answer.
    """
    # Deferred import: generation is only needed for samples.
    from mdnn import generate

    outputs = [output_like(items[-1], run.item_tokenizer) for items in drawn]
    answers = [None] * len(drawn)
    for output in dict.fromkeys(outputs):
        own = [number for number, other in enumerate(outputs) if other == output]
        prompts = [drawn[number][:-1] for number in own]
        for number, answer in zip(
            own, generate(run, prompts, output=output, decoding=mode), strict=True
        ):
            if len(answer):
                answers[number] = Item(
                    drawn[number][-1].kind, answer, rate=run.config.tokens.sample_rate
                )
    return answers


def output_like(item, tokenizer=None):
    """Returns the output specification of an item: its kind, and its size for pictures and videos.

    Args:
        item: `Item`.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`, for sounds as grids.

    Returns:
        str such as `"text"` or `"grey 8x8"`.
    """
    if modality(item.kind).flat:
        return item.kind
    shape = modality(item.kind).token_shape(item.value, tokenizer)
    return f"{item.kind} {'x'.join(map(str, shape))}"
