"""Chat templates: Jinja2 in a sandbox, with limits of work, memory and output."""

import contextvars
import functools
import json
import sys
import time

from mdnn.errors import MdnnError

MAX_SOURCE = 100_000
"""Largest number of characters of a template."""

MAX_OUTPUT = 10_000_000
"""Largest number of characters that a template may write."""

MAX_LINES = 2_000_000
"""Largest number of lines of a template that one rendering may execute, loops counted each time."""

MAX_REPEAT = 100_000
"""Largest length of a sequence or size of a number that a template may compute."""

_FILTERS = frozenset(
    (
        *("abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first"),
        *("float", "int", "items", "join", "last", "length", "list", "lower", "map", "max"),
        *("min", "reject", "rejectattr", "replace", "reverse", "round", "safe", "select"),
        *("selectattr", "sort", "string", "sum", "title", "tojson", "trim", "unique", "upper"),
    )
)
"""Filters that cannot make much of little."""


_WRITTEN = contextvars.ContextVar("written")
"""A list of one number: the characters that this rendering has written, into macros as well."""


class TemplateLimitError(Exception):
    """Raised when a template exceeds a limit."""


def _environment():
    try:
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise MdnnError("a chat template needs jinja2: pip install 'mdnn[chat]'") from None

    class LimitedEnvironment(ImmutableSandboxedEnvironment):
        """Refuses operations that make large values."""

        intercepted_binops = frozenset(("*", "**", "%", "+"))

        def call_binop(self, context, operator, left, right):
            numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
            if operator == "**" or (operator == "%" and not numbers):
                raise TemplateLimitError(f"the operator {operator} is not allowed")
            if operator == "*":
                sizes = [_size(left), _size(right)]
                if sizes[0] * sizes[1] > MAX_REPEAT:
                    raise TemplateLimitError(f"{sizes[0]} * {sizes[1]} is too large")
            if operator == "+" and _size(left) + _size(right) > MAX_OUTPUT:
                raise TemplateLimitError("a text or number is too large")
            return super().call_binop(context, operator, left, right)

        def call(self, context, function, *args, **kwargs):
            text = getattr(function, "__self__", None)
            if isinstance(text, str) and getattr(function, "__name__", "") == "replace":
                return _replace(text, *args, **kwargs)
            return super().call(context, function, *args, **kwargs)

        def is_safe_attribute(self, obj, attr, value):
            # Methods that format or pad make much of little.
            refused = isinstance(obj, str) and attr in (
                "center", "ljust", "rjust", "zfill", "format", "format_map", "expandtabs",
                "translate", "encode", "join",
            )  # fmt: skip
            return not refused and super().is_safe_attribute(obj, attr, value)

    environment = LimitedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
        finalize=_count_written,
    )
    environment.filters = {
        name: function for name, function in environment.filters.items() if name in _FILTERS
    }
    environment.filters |= {"tojson": _to_json, "replace": _replace, "join": _join}
    environment.globals = {
        "range": _short_range,
        "namespace": environment.globals["namespace"],
        "dict": dict,
        "raise_exception": _refuse,
        "strftime_now": time.strftime,
    }
    return environment


def _count_written(value):
    """Returns a value as it is written; counts its characters and refuses too long an output."""
    written = _WRITTEN.get(None)
    if written is not None:
        value = value if isinstance(value, str) else str(value)
        written[0] += len(value)
        if written[0] > MAX_OUTPUT:
            raise TemplateLimitError(f"its output exceeds {MAX_OUTPUT:,} characters")
    return value


def _replace(text, old, new, count=-1):
    text = str(text)
    times = text.count(old) if count is None or count < 0 else count
    if len(text) + times * len(new) > MAX_OUTPUT:
        raise TemplateLimitError("the result of replace is too long")
    return text.replace(old, new, -1 if count is None else count)


def _join(values, separator="", attribute=None):
    texts = [str(value if attribute is None else value[attribute]) for value in values]
    if sum(map(len, texts)) + len(texts) * len(separator) > MAX_OUTPUT:
        raise TemplateLimitError("the result of join is too long")
    return separator.join(texts)


def _without_concat(node):
    """Returns a template's syntax tree with `a ~ b` as `a|string + b|string`, which is limited."""
    from jinja2 import nodes

    for name in node.fields:
        value = getattr(node, name)
        if isinstance(value, list):
            value[:] = [_without_concat(v) if isinstance(v, nodes.Node) else v for v in value]
        elif isinstance(value, nodes.Node):
            setattr(node, name, _without_concat(value))
    if not isinstance(node, nodes.Concat):
        return node
    texts = [nodes.Filter(n, "string", [], [], None, None, lineno=n.lineno) for n in node.nodes]
    return functools.reduce(lambda a, b: nodes.Add(a, b, lineno=a.lineno), texts)


def _size(value):
    return abs(value) if isinstance(value, (int, float)) else len(value)


def _short_range(*limits):
    numbers = range(*limits)
    if len(numbers) > MAX_REPEAT:
        raise TemplateLimitError(f"range of {len(numbers)} numbers is too long")
    return numbers


def _to_json(value, indent=None, **_):
    return json.dumps(value, ensure_ascii=False, indent=min(int(indent), 8) if indent else None)


def _refuse(message):
    raise MdnnError(f"the chat template refuses these messages: {message}")


@functools.lru_cache(maxsize=16)
def compile_template(source):
    """Compiles a template once.

    Raises:
        MdnnError: it is too long, or no Jinja2; the package `jinja2` is missing.
    """
    if len(source) > MAX_SOURCE:
        raise MdnnError(
            f"chat.template: expected at most {MAX_SOURCE:,} characters, received {len(source):,}"
        )
    environment = _environment()
    from jinja2 import TemplateError

    try:
        return environment.from_string(_without_concat(environment.parse(source)))
    except TemplateError as error:
        where = f", line {error.lineno}" if getattr(error, "lineno", None) else ""
        raise MdnnError(f"chat.template: {error}{where}") from None
    except RecursionError:
        raise MdnnError("chat.template: it is nested too deeply") from None


def render(source, messages, tools=(), to_continue=True, bos="", eos=""):
    """Returns a conversation as a template writes it.

    The template sees `messages` (dicts as in OpenAI's API, arguments of calls as objects), `tools`
    (likewise, `None` without any), `add_generation_prompt`, `bos_token` and `eos_token`.

    Args:
        source: str, the template.
        messages: list of `mdnn.chat.messages.Message`.
        tools: list of `mdnn.chat.tool_specs.ToolSpec`.
        to_continue: bool, `add_generation_prompt`.
        bos, eos: str, `bos_token` and `eos_token`.

    Raises:
        MdnnError: it refuses the messages, fails, or exceeds a limit of work, memory or output.
    """
    template = compile_template(source)
    values = {
        "messages": [_as_table(message) for message in messages],
        "tools": [tool.as_json() for tool in tools] or None,
        "add_generation_prompt": to_continue,
        "bos_token": bos,
        "eos_token": eos,
    }
    pieces, size, lines = [], 0, 0

    def count(frame, event, _):
        nonlocal lines
        lines += event == "line"
        if lines > MAX_LINES:
            raise TemplateLimitError(f"it runs more than {MAX_LINES:,} lines")
        return count

    before, token = sys.gettrace(), _WRITTEN.set([0])
    try:
        # The trace is local to this thread. It counts lines of the template and of its calls.
        sys.settrace(count)
        for piece in template.generate(values):
            size += len(piece)
            if size > MAX_OUTPUT:
                raise TemplateLimitError(f"its output exceeds {MAX_OUTPUT:,} characters")
            pieces.append(piece)
    except MdnnError:
        raise
    # A template may raise any exception.
    except Exception as error:
        raise MdnnError(f"chat.template: {type(error).__name__}: {error}") from None
    finally:
        sys.settrace(before)
        _WRITTEN.reset(token)
    return "".join(pieces)


def _as_table(message):
    table = {"role": message.role, "content": message.content}
    if message.calls:
        table["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.calls
        ]
    if message.call_id:
        table["tool_call_id"] = message.call_id
    return table
