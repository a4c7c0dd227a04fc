"""Extends the config schema by the keys that a registered task declares (`TaskRules.tables`)."""

import dataclasses
import functools

from mdnn.config.task_rules import RULES, find_rules
from mdnn.errors import MdnnError


def schema_for(schema, table):
    """Returns the schema of a config, with the tables of the task that `context.layout` names.

    Args:
        schema: `mdnn.Config`.
        table: nested dicts, as parsed from TOML; not checked yet.

    Returns:
        `schema`, or a subclass of it with the task's tables.
    """
    rules = find_rules(_layout(schema, table))
    return schema if rules is None else with_tables(schema, rules.tables)


def with_tables(schema, tables):
    """Returns a schema with further tables, or with subclasses of its tables in their place.

    Args:
        schema: a frozen dataclass.
        tables: dict from names of tables to their schemas, frozen dataclasses.

    Raises:
        MdnnError: a table is not a frozen dataclass, or has the name of one of `schema` without
            being a subclass of it.
    """
    known = {field.name: field for field in dataclasses.fields(schema)}
    for name, table in tables.items():
        if not dataclasses.is_dataclass(table) or not table.__dataclass_params__.frozen:
            raise MdnnError(f"TaskRules.tables: {name!r}: expected a frozen dataclass")
        if name in known and not issubclass(table, type(_default(known[name]))):
            raise MdnnError(
                f"TaskRules.tables: {name!r}: expected a subclass of "
                f"{type(_default(known[name])).__name__}, which has this name in every config"
            )
    return _with_tables(schema, tuple(tables.items())) if tables else schema


def _default(field):
    if field.default_factory is dataclasses.MISSING:
        return field.default
    return field.default_factory()


@functools.cache
def _with_tables(schema, tables):
    fields = [(name, table, dataclasses.field(default_factory=table)) for name, table in tables]
    return dataclasses.make_dataclass(schema.__name__, fields, bases=(schema,), frozen=True)


def refuse_other_tasks(schema, table):
    """Refuses keys that another task declares.

    Args:
        schema: the schema of this config, as returned by `schema_for`.
        table: nested dicts, as parsed from TOML.

    Raises:
        MdnnError: names the key and the task that it belongs to.
    """
    known = {field.name: field for field in dataclasses.fields(schema)}
    for layout, rules in RULES.items():
        for name, other in rules.tables.items():
            if name not in table:
                continue
            if name not in known:
                _refuse(name, layout, schema, table)
            same = {field.name for field in dataclasses.fields(_default(known[name]))}
            keys = table[name] if isinstance(table[name], dict) else ()
            further = [field.name for field in dataclasses.fields(other)]
            for key in keys:
                if key in further and key not in same:
                    _refuse(f"{name}.{key}", layout, schema, table)


def _refuse(key, layout, schema, table):
    raise MdnnError(
        f"{key}: it belongs to context.layout = {layout!r}, received {_layout(schema, table)!r}"
    )


def _layout(schema, table):
    """Returns the value of `context.layout` in a table that is not checked yet."""
    context = table.get("context", {}) if isinstance(table, dict) else {}
    default = schema().context.layout
    return context.get("layout", default) if isinstance(context, dict) else default
