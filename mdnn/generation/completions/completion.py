"""Defines requests for completions of a text, and the pieces of their answers."""

import dataclasses
import typing

from mdnn.generation.completions.stop_texts import StopFilter

STOP, LENGTH = "stop", "length"
"""Why a completion has ended: a stop text or a grammar, or its number of tokens."""

PLAIN = ("plain", False, None, False)
"""`CompletionRequest.variant` of a request that any decoder answers."""


@dataclasses.dataclass
class CompletionRequest:
    """A text to continue.

    Args:
        prompt: str, not empty.
        max_tokens: int, maximum number of tokens; characters, words or subwords, as the network
            writes them.
        temperature, top_k, top_p, seed: see `mdnn.generation.options.GenerationOptions`.
        stop: tuple of str; the completion ends before the first of them.
        log_probabilities: bool, whether pieces contain the log-probability of each token.
        alternatives: int, with `log_probabilities`: how many of the likeliest tokens at each
            position pieces contain, too.
        presence_penalty, frequency_penalty: float, subtracted from the log-probability of each
            token that the completion contains: once, and as often as it does.
        logit_bias: tuple of pairs of a token id and what is added to its log-probability.
        grammar: `mdnn.generation.completions.grammar_mask.GrammarTables` of the texts that may be
            written, or `None`. A text ends at a stop text, with which every text of the grammar has
            to end.
        identity: str, the name of the text's identity; `""`: none.
        cancelled: bool, set by the caller to end the completion early.
    """

    prompt: str
    max_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    log_probabilities: bool = False
    alternatives: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    grammar: object = None
    identity: str = ""
    cancelled: bool = False

    @property
    def variant(self):
        """Options that a decoder is compiled for, hashable; equal ones share a batch."""
        sampler = "filtered" if self.top_k or self.top_p < 1 else "plain"
        offsets = bool(self.presence_penalty or self.frequency_penalty or self.logit_bias)
        return sampler, self.log_probabilities, self.grammar, offsets


class ScoredToken(typing.NamedTuple):
    """A token of a completion with its log-probability.

    Args:
        text: str.
        log_probability: float, in nats: of the network at temperature 1, without grammar, penalties
            and biases.
        alternatives: tuple of the likeliest tokens at its position, the likeliest first, each a
            text, a log-probability and the bytes that it stands for.
    """

    text: str
    log_probability: float
    alternatives: tuple = ()


class ScoredText(str):
    """A text with the log-probabilities of its tokens.

    Args:
        text: str.
        tokens: iterable of `ScoredToken`; those that begin after the end of the text are left out.

    Attributes:
        tokens: tuple of `ScoredToken`.
    """

    def __new__(cls, text, tokens=()):
        made, begin, shown = super().__new__(cls, text), 0, []
        for token in tokens:
            if begin >= len(text):
                break
            shown.append(token)
            begin += len(token.text)
        made.tokens = tuple(shown)
        return made


@dataclasses.dataclass(frozen=True)
class CompletionPiece:
    """The next characters of a completion.

    Args:
        text: str, may be empty.
        tokens: int, number of tokens that were decoded since the piece before.
        log_probabilities: tuple of `ScoredToken`, the tokens since the piece before.
        finish: `STOP` or `LENGTH` in the last piece, otherwise `None`.
    """

    text: str = ""
    tokens: int = 0
    log_probabilities: tuple = ()
    finish: str | None = None


class CompletionState:
    """Cuts the tokens of one completion into pieces: at stop texts and at the number of tokens.

    Args:
        request: `CompletionRequest`.
    """

    def __init__(self, request):
        self.request, self.tokens = request, 0
        self.filter = StopFilter(request.stop)
        self.finish = None if request.max_tokens > 0 else LENGTH

    @property
    def over(self):
        """bool, whether nothing more is to be decoded."""
        return self.finish is not None or self.request.cancelled

    def add(self, texts, log_probabilities=None, ended=False, alternatives=()):
        """Adds tokens and returns the `CompletionPiece` that they complete.

        Args:
            texts: list of str, the text of each token; those beyond the end are ignored.
            log_probabilities: list of float, one per token, or `None`.
            ended: bool, whether the network has ended the text after these tokens.
            alternatives: sequence of `ScoredToken.alternatives`, one per token, or empty.
        """
        if self.over:
            return CompletionPiece()
        shown, scored, count = [], [], 0
        for number, text in enumerate(texts):
            self.tokens += 1
            count += 1
            new, stopped = self.filter.add(text)
            shown.append(new)
            if log_probabilities is not None:
                others = alternatives[number] if alternatives else ()
                scored.append(ScoredToken(text, float(log_probabilities[number]), others))
            if stopped or self.tokens >= self.request.max_tokens:
                self.finish = STOP if stopped else LENGTH
                break
        if ended and self.finish is None:
            self.finish = STOP
            shown.append(self.filter.rest())
        elif self.finish == LENGTH:
            shown.append(self.filter.rest())
        return CompletionPiece("".join(shown), count, tuple(scored), self.finish)


class CharacterCompletions:
    """Answers completions with a function that writes characters; one character is one token.

    Args:
        write: see `mdnn.serving.server.text_streams`.

    Attributes:
        variants: bool, whether requests may have other variants than `PLAIN`.
        grammars: bool, whether requests may have grammars.
        positions: int, the positions of the network's context, or `None` if it is not known.
    """

    variants, grammars, positions = False, False, None

    def __init__(self, write):
        self.write = write

    def count(self, text):
        """Returns the number of tokens of a text, int."""
        return len(text)

    def complete(self, requests):
        """Continues texts, as `TextCompletions.complete` does.

        Args:
            requests: list of `CompletionRequest` of the variant `PLAIN`.
        """
        states = [CompletionState(request) for request in requests]
        if all(state.over for state in states):
            return
        columns = ["prompt", "max_tokens", "temperature", "seed"]
        # Only functions of networks with identities take names of them.
        columns += ["identity"] * any(request.identity for request in requests)
        given = ([getattr(request, name) for request in requests] for name in columns)
        for texts in self.write(*given):
            yield [
                state.add(list(text or ""), ended=text is None)
                for state, text in zip(states, texts, strict=True)
            ]
            if all(state.over for state in states):
                return
