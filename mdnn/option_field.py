"""Dataclass fields of config tables, with limits on their values."""

import dataclasses


def option(default=dataclasses.MISSING, *, choices=None, least=None, most=None, factory=None):
    """Returns a dataclass field whose value `mdnn.config.schema.parse` checks.

    Args:
        default: default value; without default and `factory` the key is required.
        choices: tuple of the allowed values; `None` for no restriction.
        least, most: numbers, inclusive limits of the value; `None` for no limit.
        factory: function that returns the default, for tables.
    """
    metadata = {"choices": choices, "least": least, "most": most}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)
