"""A conversation with a network: messages, answers, and the calls of tools between them."""

import dataclasses
import json

from mdnn.chat.chat_layout import fit_for_answer
from mdnn.chat.format_files import chat_format_of
from mdnn.chat.messages import Message, check_str
from mdnn.config.refeed_rules import stops_positions, trained_steps
from mdnn.constraints.automaton import compile_expression
from mdnn.constraints.call_expressions import answer_expression
from mdnn.constraints.json_schemas import schema_expression
from mdnn.datasets.conversations.conversation_files import read_conversations
from mdnn.errors import MdnnError
from mdnn.files import write_text
from mdnn.generation.completions.completed_text import offsets_of
from mdnn.generation.completions.completion import CompletionRequest
from mdnn.generation.completions.text_completions import TextCompletions
from mdnn.generation.options import GenerationOptions
from mdnn.generation.options.option_words import GRAMMAR_OPTIONS, GUIDANCE_OPTIONS
from mdnn.runs.cached_runs import cached_run
from mdnn.tasks.registry import task_class

MAX_ROUNDS = 8
"""Largest number of answers with calls after one message of the user."""

MAX_ANSWER = 1000
"""Tokens of an answer, unless the options say a length."""

REFUSED = "The person refused this call."
"""The result of a call that is not approved."""


class ChatSession:
    """A conversation with a network.

    Args:
        run: a run folder, a `Run` or a network of texts, as for `mdnn.generate`.
        system: str, a system message; empty: none.
        toolbox: `mdnn.tools.toolbox.Toolbox` of the tools that may be called; `None`: none.
        approve: function of a `mdnn.chat.messages.ToolCall` that returns whether to run it.
            Without it only calls run that the toolbox allows beforehand.
        **options: `length` (tokens of an answer), `preset`, `temperature`, `top_k`, `top_p`,
            `steps`, `seed`, `presence_penalty`, `frequency_penalty` and `logit_bias` of
            `mdnn.generation.options.GenerationOptions`.

    Attributes:
        messages: list of `mdnn.chat.messages.Message`.
        dropped: int, messages that the context had no room for in the last answer.

    Raises:
        MdnnError: a network that writes no texts, or an invalid option.

    Example:

    >>> session = ChatSession("runs/mine", system="Be short.")
    >>> session.say("Hello").content
    """

    def __init__(self, run, system="", toolbox=None, approve=None, **options):
        self.run = cached_run(run)
        if not task_class(self.run.config).streams_text:
            raise MdnnError("chat: expected a network of texts or conversations")
        if not self.run.config.train.objectives.autoregressive:
            raise MdnnError("chat: this network was not trained for autoregressive decoding")
        self.format = chat_format_of(self.run)
        self.toolbox, self.approve = toolbox, approve
        self.completions, self.grammars = {}, {}
        self.options = GenerationOptions(**options)
        refused = ("output", "decoding", "revise", "num_starts", "adaptive", *GUIDANCE_OPTIONS)
        self.options.refuse((*refused, *GRAMMAR_OPTIONS, "logprobs", "engine"), "text")
        offsets_of(self.options, self.run.tokenizer)
        self.messages, self.dropped = [], 0
        self.set_system(system)

    @property
    def tools(self):
        """The tools described to the network, a list of `ToolSpec`."""
        return [] if self.toolbox is None else self.toolbox.specs()

    def change(self, **options):
        """Changes options of the following answers; see the constructor."""
        changed = dataclasses.replace(self.options, **options)
        # Refused before there is a message.
        offsets_of(changed, self.run.tokenizer)
        self.options = changed

    def set_system(self, text):
        """Sets the system message; an empty text removes it."""
        rest = [message for message in self.messages if message.role != "system"]
        self.messages = [Message("system", check_str(text, "system"))] * bool(text) + rest

    def clear(self):
        """Starts over; the system message stays."""
        self.messages = [message for message in self.messages if message.role == "system"]

    def undo(self):
        """Removes the last message of the user and all that follows it; returns its content.

        Returns:
            str, or `None` if there is none.
        """
        places = [k for k, message in enumerate(self.messages) if message.role == "user"]
        if not places:
            return None
        content = self.messages[places[-1]].content
        del self.messages[places[-1] :]
        return content

    def say(self, text, stream=None, on_call=None):
        """Adds a message of the user and returns the answer.

        Calls of tools in between run if they are approved; their results are added to `messages`.
        A `KeyboardInterrupt` ends the answer and keeps its beginning.

        Args:
            text: str.
            stream: function called with each piece of the answer's text, or `None`.
            on_call: function called with each `ToolCall` and its result, or `None`.

        Returns:
            The last `Message` of the assistant.

        Raises:
            MdnnError: an invalid text, or a chat template that refuses the messages.
        """
        self.messages.append(Message("user", check_str(text, "message")))
        if self.toolbox is not None:
            self.toolbox.begin_turn()
        return self.answer(stream, on_call)

    def again(self, stream=None, on_call=None):
        """Answers the last message of the user once more, with the next seed; see `say`."""
        text = self.undo()
        if text is None:
            raise MdnnError("there is no message to answer again")
        self.change(seed=self.options.seed + 1)
        return self.say(text, stream, on_call)

    def answer(self, stream=None, on_call=None):
        """Answers the messages as they are; see `say`."""
        for _ in range(MAX_ROUNDS):
            message, stopped = self._write(stream)
            self.messages.append(message)
            if stopped or not message.calls or self.toolbox is None:
                break
            for call in message.calls:
                result = self._result(call)
                self.messages.append(Message("tool", result, (), call.id))
                if on_call is not None:
                    on_call(call, result)
        return message

    def _result(self, call):
        """Runs a call if it may run; returns its result, a text for the network."""
        if not (self.toolbox.allows(call) or (self.approve is not None and self.approve(call))):
            return REFUSED
        return self.toolbox.run(call)

    def _write(self, stream):
        """Returns the assistant's next message, and whether it was interrupted."""
        completions = self._completions()
        grammar = self._grammar(completions)
        prompt, self.dropped = fit_for_answer(
            self.format, self.messages, self.tools, completions.positions, completions.count
        )
        pieces, interrupted = [], False
        try:
            for (piece,) in completions.complete([self._request(prompt, grammar)]):
                pieces.append(piece.text)
                if stream is not None and piece.text:
                    stream(piece.text)
        except KeyboardInterrupt:
            interrupted = True
        text = "".join(pieces)
        if not self.tools:
            return Message("assistant", text), interrupted
        return self.format.read_answer(text), interrupted

    def _grammar(self, completions):
        """Returns the grammar of well-formed calls; `None` without tools."""
        if not self.tools or not completions.grammars:
            return None
        if completions not in self.grammars:
            expression = answer_expression(map(_with_grammar, self.tools), self.format)
            self.grammars[completions] = completions.grammar(
                compile_expression(expression, "the tools")
            )
        return self.grammars[completions]

    def _request(self, prompt, grammar):
        settings = self._settings()
        length = self.options.length
        return CompletionRequest(
            prompt,
            MAX_ANSWER if length is None else length,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            seed=int(self.options.seed),
            stop=(self.format.end, *self.options.stop_texts),
            grammar=grammar,
            **offsets_of(self.options, self.run.tokenizer),
        )

    def _settings(self):
        config = self.run.config
        return self.options.settings_for(trained_steps(config), stops_positions(config))

    def _completions(self):
        steps = self._settings().steps
        if steps not in self.completions:
            self.completions[steps] = TextCompletions(self.run, steps=steps)
        return self.completions[steps]

    def save(self, path):
        """Writes the conversation as a file of one JSON line, which `load` and training read."""
        table = {"messages": [message.as_json() for message in self.messages]}
        if self.tools:
            table["tools"] = [tool.as_json() for tool in self.tools]
        write_text(path, json.dumps(table, ensure_ascii=False) + "\n")

    def load(self, path):
        """Goes on with the last conversation of a file.

        Raises:
            MdnnError: no file of conversations.
        """
        self.messages = list(read_conversations(path)[-1].messages)


def _with_grammar(tool):
    """Returns a tool whose parameters have a grammar, any object if theirs has none."""
    try:
        schema_expression(tool.parameters)
    except MdnnError:
        return dataclasses.replace(tool, parameters={"type": "object"})
    return tool
