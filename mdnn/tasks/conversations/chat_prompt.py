"""Prompts for networks that were trained on conversations: their own chat template."""

from mdnn.chat.messages import parse_messages
from mdnn.chat.template import render
from mdnn.errors import MdnnError
from mdnn.runs.run_folder import open_run


def chat_prompt(run, messages):
    """Returns the prompt after which a network writes the next answer of a conversation.

    The template is that of the run's tokenizer, as Hugging Face and GGUF files have it. It is
    untrusted: Jinja's sandbox runs it, with limits (`mdnn.chat.template.render`).

    Args:
        run: a run folder, an opened run or a network, of subwords.
        messages: a question, str; or a list of dicts of `role` (`"system"`, `"user"` or
            `"assistant"`) and `content`.

    Returns:
        str: the prompt for `mdnn.generate`.

    Raises:
        MdnnError: the run has no chat template, it fails, or `jinja2` is not installed.

    Example:

    >>> mdnn.generate(run, chat_prompt(run, "What is the capital of France?"), temperature=0)
    'The capital of France is Paris.'
    """
    tokenizer = open_run(run).tokenizer
    if not tokenizer.chat_template:
        raise MdnnError(
            "this network has no chat template, it continues texts: expected a run of "
            "mdnn import whose tokenizer has one"
        )
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return render(
        tokenizer.chat_template,
        parse_messages(messages),
        bos=tokenizer.bos_token or "",
        eos=tokenizer.eos_token or "",
    )
