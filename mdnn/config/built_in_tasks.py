"""The config rules of the built-in tasks: texts, conversations, items and puzzles."""

import dataclasses

from mdnn.chat.chat_layout import ChatFormat
from mdnn.config.task_rules import TaskRules, register_rules
from mdnn.errors import MdnnError, did_you_mean
from mdnn.option_field import option
from mdnn.tokens.modalities import kinds_of
from mdnn.tokens.symbols import KNOWN, puzzle_source


@dataclasses.dataclass(frozen=True)
class Chat:
    """How conversations are laid out as texts; see `mdnn.chat.chat_layout.ChatFormat`."""

    # A Jinja2 template; empty: the plain layout.
    template: str = ""
    # What ends the assistant's turn, and what stands before and after a call.
    end: str = ChatFormat.end
    call_start: str = ChatFormat.call_start
    call_end: str = ChatFormat.call_end
    # Weight in the training loss of the tokens from a turn's first call to its end; others have 1.
    call_weight: float = option(1.0, least=0.01, most=100.0)


def _check_chat(config):
    chat = config.chat
    ChatFormat(chat.template, chat.end, chat.call_start, chat.call_end)
    if not config.data.validation:
        raise MdnnError("data.validation: expected a share of conversations above 0, received 0.0")


_REFEED = (
    "refeed.step_schedule",
    "refeed.supervision_steps",
)


def _check_stream(config):
    if (shares := sum(mixed.share for mixed in config.data.mix)) >= 1:
        raise MdnnError(
            f"data.mix: expected shares that sum to less than 1, as data.source has the rest; "
            f"received {shares:g}"
        )
    if config.tokens.subword_dropout and not config.tokens.subwords:
        raise MdnnError(
            "tokens.subword_dropout: expected 0 without tokens.subwords, received "
            f"{config.tokens.subword_dropout:g}"
        )
    check_memory_map(config)
    if config.context.slots:
        _check_slots(config)


def _check_slots(config):
    """Refuses learned slots where a context has no room for them, or no start."""
    slots, grid = config.context.slots, config.context.grid
    # The next context starts with text, too (`mdnn.generation.windows.overlap_length`).
    row, rows = grid[-1], config.context.positions // grid[-1]
    room = max(1, row // 2) if rows == 1 else rows // 2 * row
    if slots >= room:
        raise MdnnError(
            f"context.slots: expected fewer than {room}, about half of the context's "
            f"{config.context.positions} positions, received {slots}"
        )
    if config.train.objectives.whole:
        raise MdnnError(
            "context.slots: expected a network that is trained to decode autoregressively alone, "
            "received parallel or masked_diffusion above 0"
        )
    if any(layer.kind in ("chunks", "ngrams") for layer in config.backbone.layer):
        raise MdnnError(
            "context.slots does not work with chunks or ngrams layers; set it to 0 or remove them"
        )
    for key, value, default in (
        ("context.padding", config.context.padding, "none"),
        ("tandem.members", config.tandem.members, 0),
    ):
        if value != default:
            raise MdnnError(
                f"{key}: expected its default, {default!r}, with context.slots = {slots}, received "
                f"{value!r}"
            )


def check_memory_map(config):
    """Refuses `data.memory_map` with options that need the whole text in memory.

    Raises:
        MdnnError: names the first such key.
    """
    if not config.data.memory_map:
        return
    for table, key in (("tokens", "words"), ("tokens", "subwords"), ("data", "mix")):
        value = getattr(getattr(config, table), key)
        if value:
            raise MdnnError(f"data.memory_map: expected no {table}.{key} with it, received both")


def _check_items(config):
    tokens, positions = config.tokens, config.context.positions
    kinds = kinds_of(tokens.modalities)
    if others := [kind for kind in config.data.augment.answers if kind not in kinds]:
        raise MdnnError(
            f"data.augment.answers: expected kinds of {', '.join(kinds)}, received {others[0]!r}"
        )
    if config.data.augment.mask and not config.train.objectives.autoregressive:
        raise MdnnError(
            "data.augment.mask: expected train.objectives.autoregressive above 0, received 0"
        )
    # Digits must encode every coordinate, and coordinates are below the number of positions.
    if (tokens.coordinates or tokens.answer_coordinates) and tokens.base**tokens.digits < positions:
        raise MdnnError(
            f"tokens.digits: {tokens.digits} digits of base {tokens.base} tell "
            f"{tokens.base**tokens.digits} coordinates apart, expected at least the context's "
            f"{positions} positions"
        )


def _check_puzzle(config):
    data, tokens, source = config.data, config.tokens, config.data.source
    name, path = puzzle_source(source)
    if name is None and path is None:
        raise MdnnError(
            f"data.source: expected a source of puzzles, {KNOWN} or FILE.csv, received {source!r}"
            f"{did_you_mean(source, KNOWN.split(', '))}"
        )
    if not data.validation:
        raise MdnnError("data.validation: expected a share of the puzzles above 0, received 0.0")
    for key, kind in (("givens", "sudoku"), ("loops", "maze")):
        if getattr(data, key) and (path is not None or name.kind != kind):
            raise MdnnError(f"data.{key}: only for a {kind} that is drawn, received {source!r}")
    if name is not None:
        _check_named_puzzle(config, name)
    # Without a known size, a side has at most as many cells as the context has positions.
    longest = config.context.positions if name is None else max(name.shape)
    if tokens.coordinates and tokens.base**tokens.digits < longest:
        raise MdnnError(
            f"tokens.digits: {tokens.digits} digits of base {tokens.base} tell "
            f"{tokens.base**tokens.digits} coordinates apart, expected at least {longest}, the "
            "positions of "
            "a side"
        )


def _check_named_puzzle(config, name):
    """Refuses a grid or a number of candidates that does not fit a puzzle of known size."""
    fields = config.tokens.candidates
    if config.context.positions != name.positions:
        raise MdnnError(
            f"context.grid: expected the {name.positions} positions of a {name}, as "
            f"{list(name.shape)}, "
            f"received {list(config.context.grid)}"
        )
    if fields and name.kind != "sudoku":
        raise MdnnError(
            f"tokens.candidates: only for sudokus, received data.source = {config.data.source!r}"
        )
    if fields and fields != name.sizes[0]:
        raise MdnnError(
            f"tokens.candidates: expected the {name.sizes[0]} digits of a {name}, received {fields}"
        )


def _is_puzzle(source):
    return puzzle_source(source)[0] is not None


_SHARED = (
    *_REFEED,
    "tokens.table",
    "tokens.heads",
    "tokens.words",
    "tokens.items",
    "context.padding",
)

TEXT_RULES = TaskRules(
    modalities=("text", "word", "subword"),
    keys=(
        *_SHARED,
        "data.mix",
        "data.memory_map",
        "tokens.subwords",
        "tokens.subword_kind",
        "tokens.subword_dropout",
        "tokens.tied",
        "context.slots",
    ),
    phrase="in a stream",
    check=_check_stream,
    has_chunks=True,
)
CHAT_RULES = TaskRules(
    modalities=("text", "word", "subword"),
    keys=(
        *_REFEED,
        "tokens.table",
        "tokens.heads",
        "tokens.words",
        "tokens.subwords",
        "tokens.subword_kind",
        "tokens.tied",
    ),
    modes=("autoregressive",),
    phrase="of conversations",
    check=_check_chat,
    has_mask=False,
    tables={"chat": Chat},
)
ITEM_RULES = TaskRules(
    modalities=None,
    keys=(
        *_SHARED,
        "data.order",
        "data.truncate",
        "data.convert",
        "data.augment.speed",
        "data.augment.volume",
        "data.augment.noise",
        "data.augment.offset",
        "data.augment.shift",
        "data.augment.answers",
        "data.augment.mask",
        "tokens.answer_coordinates",
        "context.pad_to_multiple_of",
        "loss.prompt",
    ),
    check=_check_items,
    has_end=True,
)
PUZZLE_RULES = TaskRules(
    modalities=("symbol",),
    keys=(
        "data.givens",
        "data.loops",
        "data.validation_size",
        "tokens.candidates",
        "loss.prompt",
        *_REFEED,
    ),
    modes=("parallel",),
    phrase="of a puzzle",
    check=_check_puzzle,
    is_source=_is_puzzle,
    has_mask=False,
    always_recurrent=True,
    stops_examples=True,
)

register_rules("stream", TEXT_RULES)
register_rules("chat", CHAT_RULES)
register_rules("items", ITEM_RULES)
register_rules("puzzle", PUZZLE_RULES)
