"""Conversations for benchmarks/assistant.py: service dialogues with calls, and arithmetic in words.

A file of service dialogues has one dialogue a line: `turns` with `speaker`, `text`, and where the
system called a service its `call` (`service`, `method`, `parameters`) and `results`.
"""

import collections
import json
import random

from assistant_templates import HELD_OUT, PERSONS, PLACES, THINGS, TRAINING

from mdnn.tools.calculator import Calculator, calculate, shown_number

ANSWERS = ("It is {x}.", "That makes {x}.", "{x}.")


def arithmetic(seed, count, held_out=False):
    """Returns conversations in which the calculator is called.

    Args:
        seed: int.
        count: int.
        held_out: bool, whether they come from the templates that are never trained on.

    Returns:
        List of dicts of `messages` and `tools`.
    """
    draw = random.Random(seed)
    templates = HELD_OUT if held_out else TRAINING
    tools = [Calculator().spec().as_json()]
    conversations = []
    for _ in range(count):
        question, expression = draw.choice(templates).split("|")
        numbers = {name: draw.randrange(2, 10 ** draw.randrange(1, 4) + 2) for name in "abc"}
        words = {"things": draw.choice(THINGS), "place": draw.choice(PLACES)}
        words["person"], words["other"] = draw.sample(PERSONS, 2)
        question = question.format(**numbers, **words)
        expression = expression.format(**numbers)
        result = shown_number(calculate(expression))
        answer = draw.choice(ANSWERS).format(x=result.partition(" (")[0])
        conversations.append(
            {
                "tools": tools,
                "messages": [
                    {"role": "user", "content": question[0].upper() + question[1:]},
                    _call("calculator", {"expression": expression}),
                    {"role": "tool", "content": result},
                    {"role": "assistant", "content": answer},
                ],
            }
        )
    return conversations


def _call(name, arguments):
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "tool_calls": [{"type": "function", "function": function}]}


def read_dialogues(path):
    """Returns the dialogues of a file, a list of dicts."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def schemas(dialogues):
    """Returns the tools of each service, made from the calls that are seen.

    A parameter is required if each call of its method has it; all values are texts.

    Args:
        dialogues: list of dicts.

    Returns:
        Dict from services to lists of tools as OpenAI's API has them.
    """
    seen = collections.defaultdict(list)
    for dialogue in dialogues:
        for turn in dialogue["turns"]:
            if call := turn.get("call"):
                seen[call["service"], call["method"]].append(call["parameters"])
    services = collections.defaultdict(list)
    for (service, method), calls in sorted(seen.items()):
        names = sorted({name for parameters in calls for name in parameters})
        required = [name for name in names if all(name in parameters for parameters in calls)]
        schema = {
            "type": "object",
            "properties": {name: {"type": "string"} for name in names},
            "required": required,
            "additionalProperties": False,
        }
        function = {"name": method, "parameters": schema}
        services[service].append({"type": "function", "function": function})
    return dict(services)


def conversations(dialogues, tools):
    """Returns dialogues as conversations; results are fed back as messages of the tool.

    Args:
        dialogues: list of dicts.
        tools: dict as returned by `schemas`; of methods of one name in several services the first
            counts.

    Returns:
        List of dicts of `messages` and `tools`.
    """
    result = []
    for dialogue in dialogues:
        own = {}
        for service in dialogue["services"]:
            for tool in tools.get(service, []):
                own.setdefault(tool["function"]["name"], tool)
        messages = []
        for turn in dialogue["turns"]:
            if turn["speaker"] == "user":
                messages.append({"role": "user", "content": turn["text"]})
                continue
            if call := turn.get("call"):
                # In the order of the schema, as a grammar writes them.
                arguments = dict(sorted(call["parameters"].items()))
                messages.append(_call(call["method"], arguments))
                first = (turn.get("results") or [{}])[0]
                messages.append({"role": "tool", "content": json.dumps(first, ensure_ascii=False)})
            messages.append({"role": "assistant", "content": turn["text"]})
        result.append({"messages": messages, "tools": list(own.values())})
    return result


def write(path, values):
    """Writes conversations as JSON lines."""
    with open(path, "w", encoding="utf-8") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
