"""The interface of a tool."""

import abc

from mdnn.chat.tool_specs import ToolSpec


class ToolError(Exception):
    """Raised when a call has no result; its message, one short line, is for the network."""


class LocalTool(abc.ABC):
    """A tool that runs in this process.

    Attributes:
        name, description: class attributes, str, its description for the network.
        parameters: class attribute, dict from names to JSON schemas.
        required: class attribute, names of parameters that a call must have.
        harmless: class attribute, bool, whether a call changes nothing and sends nothing.
        untrusted: class attribute, bool, whether results are other people's texts.
    """

    name, description = "", ""
    parameters, required = {}, ()
    harmless, untrusted = False, False

    def spec(self):
        """Returns the `mdnn.chat.tool_specs.ToolSpec` of the tool."""
        schema = {
            "type": "object",
            "properties": self.parameters,
            "required": list(self.required),
            "additionalProperties": False,
        }
        return ToolSpec(self.name, self.description, schema)

    @abc.abstractmethod
    def run(self, **arguments):
        """Runs a call.

        Args:
            **arguments: checked values of `parameters`.

        Returns:
            str, the result for the network.

        Raises:
            ToolError: there is no result.
        """

    def close(self):  # noqa: B027 (most tools hold nothing)
        """Releases the tool's resources."""
