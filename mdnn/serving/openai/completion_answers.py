"""The answers in OpenAI's forms: whole, and as the chunks of a stream."""

import secrets
import time

from mdnn.generation.completions.completion import LENGTH


class CompletionAnswer:
    """Collects the pieces of the choices of one request.

    Args:
        model: str, the model's name.
        requests: list of `CompletionRequest`, one per choice.
        prompt_tokens: int.

    Attributes:
        kind: class attribute, `object` of a whole answer.
        chunk_kind: class attribute, `object` of a chunk.
        prefix: class attribute, the beginning of an answer's id.
    """

    kind, chunk_kind, prefix = "", "", ""

    def __init__(self, model, requests, prompt_tokens):
        self.requests, self.prompt_tokens, self.tokens = requests, prompt_tokens, 0
        self.about = {
            "id": f"{self.prefix}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }
        self.texts = [[] for _ in requests]
        self.scores = [[] for _ in requests]
        self.finish = [None for _ in requests]

    def add(self, pieces):
        """Adds one `CompletionPiece` per choice."""
        for choice, piece in enumerate(pieces):
            self.texts[choice].append(piece.text)
            self.scores[choice] += piece.log_probabilities
            self.finish[choice] = self.finish[choice] or piece.finish
            self.tokens += piece.tokens

    def usage(self):
        """Returns the numbers of tokens, a dict."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
        }

    def whole(self):
        """Returns the whole answer, a dict."""
        choices = [self.choice(number) for number in range(len(self.requests))]
        return {
            **self.about,
            "object": self.kind,
            "choices": choices,
            "usage": self.usage(),
            **self.extra(),
        }

    def extra(self):
        """Returns further keys of an answer, a dict."""
        return {}

    def begin(self):
        """Yields the chunks before the first piece."""
        return ()

    def chunks(self, pieces):
        """Adds pieces and yields their chunks."""
        self.add(pieces)
        for number, piece in enumerate(pieces):
            if piece.tokens or piece.finish:
                yield from self.choice_chunks(number, piece)

    def end(self, usage):
        """Yields the last chunks.

        Args:
            usage: bool, whether to report numbers of tokens.
        """
        for number, finish in enumerate(self.finish):
            if finish is None:
                yield from self.finish_chunks(number, LENGTH)
        if usage:
            yield {**self.about, "object": self.chunk_kind, "choices": [], "usage": self.usage()}

    def chunk(self, choice):
        """Returns a chunk with one choice."""
        return {**self.about, "object": self.chunk_kind, "choices": [choice], **self.extra()}


class TextAnswer(CompletionAnswer):
    """The answer of `/v1/completions`.

    Attributes:
        echo: bool, whether each choice begins with its prompt.
    """

    kind = chunk_kind = "text_completion"
    prefix = "cmpl"
    echo = False

    def choice(self, number):
        """Returns a choice of the whole answer, a dict."""
        request = self.requests[number]
        text = (request.prompt if self.echo else "") + "".join(self.texts[number])
        scores = self.scores[number] if request.log_probabilities else None
        return self._choice(number, text, scores, self.finish[number] or LENGTH)

    def begin(self):
        for number, request in enumerate(self.requests if self.echo else ()):
            yield self.chunk(self._choice(number, request.prompt, None, None))

    def choice_chunks(self, number, piece):
        """Yields the chunks of a piece of a choice."""
        scores = None
        if self.requests[number].log_probabilities:
            scores = piece.log_probabilities
        yield self.chunk(self._choice(number, piece.text, scores, piece.finish))

    def finish_chunks(self, number, finish):
        """Yields the chunks that end a choice."""
        yield self.chunk(self._choice(number, "", None, finish))

    @staticmethod
    def _choice(number, text, scores, finish):
        logprobs = None
        if scores is not None:
            some = any(one.alternatives for one in scores)
            logprobs = {
                "tokens": [one.text for one in scores],
                "token_logprobs": [one.log_probability for one in scores],
                "top_logprobs": list(map(_table, scores)) if some else None,
                "text_offset": _offsets(scores),
            }
        return {"index": number, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _table(one):
    """Returns the likeliest tokens beside one, by their texts, and the token itself, a dict."""
    table = {}
    # Among tokens with the same text, the likeliest comes first.
    for text, score, _ in one.alternatives:
        table.setdefault(text, score)
    return table | {one.text: one.log_probability}


def _offsets(scores):
    offsets, at = [], 0
    for one in scores:
        offsets.append(at)
        at += len(one.text)
    return offsets


class ChatAnswer(CompletionAnswer):
    """The answer of `/v1/chat/completions`.

    Args:
        model: str, the model's name.
        conversation: `mdnn.serving.openai.chat_requests.ChatRequest`.
        prompt_tokens: int.
    """

    kind, chunk_kind, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def __init__(self, model, conversation, prompt_tokens):
        super().__init__(model, conversation.requests, prompt_tokens)
        self.conversation, self.format = conversation, conversation.chat_format
        # Characters of each choice that a stream has passed on.
        self.passed = [0 for _ in self.requests]

    def extra(self):
        """Returns the number of messages that did not fit the context, as a dict."""
        dropped = self.conversation.dropped
        return {"mdnn": {"dropped_messages": dropped}} if dropped else {}

    def message(self, number):
        """Returns the `Message` of a choice; calls are read where there are tools."""
        text = "".join(self.texts[number])
        if self.conversation.tools:
            return self.format.read_answer(text)
        return text

    def choice(self, number):
        """Returns a choice of the whole answer, a dict."""
        message, finish = self.message(number), self.finish[number] or LENGTH
        table = {"role": "assistant", "content": message, "refusal": None}
        if self.conversation.tools:
            table["content"] = message.content
            if message.calls:
                table["content"] = message.content or None
                table["tool_calls"] = [call.as_json() for call in message.calls]
                finish = "tool_calls"
        logprobs = None
        if self.requests[number].log_probabilities:
            logprobs = token_scores(self.scores[number])
        return {"index": number, "message": table, "logprobs": logprobs, "finish_reason": finish}

    def begin(self):
        for number in range(len(self.requests)):
            yield self._delta(number, {"role": "assistant", "content": ""})

    def choice_chunks(self, number, piece):
        """Yields the chunks of a piece; a call is sent whole, once the answer has ended."""
        scores = piece.log_probabilities if self.requests[number].log_probabilities else None
        content = piece.text
        if self.conversation.tools:
            content = self._content(number)
        if content or scores:
            yield self._delta(number, {"content": content}, scores=scores)
        if piece.finish:
            yield from self.finish_chunks(number, piece.finish)

    def _content(self, number):
        """Returns the characters that certainly precede the first call."""
        text, mark = "".join(self.texts[number]), self.format.call_start
        stop = text.find(mark)
        if stop < 0:
            # Characters that may begin the mark are held back.
            stop = len(text)
            for size in range(min(len(mark) - 1, len(text)), 0, -1):
                if mark.startswith(text[-size:]):
                    stop = len(text) - size
                    break
        content = text[self.passed[number] : stop]
        self.passed[number] = max(self.passed[number], stop)
        return content

    def finish_chunks(self, number, finish):
        """Yields the chunks that end a choice."""
        if self.conversation.tools:
            message = self.message(number)
            if rest := message.content[self.passed[number] :]:
                yield self._delta(number, {"content": rest})
            for index, call in enumerate(message.calls):
                yield self._delta(number, {"tool_calls": [{"index": index, **call.as_json()}]})
                finish = "tool_calls"
        yield self._delta(number, {}, finish)

    def _delta(self, number, delta, finish=None, scores=None):
        choice = {"index": number, "delta": delta, "logprobs": None, "finish_reason": finish}
        if scores:
            choice["logprobs"] = token_scores(scores)
        return self.chunk(choice)


def token_scores(scores):
    """Returns the log-probabilities of tokens in OpenAI's form, a dict.

    Args:
        scores: iterable of `mdnn.generation.completions.completion.ScoredToken`.
    """
    content = [
        {
            **_entry(one.text, one.log_probability, one.text.encode("utf-8")),
            "top_logprobs": [_entry(*other) for other in one.alternatives],
        }
        for one in scores
    ]
    return {"content": content, "refusal": None}


def _entry(token, score, data):
    return {"token": token, "logprob": score, "bytes": list(data)}
