"""Registers tasks under the names used in `context.layout`."""

import importlib
import re

from mdnn.config.load import Config
from mdnn.config.task_rules import register_rules, rules_of
from mdnn.config.task_tables import with_tables
from mdnn.errors import MdnnError

TASKS = {
    "stream": "mdnn.tasks.text_task:TextTask",
    "chat": "mdnn.tasks.conversations.chat_task:ChatTask",
    "items": "mdnn.tasks.item_task:ItemTask",
    "puzzle": "mdnn.tasks.puzzle_task:PuzzleTask",
    "recall": "mdnn.tasks.recall.recall_task:RecallTask",
}
"""Dict from the names of tasks, values of `context.layout`, to their classes, or to
`"module:class"`, which is imported at the first use."""


def register_task(name, task):
    """Registers a task, so that a config can name it as `context.layout`.

    An installed package can register a task without an explicit import: give it an entry point in
    the group `mdnn.tasks` with the task's name, in a module that calls this function.

    Args:
        name: str of lower-case letters, digits and `_`, starting with a letter.
        task: a subclass of `mdnn.tasks.base.Task`.

    Raises:
        MdnnError: an invalid name, the name of another task, or a config table that is not a frozen
            dataclass (`TaskRules.tables`).

    Example:

    >>> register_task("copy", CopyTask)
    >>> mdnn.train("copy.toml", "runs/copy")  # with context.layout = "copy"
    """
    if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]{0,63}", name):
        raise MdnnError(f"task: expected a name of lower-case letters, received {name!r}")
    if TASKS.get(name, task) is not task:
        raise MdnnError(f"a task {name!r} is already registered")
    with_tables(Config, task.rules.tables)
    register_rules(name, task.rules)
    TASKS[name] = task


def task_class(config):
    """Returns the class of a config's task.

    Raises:
        MdnnError: no task is registered under `context.layout`.
    """
    rules_of(config)  # imports an installed package that offers the task
    task = TASKS[config.context.layout]
    if isinstance(task, str):
        module, name = task.split(":")
        task = getattr(importlib.import_module(module), name)
    return task


def task_for(config, words=None):
    """Creates the task of a config.

    Args:
        config: `mdnn.Config`.
        words: word table of a trained network, a sequence of str; `None`: built from the data if
            the config uses words.

    Returns:
        A `mdnn.tasks.base.Task`.
    """
    return task_class(config)(config, words)
