"""Config rules of tasks (`context.layout`) and their registry.

The rules import neither TensorFlow nor the tasks themselves (`mdnn.tasks`), so that a config is
checked before slow imports.
"""

import dataclasses
import functools
import importlib.metadata
import operator
from collections.abc import Callable

from mdnn.errors import MdnnError, did_you_mean
from mdnn.tokens.modalities import item_modalities

ENTRY_POINTS = "mdnn.tasks"
"""Entry point group of tasks in installed packages: the name of the task, and a module that calls
`mdnn.tasks.register_task` when imported."""

TASK_KEYS = (
    "data.mix",
    "data.memory_map",
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
    "data.givens",
    "data.loops",
    "data.validation_size",
    "tokens.table",
    "tokens.heads",
    "tokens.words",
    "tokens.subwords",
    "tokens.subword_kind",
    "tokens.subword_dropout",
    "tokens.tied",
    "tokens.items",
    "tokens.answer_coordinates",
    "tokens.candidates",
    "context.padding",
    "context.pad_to_multiple_of",
    "context.slots",
    "loss.prompt",
    "refeed.step_schedule",
    "refeed.supervision_steps",
)
"""Config keys that only some tasks use. In other tasks they must keep their defaults."""


@dataclasses.dataclass(frozen=True)
class TaskRules:
    """The config rules of a task, and its vocabulary.

    Args:
        modalities: names of the modalities allowed in `tokens.modalities`; `None`: all that items
            are made of, registered ones among them.
        keys: the keys of `TASK_KEYS` that this task uses.
        modes: decoding modes that the task can train, keys of `train.objectives`.
        phrase: words after an expected value in an error, such as `"in a stream"`.
        check: function of a config that raises `MdnnError` for incompatible keys.
        is_source: function of `data.source` that returns whether the source belongs to this task;
            other tasks refuse such a source.
        has_end: bool, whether an `end` token follows the answer.
        has_mask: bool, whether masked positions hold the modality `blank` (the mask token) if a
            decoding mode with masks is trained; otherwise the task has its own empty symbol.
        always_recurrent: bool, whether the backbone is built for refeeding under every value
            of `refeed.steps`.
        tables: dict from names of config tables to frozen dataclasses, the keys that this task
            brings (see `mdnn.config.schema.option` for limits). A new name is a further table,
            `config.NAME`; the name of a table of every config, such as `data`, needs a subclass of
            its schema with further fields. Configs of other tasks refuse these keys.
        has_chunks: bool, whether a context is one text, which layers of kind "chunks" may cut.
        stops_examples: bool, whether `refeed.step_schedule` stops whole examples; otherwise each
            position of a context stops alone.

    Example:

    >>> @dataclasses.dataclass(frozen=True)
    ... class Mirror:
    ...     symbols: int = option(4, least=2, most=32)
    >>> TaskRules(modalities=("symbol",), tables={"mirror": Mirror})
    """

    modalities: tuple[str, ...] | None
    keys: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("autoregressive", "parallel", "masked_diffusion")
    phrase: str = ""
    check: Callable = lambda config: None
    is_source: Callable = lambda source: False
    has_end: bool = False
    has_mask: bool = True
    always_recurrent: bool = False
    stops_examples: bool = False
    has_chunks: bool = False
    tables: dict = dataclasses.field(default_factory=dict)

    @property
    def allowed(self):
        """Names of the modalities allowed in `tokens.modalities`, a tuple of strings."""
        return item_modalities() if self.modalities is None else self.modalities

    def __post_init__(self):
        if unknown := [key for key in self.keys if key not in TASK_KEYS]:
            raise MdnnError(
                f"TaskRules.keys: unknown key {unknown[0]!r}{did_you_mean(unknown[0], TASK_KEYS)}; "
                f"known: {', '.join(TASK_KEYS)}"
            )


RULES = {}
"""Dict from the names of tasks, values of `context.layout`, to their `TaskRules`."""


def register_rules(name, rules):
    """Registers the rules of a task under its name; called by `mdnn.tasks.register_task`.

    Raises:
        MdnnError: the name is registered with other rules.
    """
    if RULES.setdefault(name, rules) is not rules:
        raise MdnnError(f"a task {name!r} is already registered")


def rules_of(config):
    """Returns the `TaskRules` of a config's task.

    Raises:
        MdnnError: `context.layout` is not the name of a task.
    """
    name = config.context.layout
    rules = find_rules(name)
    if rules is None:
        raise MdnnError(
            f"context.layout: expected one of {', '.join(RULES)}; received {name!r}"
            f"{did_you_mean(name, RULES)}"
        )
    return rules


def find_rules(name):
    """Returns the `TaskRules` of a task by its name; `None` if there is no such task.

    Imports the installed package that offers the task, if one does.
    """
    if not isinstance(name, str):
        return None
    if name not in RULES:
        for entry in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
            entry.load()
    return RULES.get(name)


def check_task(config):
    """Refuses a config that its task does not allow.

    Args:
        config: `mdnn.Config`.

    Raises:
        MdnnError: names the first key that the task does not allow.
    """
    rules, source = rules_of(config), config.data.source
    _check_modalities(config, rules)
    _check_keys(config, rules)
    for name, other in RULES.items():
        if other is not rules and other.is_source(source) and not rules.is_source(source):
            raise MdnnError(
                f"data.source: {source!r} belongs to context.layout = {name!r}, received "
                f"{config.context.layout!r}"
            )
    rules.check(config)


def _check_modalities(config, rules):
    names = config.tokens.modalities
    if others := [name for name in names if name not in rules.allowed]:
        owners = _layouts(lambda other: others[0] in other.allowed)
        raise MdnnError(
            f"tokens.modalities: expected {', '.join(rules.allowed)} with context.layout = "
            f"{config.context.layout!r}, received {others[0]!r}, which belongs to "
            f"context.layout = {owners}"
        )


def _check_keys(config, rules):
    """Refuses keys that the task does not use, and modes that it cannot train."""
    for mode in ("autoregressive", "parallel", "masked_diffusion"):
        if mode not in rules.modes and (weight := getattr(config.train.objectives, mode)):
            raise MdnnError(
                f"train.objectives.{mode}: expected 0.0{_behind(rules)}, received {weight!r}"
            )
    for key in TASK_KEYS:
        if key in rules.keys:
            continue
        value, default = operator.attrgetter(key)(config), _default(type(config), key)
        if value != default:
            owners = _layouts(lambda other, key=key: key in other.keys)
            raise MdnnError(
                f"{key}: expected {default!r}{_behind(rules)}, received {value!r}; it belongs to "
                f"context.layout = {owners}"
            )


def _behind(rules):
    return f" {rules.phrase}" if rules.phrase else ""


def _layouts(predicate):
    """Returns the names of the tasks whose rules satisfy a predicate, for an error."""
    return " or ".join(repr(name) for name, rules in RULES.items() if predicate(rules))


@functools.cache
def _default(schema, key):
    """Returns the default of a dotted key of a config's dataclass."""
    return operator.attrgetter(key)(schema())
