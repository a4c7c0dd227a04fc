"""Keys that say nothing in a layout, and the values that they have to keep there."""

import operator

from mdnn.errors import MdnnError

OF_ITEMS = (
    ("data.order", "given"),
    ("data.truncate", False),
    ("data.convert", False),
    ("data.augment.speed", 0.0),
    ("data.augment.volume", 0.0),
    ("data.augment.noise", 0.0),
    ("data.augment.shift", 0),
    ("tokens.answer_coordinates", False),
    ("context.pad_to_multiple_of", 1),
)

NOT_OF_STREAMS = (*OF_ITEMS, ("loss.prompt", 1.0))

NOT_OF_PUZZLES = (
    *OF_ITEMS,
    ("context.padding", "none"),
    ("tokens.table", "bytes"),
    ("tokens.heads", "bytes"),
    ("tokens.words", 0),
    ("tokens.items", False),
    ("train.objectives.autoregressive", 0.0),
    ("train.objectives.masked_diffusion", 0.0),
)

OF_PUZZLES = (
    ("data.givens", ()),
    ("data.loops", 0.0),
    ("data.validation_size", 1000),
    ("tokens.candidates", 0),
    ("refeed.inner_steps", 0),
    ("refeed.feedback", "state"),
    ("refeed.damping", 0.0),
    ("refeed.noise", 0.0),
    ("refeed.step_schedule", "fixed"),
    ("refeed.supervision_steps", 1),
)


def check_fixed(config, keys, where="", why=""):
    """Refuses another value of one of the keys.

    Args:
        config: `mdnn.Config`.
        keys: one of the tuples of this module.
        where: text behind the value that was expected.
        why: text at the message's end.

    Raises:
        MdnnError: the first such key.
    """
    for key, value in keys:
        if (found := operator.attrgetter(key)(config)) != value:
            raise MdnnError(f"{key}: expected {value!r}{where}, received {found!r}{why}")
