"""Keys that say nothing in a layout, and the values that they have to keep there."""

import operator

from mdnn.errors import MdnnError

OF_ITEMS = (
    ("data.order", "given"),
    ("data.cut", False),
    ("data.vary.speed", 0.0),
    ("data.vary.volume", 0.0),
    ("data.vary.noise", 0.0),
    ("data.vary.shift", 0),
    ("tokens.answer_places", False),
    ("context.align", 1),
)

NOT_OF_STREAMS = (*OF_ITEMS, ("loss.prompt", 1.0))

NOT_OF_PUZZLES = (
    *OF_ITEMS,
    ("context.padding", "none"),
    ("tokens.table", "bytes"),
    ("tokens.heads", "bytes"),
    ("tokens.words", 0),
    ("tokens.items", False),
    ("train.objectives.turn", 0.0),
    ("train.objectives.unmask", 0.0),
)

OF_PUZZLES = (
    ("data.givens", ()),
    ("data.loops", 0.0),
    ("data.cases", 1000),
    ("tokens.fields", 0),
    ("refeed.inner", 0),
    ("refeed.what", "state"),
    ("refeed.damping", 0.0),
    ("refeed.noise", 0.0),
    ("refeed.rule", "fixed"),
    ("refeed.segments", 1),
)


def check_kept(config, keys, where="", why=""):
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
