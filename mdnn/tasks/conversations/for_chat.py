"""Turns runs of texts into runs of conversations: imported networks with a chat template."""

import dataclasses
import tomllib

from mdnn.chat.format_files import chat_format_of, is_for_chat
from mdnn.errors import MdnnError
from mdnn.identity.identity_file import FINGERPRINT


def for_chat(run):
    """Returns a run of the same network whose task is conversations.

    Args:
        run: `mdnn.runs.run_folder.Run` of a network of texts whose tokenizer has a chat template,
            or of conversations, which is returned unchanged.

    Returns:
        `mdnn.runs.run_folder.Run` with `context.layout = "chat"`; its weights are not read again.

    Raises:
        MdnnError: the run has no chat template, or is trained in a way that conversations are not.

    Example:

    >>> run = for_chat(open_run("runs/smollm2"))
    >>> mdnn.evaluate(run, read_conversations("talk.jsonl"))["loss"]
    """
    config = run.config
    if config.context.layout == "chat":
        return run
    if not is_for_chat(run):
        raise MdnnError(
            "chat: expected a network of conversations, or one of mdnn import whose tokenizer has "
            "a chat template; this one continues texts"
        )
    table = tomllib.loads(config.to_toml())
    table["context"]["layout"] = "chat"
    table["chat"] = dataclasses.asdict(chat_format_of(run))
    table["data"].pop("mix", None)
    other = run.with_config(config.remade(table))
    # The same network has the same identities.
    if FINGERPRINT in run.cache:
        other.cache[FINGERPRINT] = run.cache[FINGERPRINT]
    return other
