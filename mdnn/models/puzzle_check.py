"""What a config of puzzles needs, and what no other one may have."""

import operator

from mdnn.errors import MdnnError
from mdnn.models.schema import nearest
from mdnn.tokens.puzzles import KNOWN, puzzle_source

# Keys that say nothing of a puzzle, with the value that they have to keep.
NOT_OF_PUZZLES = (
    ("data.order", "given"),
    ("data.cut", False),
    ("data.vary.speed", 0.0),
    ("data.vary.volume", 0.0),
    ("data.vary.noise", 0.0),
    ("data.vary.shift", 0),
    ("tokens.answer_places", False),
    ("context.align", 1),
    ("context.prompts", 1),
    ("context.padding", "none"),
    ("tokens.table", "bytes"),
    ("tokens.heads", "bytes"),
    ("tokens.words", 0),
    ("tokens.items", False),
    ("train.objectives.turn", 0.0),
    ("train.objectives.unmask", 0.0),
)

# Keys of puzzles, with the value that they have to keep elsewhere.
OF_PUZZLES = (
    ("data.givens", ()),
    ("data.loops", 0.0),
    ("data.cases", 1000),
    ("tokens.fields", 0),
)


def check_puzzle(config):
    """Checks what a layout of puzzles needs: the grid of its source, symbols, all at once.

    Raises:
        MdnnError: the first key that does not go with the others.
    """
    source, context = config.data.source, config.context
    if config.tokens.modalities != ("symbol",):
        raise MdnnError(
            "tokens.modalities: a puzzle is made of symbols, expected ['symbol'], received "
            f"{list(config.tokens.modalities)}"
        )
    for key, value in NOT_OF_PUZZLES:
        if (found := operator.attrgetter(key)(config)) != value:
            raise MdnnError(f"{key}: expected {value!r} of a puzzle, received {found!r}")
    name, path = puzzle_source(source)
    if name is None and path is None:
        raise MdnnError(
            f"data.source: expected a source of puzzles, {KNOWN} or FILE.csv, received {source!r}"
            f"{nearest(source, KNOWN.split(', '))}"
        )
    if not config.data.validation:
        raise MdnnError("data.validation: expected a share of the puzzles above 0, received 0.0")
    for key, kind in (("givens", "sudoku"), ("loops", "maze")):
        if getattr(config.data, key) and (path is not None or name.kind != kind):
            raise MdnnError(f"data.{key}: a key of a {kind} that is drawn, received {source!r}")
    if name is not None and context.slots != name.slots:
        raise MdnnError(
            f"context.grid: expected the {name.slots} slots of a {name}, as {list(name.shape)}, "
            f"received {list(context.grid)}"
        )
    tokens = config.tokens
    if tokens.fields and name is not None and name.kind == "sudoku":
        if tokens.fields != name.sizes[0]:
            raise MdnnError(
                f"tokens.fields: expected the {name.sizes[0]} digits of a {name}, received "
                f"{tokens.fields}"
            )
    elif tokens.fields and name is not None:
        raise MdnnError(f"tokens.fields: a key of sudokus, received data.source = {source!r}")
    # Of a file of unknown sudokus no side is longer than all slots.
    longest = context.slots if name is None else max(name.shape)
    if tokens.places and tokens.base**tokens.digits < longest:
        raise MdnnError(
            f"tokens.digits: {tokens.digits} digits of base {tokens.base} tell "
            f"{tokens.base**tokens.digits} places apart, expected at least {longest}, the slots of "
            "a side"
        )


def check_no_puzzle(config):
    """Refuses keys of puzzles in another layout.

    Raises:
        MdnnError: the first such key.
    """
    for key, value in OF_PUZZLES:
        if (found := operator.attrgetter(key)(config)) != value:
            raise MdnnError(
                f"{key}: expected {value!r}, received {found!r}; it belongs to context.layout = "
                "'puzzle'"
            )
    if "symbol" in config.tokens.modalities:
        raise MdnnError("tokens.modalities: 'symbol' belongs to context.layout = 'puzzle'")
    if puzzle_source(config.data.source)[0] is not None:
        raise MdnnError(
            f"data.source: {config.data.source!r} is a source of puzzles; take context.layout = "
            "'puzzle'"
        )
