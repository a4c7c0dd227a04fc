"""An imported network beside the narrow assistant: it gets the tools in its prompt, untrained."""

import dataclasses
import tomllib

TEMPLATE = """\
<|im_start|>system
{% if tools %}You are an assistant that calls functions. These are the functions:
{% for tool in tools %}{{ tool.function|tojson }}
{% endfor %}Call a function as soon as its required parameters are known: then answer only with \
the function's name and its arguments, for example
<tool_call>{"name": "FindSong", "arguments": {"artist": "Prince", "year": "1984"}}</tool_call>
{% else %}You are a helpful assistant.
{% endif %}<|im_end|>
{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}<tool_call>\
{{ {"name": call.function.name, "arguments": call.function.arguments}|tojson }}</tool_call>\
{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""ChatML, as SmolLM2 learned it, with the functions in the system message."""


def with_tools(path):
    """Returns an imported network of ChatML as a run of conversations with calls of tools.

    Args:
        path: a run folder that `mdnn import` made.
    """
    from mdnn.chat.chat_layout import ChatFormat
    from mdnn.runs.run_folder import open_run

    run = open_run(path)
    table = tomllib.loads(run.config.to_toml())
    table["context"]["layout"] = "chat"
    table["chat"] = dataclasses.asdict(
        ChatFormat(TEMPLATE, "<|im_end|>", "<tool_call>", "</tool_call>")
    )
    table["data"].pop("mix", None)
    return run.with_config(run.config.remade(table))
