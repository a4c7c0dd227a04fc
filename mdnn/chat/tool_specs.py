"""Describes the tools that a network may call: names, descriptions and parameters."""

import dataclasses
import json
import re

from mdnn.chat.messages import check_str
from mdnn.errors import MdnnError, shown

MAX_TOOLS = 128
"""Largest number of tools of a request, as in OpenAI's API."""


@dataclasses.dataclass(frozen=True)
class ToolSpec:
    """Name, description and parameters of a tool.

    Args:
        name: str, 1 to 64 letters, digits, `_` and `-`.
        description: str.
        parameters: dict, the JSON schema of an object.
    """

    name: str
    description: str = ""
    parameters: dict = dataclasses.field(default_factory=lambda: {"type": "object"})

    def signature(self):
        """Returns the tool in one line, such as `calculator(expression: string): exact`."""
        properties = self.parameters.get("properties", {})
        required = self.parameters.get("required", ())
        words = [
            f"{name}{'' if name in required else '?'}: {_type_words(schema)}"
            for name, schema in properties.items()
        ]
        about = f": {self.description}" if self.description else ""
        return f"{self.name}({', '.join(words)}){about}"

    def as_json(self):
        """Returns the tool as OpenAI's API writes it, a dict."""
        return {"type": "function", "function": dataclasses.asdict(self)}


def _type_words(schema):
    if not isinstance(schema, dict):
        return "any"
    if "enum" in schema:
        values = schema["enum"] if isinstance(schema["enum"], list) else [schema["enum"]]
        return "|".join(v if isinstance(v, str) else json.dumps(v) for v in values)
    kind = schema.get("type", "any")
    return "|".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def parse_tools(values, where="tools"):
    """Converts tools from JSON.

    Args:
        values: list of dicts as in OpenAI's API, `{"type": "function", "function": {...}}`.
        where: str, name of the list in errors.

    Returns:
        List of `ToolSpec`.

    Raises:
        MdnnError: not such tools, or two of one name.
    """
    if not isinstance(values, list) or len(values) > MAX_TOOLS:
        raise MdnnError(f"{where}: expected a list of at most {MAX_TOOLS} tools")
    specs = [_spec(value, f"{where}[{k}]") for k, value in enumerate(values)]
    names = [spec.name for spec in specs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise MdnnError(f"{where}: expected distinct names, received {twice[0]!r} twice")
    return specs


def _spec(value, where):
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict) or value.get("type") != "function":
        raise MdnnError(f"{where}: expected a tool of type 'function', received {shown(value)}")
    for key in function:
        if key not in ("name", "description", "parameters", "strict"):
            raise MdnnError(f"{where}.function.{key}: not supported")
    name = function.get("name")
    if not isinstance(name, str) or not re.fullmatch("[A-Za-z0-9_-]{1,64}", name):
        raise MdnnError(
            f"{where}.function.name: expected letters, digits, '_' and '-', received {shown(name)}"
        )
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    properties = parameters.get("properties", {}) if isinstance(parameters, dict) else None
    if not isinstance(properties, dict):
        raise MdnnError(
            f"{where}.function.parameters: expected the JSON schema of an object, received "
            f"{shown(parameters)}"
        )
    description = check_str(function.get("description") or "", f"{where}.function.description")
    return ToolSpec(name, description, parameters)
