"""Generates items with item networks."""

import os

from mdnn.config.refeed_rules import stops_positions, trained_steps
from mdnn.errors import MdnnError
from mdnn.generation.item_generator import ItemGenerator
from mdnn.generation.options.option_checks import check_revise, check_seed
from mdnn.generation.options.option_words import PUZZLE_OPTIONS, TEXT_OPTIONS
from mdnn.generation.output_spec import parse_output
from mdnn.generation.text_decoding import check_text
from mdnn.tokens.items import as_item
from mdnn.tokens.modalities import kinds_of


def generate_items(run, prompt, options, stream=None):
    """Answers prompts with an item network; see `mdnn.generate`.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        prompt: list of items in order, each a str, an array, an `Item` or the path of a file; or a
            list of such lists.
        options: `GenerationOptions`.
        stream: function called with each item of the answer to a single prompt, or `None`.

    Returns:
        A str, uint8 or int16 array if `options.output` is one specification, a list of these if it
        is a list, and a list of `Item`s if it is `None`; for several prompts a list of such
        answers.

    Raises:
        MdnnError: a kind of item that the network does not have, or an item that does not fit the
            context.
    """
    options.refuse((*PUZZLE_OPTIONS, *TEXT_OPTIONS), "item")
    output = options.output
    decoding = options.decoding_of(run.config.train.objectives)
    check_revise(options, decoding, run.config.train.objectives)
    several = is_several(prompt)
    prompts = list(prompt) if several else [prompt]
    prompts = [_items(run, items) for items in prompts]
    negatives = [_items(run, items) for items in options.negative_prompts]
    if negatives and output is None:
        raise MdnnError("guidance_scale: expected output=, the kind of the answer, with it")
    seeds = _seeds(options.seed, len(prompts), several)
    specs = parse_output(output, run.config.tokens.modalities)
    settings = options.settings_for(trained_steps(run.config), stops_positions(run.config))
    on_item = None
    if stream is not None and not several:

        def on_item(_, item):
            stream(item if output is None else item.value)

    generator = ItemGenerator(run, decoding, settings, options.length, int(options.batch_size))
    answers = generator.generate(prompts, specs, seeds, on_item, negatives)
    if output is not None:
        answers = [[item.value for item in items] for items in answers]
    if isinstance(output, str):
        answers = [items[0] for items in answers]
    return answers if several else answers[0]


def is_several(prompt):
    """Returns whether an item prompt is a list of several prompts."""
    return (
        isinstance(prompt, (list, tuple))
        and len(prompt) > 0
        and all(isinstance(items, (list, tuple)) for items in prompt)
    )


def _items(run, prompt):
    """Returns the `Item`s of one prompt."""
    items = []
    for number, value in enumerate(prompt if isinstance(prompt, (list, tuple)) else [prompt]):
        if isinstance(value, os.PathLike):
            items.append(read_prompt_file(run, value))
            continue
        item = as_item(value, f"item {number + 1} of the prompt")
        if isinstance(item.value, str):
            check_text(item.value)
        items.append(item)
    return items


def read_prompt_file(run, path, convert=False):
    """Reads a file as an `Item` for the network of a run.

    Args:
        run: `mdnn.runs.run_folder.Run` of an item network.
        path: path of the file.
        convert: bool, whether to allow lossy conversions even if the run was trained without them
            (`data.convert`); see `mdnn.datasets.media.media_files.read_item`.
    """
    # Deferred import: most prompts contain no files.
    from mdnn.datasets.media.media_files import read_item

    config = run.config
    kinds = kinds_of(config.tokens.modalities)
    convert = convert or config.data.convert
    return read_item(path, run.item_tokenizer.rate, convert, config.data.encoding, kinds)


def _seeds(seed, count, several):
    if several and isinstance(seed, (list, tuple)):
        if len(seed) != count:
            raise MdnnError(f"seed: expected one for each of {count} prompts, received {len(seed)}")
        return [check_seed(one) for one in seed]
    return [check_seed(seed)] * count
