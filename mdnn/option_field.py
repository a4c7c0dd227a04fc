"""A key of a config table: a dataclass field with its limits."""

import dataclasses


def option(default=dataclasses.MISSING, *, choices=None, least=None, most=None, factory=None):
    """Returns a dataclass field that `mdnn.config.schema.parse` checks.

    Args:
        default: value where the table lacks the key; without one the key is required.
        choices: tuple of the values that are allowed.
        least, most: numbers, the limits of the value.
        factory: function that makes the default, for tables.
    """
    metadata = {"choices": choices, "least": least, "most": most}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)
