"""Prompts for networks that were trained on conversations: their own chat template."""

from mdnn.errors import MdnnError

MAX_TEMPLATE = 100_000
"""Most characters of a chat template."""


def chat_prompt(run, messages):
    """Returns the prompt after which a network writes the next answer of a conversation.

    The template is that of the run's tokenizer, as Hugging Face and GGUF files have it. It is
    untrusted: Jinja's sandbox runs it.

    Args:
        run: `mdnn.runs.run_folder.Run` of a network of subwords.
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
    tokenizer = run.tokenizer
    if not tokenizer.chat_template:
        raise MdnnError(
            "--chat: this network has no chat template, it continues texts: expected a run of "
            "mdnn import whose tokenizer has one"
        )
    if len(tokenizer.chat_template) > MAX_TEMPLATE:
        raise MdnnError(f"chat template: expected at most {MAX_TEMPLATE:,} characters")
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    try:
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise MdnnError(
            "chat templates need the package jinja2: pip install 'mdnn[llama]'"
        ) from None

    def raise_exception(message):
        raise MdnnError(f"chat template: {message}")

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    try:
        return environment.from_string(tokenizer.chat_template).render(
            messages=messages,
            add_generation_prompt=True,
            bos_token=tokenizer.bos_token,
            eos_token=tokenizer.eos_token,
        )
    except MdnnError:
        raise
    # A template may fail in any way that Python knows.
    except Exception as error:
        raise MdnnError(f"chat template: {type(error).__name__}: {error}") from None
