"""What a config of puzzles needs, and what no other one may have."""

from mdnn.config.fixed_keys import NOT_OF_PUZZLES, OF_PUZZLES, check_fixed
from mdnn.config.schema import nearest
from mdnn.errors import MdnnError
from mdnn.tokens.symbols import KNOWN, puzzle_source


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
    check_fixed(config, NOT_OF_PUZZLES, " of a puzzle")
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
    if name is not None and context.positions != name.positions:
        raise MdnnError(
            f"context.grid: expected the {name.positions} positions of a {name}, as "
            f"{list(name.shape)}, "
            f"received {list(context.grid)}"
        )
    tokens = config.tokens
    if tokens.candidates and name is not None and name.kind == "sudoku":
        if tokens.candidates != name.sizes[0]:
            raise MdnnError(
                f"tokens.candidates: expected the {name.sizes[0]} digits of a {name}, received "
                f"{tokens.candidates}"
            )
    elif tokens.candidates and name is not None:
        raise MdnnError(f"tokens.candidates: a key of sudokus, received data.source = {source!r}")
    # Of a file of unknown sudokus no side is longer than all positions.
    longest = context.positions if name is None else max(name.shape)
    if tokens.coordinates and tokens.base**tokens.digits < longest:
        raise MdnnError(
            f"tokens.digits: {tokens.digits} digits of base {tokens.base} tell "
            f"{tokens.base**tokens.digits} places apart, expected at least {longest}, the "
            "positions of "
            "a side"
        )


def check_no_puzzle(config):
    """Refuses keys of puzzles in another layout.

    Raises:
        MdnnError: the first such key.
    """
    check_fixed(config, OF_PUZZLES, why="; it belongs to context.layout = 'puzzle'")
    if config.refeed.initial_state == "random":
        raise MdnnError(
            "refeed.initial_state: expected 'zeros' or 'learned', received 'random'; it belongs to "
            "context.layout = 'puzzle'"
        )
    if "symbol" in config.tokens.modalities:
        raise MdnnError("tokens.modalities: 'symbol' belongs to context.layout = 'puzzle'")
    if puzzle_source(config.data.source)[0] is not None:
        raise MdnnError(
            f"data.source: {config.data.source!r} is a source of puzzles; take context.layout = "
            "'puzzle'"
        )
