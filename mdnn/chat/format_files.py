"""Reads and writes the chat format of a run folder."""

import dataclasses
import json
from pathlib import Path

from mdnn.chat.chat_layout import ChatFormat
from mdnn.errors import MdnnError
from mdnn.files import read_small_text, write_text
from mdnn.strict_json import read_json

CHAT, TEMPLATE = "chat.json", "chat_template.jinja"
"""Files of a run folder: the marks of `ChatFormat`, and its template if it has one."""

MAX_BYTES = 1 << 20


def write_chat_format(path, chat_format):
    """Writes the chat format of a run folder.

    Args:
        path: the run folder.
        chat_format: `ChatFormat`.
    """
    marks = dataclasses.asdict(chat_format)
    template = marks.pop("template")
    if template:
        write_text(Path(path) / TEMPLATE, template)
    write_text(Path(path) / CHAT, json.dumps(marks) + "\n")


def read_chat_format(path):
    """Returns the `ChatFormat` of a run folder; the plain one if it has neither file.

    Args:
        path: the run folder; `None` for a network that exists only in memory.

    Raises:
        MdnnError: a file is damaged, or the template is not Jinja2.
    """
    if path is None:
        return ChatFormat()
    marks, template = Path(path) / CHAT, Path(path) / TEMPLATE
    values = read_json(marks, MAX_BYTES) if marks.is_file() else {}
    names = {field.name for field in dataclasses.fields(ChatFormat)} - {"template"}
    if not isinstance(values, dict) or not all(
        name in names and isinstance(value, str) for name, value in values.items()
    ):
        raise MdnnError(f"{marks}: expected an object of the texts {', '.join(sorted(names))}")
    if template.is_file():
        values["template"] = read_small_text(template, MAX_BYTES)
    return ChatFormat(**values)


def chat_format_of(run):
    """Returns the `ChatFormat` of a run: of its folder, config or tokenizer, else the plain one.

    Args:
        run: `mdnn.runs.run_folder.Run`.

    Raises:
        MdnnError: see `read_chat_format`.
    """
    chat = getattr(run.config, "chat", None)
    if has_files(run.path):
        return read_chat_format(run.path)
    if chat is not None:
        return ChatFormat(chat.template, chat.end, chat.call_start, chat.call_end)
    if template := run.tokenizer.chat_template:
        # Of an imported network: its tokenizer ends a turn with a token of its own, and calls are
        # written as most of these networks have learned it.
        end = run.tokenizer.eos_token or "<|im_end|>"
        return ChatFormat(template, end, "<tool_call>", "</tool_call>")
    return ChatFormat()


def is_for_chat(run):
    """Returns whether a run defines a format of conversations."""
    return (
        has_files(run.path)
        or hasattr(run.config, "chat")
        or bool(getattr(run.tokenizer, "chat_template", ""))
    )


def has_files(path):
    """Returns whether a run folder has a file of a chat format."""
    return path is not None and any((Path(path) / name).is_file() for name in (CHAT, TEMPLATE))
