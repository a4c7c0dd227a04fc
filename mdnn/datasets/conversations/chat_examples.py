"""Lays conversations out as tokens, with a mask of the tokens that count in the loss."""

from dataclasses import dataclass

import numpy as np

from mdnn.chat.chat_layout import fit_messages
from mdnn.errors import MdnnError
from mdnn.tokens.characters import TextTokenizer
from mdnn.tokens.text_tokenizers import learnt_tokenizer


@dataclass(frozen=True, eq=False)
class ChatExamples:
    """Conversations as token ids, one after another.

    A conversation that fits the context is one example. Of a longer one, each turn of the assistant
    that does not fit any more is an example of its own, after as much of the conversation as a
    network would be told when it answers.

    Args:
        conversations: list of `mdnn.datasets.conversations.conversation_files.Conversation`.
        ids: int32 `[tokens]`.
        trained: bool `[tokens]`, the tokens that the loss of a training counts: the assistant's
            turns with their end marks.
        evaluated: bool `[tokens]`, those that an evaluation counts: each turn once.
        calls: bool `[tokens]`, those from the first call of an assistant's turn to its end.
        starts: int64 `[examples + 1]`, where each example begins, and the number of tokens.
        longer: int, conversations that do not fit.
        dropped: int, messages that were left out of the examples of longer conversations.
        cut: int, examples of which even the last turn does not fit, and lost its beginning.
    """

    conversations: list
    ids: np.ndarray
    trained: np.ndarray
    evaluated: np.ndarray
    calls: np.ndarray
    starts: np.ndarray
    longer: int = 0
    dropped: int = 0
    cut: int = 0

    def __len__(self):
        return len(self.starts) - 1

    def dropped_words(self, name):
        """Returns what was left out in one sentence; empty if nothing was."""
        if not self.longer:
            return ""
        cut = f"; of {self.cut:,} turns the beginning was cut" if self.cut else ""
        return (
            f"{name}: {self.longer:,} of {len(self.conversations):,} conversations are longer than "
            f"the context; their later turns are learned without {self.dropped:,} earlier messages"
            f"{cut}"
        )


def lay_out(conversations, chat_format, tokenizer, positions):
    """Lays conversations out as token ids.

    Args:
        conversations: list of `Conversation`; those without an assistant are left out.
        chat_format: `mdnn.chat.chat_layout.ChatFormat`.
        tokenizer: `mdnn.tokens.characters.TextTokenizer`.
        positions: int, positions of a context.

    Returns:
        `ChatExamples`.

    Raises:
        MdnnError: the template refuses a conversation; names its number.
    """
    builder = _Builder(chat_format, tokenizer, positions + 1)
    for number, conversation in enumerate(conversations, 1):
        if not conversation.has_answers:
            continue
        try:
            builder.add_conversation(list(conversation.messages), list(conversation.tools))
        except MdnnError as error:
            raise MdnnError(f"conversation {number}: {error}") from None
    return builder.examples(conversations)


class _Builder:
    """Collects examples.

    Args:
        chat_format: `ChatFormat`.
        tokenizer: `mdnn.tokens.characters.TextTokenizer`.
        most: int, maximum number of tokens of an example.
    """

    def __init__(self, chat_format, tokenizer, most):
        self.format, self.tokenizer, self.most = chat_format, tokenizer, most
        self.ids, self.trained, self.evaluated, self.calls = [], [], [], []
        self.longer = self.dropped = self.cut = 0

    def add_conversation(self, messages, tools):
        """Adds the examples of a conversation."""
        text, spans = self.format.turns(messages, tools)
        ids, counted, calls = self.encode(text, spans)
        if len(ids) <= self.most:
            self.add(ids, counted, counted, calls)
            return
        self.longer += 1
        answers = [k for k, message in enumerate(messages) if message.role == "assistant"]
        fitting = 0
        while fitting < len(answers):
            text, spans = self.format.turns(messages[: answers[fitting] + 1], tools)
            more = self.encode(text, spans)
            if len(more[0]) > self.most:
                break
            (ids, counted, calls), fitting = more, fitting + 1
        if fitting:
            self.add(ids, counted, counted, calls)
        for end in answers[fitting:]:
            self.add_last_turn(messages[: end + 1], tools)

    def add_last_turn(self, messages, tools):
        """Adds an example of the last turn, after what fits of the messages before."""
        text, spans = self.format.turns(messages, tools)
        size = len(self.tokenizer.ids(text[slice(*spans[-1])], begins=False))
        before = messages[:-1]
        _, missing = fit_messages(
            self.format,
            before,
            tools,
            lambda prompt: len(self.tokenizer.ids(prompt)) + size <= self.most,
        )
        first = next((k for k, m in enumerate(before) if m.role != "system"), len(before))
        shown = [*before[:first], *before[first + missing :], messages[-1]]
        ids, counted, calls = self.encode(*self.format.turns(shown, tools))
        last = counted & (np.arange(len(ids)) >= len(ids) - size)
        self.dropped += missing
        self.cut += len(ids) > self.most
        self.add(*(values[-self.most :] for values in (ids, counted, last, calls)))

    def encode(self, text, spans):
        """Returns the token ids of a text, which of them lie in spans of its characters, and which
        of those belong to calls.

        The pieces are encoded one by one, as a prompt and its answer are. What follows the last
        span is left out.
        """
        ids, counted, calls, at = [], [], [], 0
        for start, end in spans:
            for begin, stop, answer in ((at, start, False), (start, end, True)):
                ids.append(self.tokenizer.ids(text[begin:stop], begins=not begin))
                counted.append(np.full(len(ids[-1]), answer))
                calls.append(self.in_calls(ids[-1], text[begin:stop], not begin) & answer)
            at = end
        return np.concatenate(ids), np.concatenate(counted), np.concatenate(calls)

    def in_calls(self, ids, text, begins):
        """Returns which tokens of a text belong to its first call or to what follows it.

        Args:
            ids: int32 `[tokens]`, those of `text`.
            text: str.
            begins: bool, whether the conversation begins with it.
        """
        first = text.find(self.format.call_start)
        before = len(ids) if first < 0 else len(self.tokenizer.ids(text[:first], begins=begins))
        return np.arange(len(ids)) >= before

    def add(self, ids, trained, evaluated, calls):
        """Adds an example."""
        self.ids.append(ids)
        self.trained.append(trained)
        self.evaluated.append(evaluated)
        self.calls.append(calls)

    def examples(self, conversations):
        """Returns the `ChatExamples`."""
        sizes = [len(ids) for ids in self.ids]
        return ChatExamples(
            conversations,
            np.concatenate(self.ids).astype("int32"),
            np.concatenate(self.trained),
            np.concatenate(self.evaluated),
            np.concatenate(self.calls),
            np.concatenate([[0], np.cumsum(sizes)]).astype("int64"),
            self.longer,
            self.dropped,
            self.cut,
        )


@dataclass(frozen=True, eq=False)
class ConversationSplits:
    """Conversations in two parts.

    Args:
        tokenizer: `TextTokenizer`.
        train, validation: `ChatExamples`.
    """

    tokenizer: TextTokenizer
    train: ChatExamples
    validation: ChatExamples

    def contents(self):
        """Yields what was read, for `mdnn.datasets.fingerprint.fingerprint`."""
        for examples in (self.train, self.validation):
            yield examples.ids


def split_conversations(conversations, share, chat_format, positions, tokenizer=None, **learnt):
    """Splits conversations and lays both parts out.

    Args:
        conversations: list of `Conversation`.
        share: float, the share at the end that validates.
        chat_format: `ChatFormat`.
        positions: int, positions of a context.
        tokenizer: `TextTokenizer` of a trained network; `None` makes one.
        **learnt: arguments of `mdnn.tokens.text_tokenizers.learnt_tokenizer`, for a new one.

    Returns:
        `ConversationSplits`.

    Raises:
        MdnnError: a part would be empty.
    """
    answered = [conversation for conversation in conversations if conversation.has_answers]
    cut = int(len(answered) * (1 - share))
    if not 0 < cut < len(answered):
        raise MdnnError(
            f"data.source: expected at least one conversation to train and one to validate, "
            f"received {len(answered)} in all, data.validation = {share:g}"
        )
    parts = answered[:cut], answered[cut:]
    if tokenizer is None:
        texts = (
            chat_format.lay_out(list(c.messages), list(c.tools), to_continue=False)
            for c in (parts[0] if any(learnt.values()) else ())
        )
        tokenizer = learnt_tokenizer("\n".join(texts), **learnt)
    examples = [lay_out(part, chat_format, tokenizer, positions) for part in parts]
    return ConversationSplits(tokenizer, *examples)
