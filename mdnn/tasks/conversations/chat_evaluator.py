"""Evaluates conversations: the loss of answers, and whether calls are right."""

import numpy as np

from mdnn.chat.chat_layout import fit_for_answer
from mdnn.constraints.automaton import compile_expression
from mdnn.constraints.call_expressions import answer_expression
from mdnn.datasets.batches.chat_batches import evaluation_batches
from mdnn.generation.completions.completion import CompletionRequest
from mdnn.generation.completions.text_completions import TextCompletions
from mdnn.models.compiling import predicted
from mdnn.models.head_options import decoding
from mdnn.models.network_nll import NetworkNLL
from mdnn.runs.run_folder import Run
from mdnn.tasks.batch_evaluator import compile_models, contexts_at_once, per_character

QUICK_EXAMPLES = 64
"""Examples of a quick evaluation."""

EVALUATED_CALLS = 100
"""Calls that `mdnn evaluate` writes and compares."""

CALL_TOKENS = 400
"""Tokens that a call may have at most."""

CALL_BATCH = 16


class ChatEvaluator:
    """Computes the loss of the assistant's turns, and compares calls; compiled once.

    Args:
        networks: dict from decoding modes to networks, as returned by
            `mdnn.tasks.base.Task.networks`.
        config: `mdnn.Config` of the networks.
        tokenizer: `mdnn.tokens.characters.TextTokenizer`.
        chat_format: `mdnn.chat.chat_layout.ChatFormat`.
        batch: int, largest number of contexts per call.
    """

    def __init__(self, networks, config, tokenizer, chat_format, batch=16):
        self.network = networks["autoregressive"]
        self.models = compile_models(networks, lambda net: NetworkNLL(net, **decoding(config)))
        self.config, self.tokenizer, self.format = config, tokenizer, chat_format
        self.batch = contexts_at_once(config, batch)
        self.completions = None

    def metrics(self, examples, progress=None, calls=EVALUATED_CALLS, grammar=False):
        """Returns the metrics of conversations, as in `mdnn.evaluate`.

        Args:
            examples: `mdnn.datasets.conversations.chat_examples.ChatExamples`.
            progress: function called with the completed fraction, 0 to 1.
            calls: int, maximum number of calls to write and compare; 0: none.
            grammar: bool, whether a grammar allows only well-formed calls of the tools that a
                conversation has.

        Returns:
            Dict with `loss` (nats per character of the assistant's turns), `bits_per_character`
            and `characters`. Where the conversations have calls: `calls`, the number of those that
            were compared; of these the shares `calls_written`, in which the network begins a call
            at all and does not answer with a text, and `calls_right`, with the right name and all
            arguments; and `calls_well_formed`, the share of the written ones that are a name and
            an object of arguments in JSON (0 where none is written).
        """
        tell = progress or (lambda fraction: None)
        share = 0.5 if calls else 1.0
        metrics = per_character(*self.total(examples, lambda p: tell(share * p)))
        prompts = call_prompts(examples.conversations, calls)
        if prompts:
            metrics |= self.calls(prompts, lambda p: tell(share + (1 - share) * p), grammar)
        tell(1.0)
        return metrics

    def quick(self, examples):
        """Returns the loss on the first examples, a dict from modes to nats per character."""
        nll, characters = self.total(examples, limit=QUICK_EXAMPLES)
        return {"autoregressive": nll / max(1, characters)}

    def total(self, examples, progress=None, limit=None):
        """Returns the nats of the counted characters, and their number.

        Args:
            examples: sequence of examples, see `metrics`.
            progress: function called with the completed fraction, 0 to 1, or `None`.
            limit: int, most examples; `None`: all.

        Returns:
            Tuple of a float and an int of at least 1.
        """
        nll, characters, done = 0.0, 0, 0
        count = min(len(examples), limit or len(examples))
        batches = evaluation_batches(
            examples, self.tokenizer, self.config.context.positions, self.batch
        )
        for batch, counted in batches:
            if done >= count:
                break
            values = predicted(self.models["autoregressive"], batch)
            values = np.asarray(values, dtype="float64")
            nll += float(values[batch["targets"][..., 0] > 0].sum())
            characters, done = characters + counted, done + self.batch
            if progress is not None:
                progress(min(1.0, done / count))
        return nll, max(1, characters)

    def calls(self, prompts, progress=None, grammar=False):
        """Writes calls and compares them.

        Args:
            prompts: list of `(messages, tools, message)` as returned by `call_prompts`.
            progress, grammar: see `metrics`.
        """
        if self.completions is None:
            vocabulary = tuple(self.tokenizer.vocabulary)
            run = Run(None, self.config, vocabulary).holding(self.network)
            self.completions = TextCompletions(run)
        right = begun = well_formed = done = 0
        for some, tables in self._batches(prompts, grammar):
            for (_, _, message), text in zip(some, self.answers(some, tables), strict=True):
                answer = self.format.read_answer(text)
                marks = text.count(self.format.call_start)
                begun += marks > 0
                well_formed += marks > 0 and len(answer.calls) == marks
                written = [(call.name, call.arguments) for call in answer.calls]
                right += written == [(call.name, call.arguments) for call in message.calls]
            done += len(some)
            if progress is not None:
                progress(done / len(prompts))
        count = len(prompts)
        return {
            "calls": count,
            "calls_written": begun / count,
            "calls_well_formed": well_formed / max(1, begun),
            "calls_right": right / count,
        }

    def _batches(self, prompts, grammar):
        """Yields some prompts at a time, and their `GrammarTables` or `None`.

        With a grammar these have the same tools.
        """
        groups = {}
        for prompt in prompts:
            key = tuple(tool.signature() for tool in prompt[1]) if grammar else ()
            groups.setdefault(key, []).append(prompt)
        for group in groups.values():
            tables, tools = None, group[0][1]
            if grammar and tools:
                expression = answer_expression(tools, self.format)
                tables = self.completions.grammar(compile_expression(expression, "the tools"))
            for first in range(0, len(group), CALL_BATCH):
                yield group[first : first + CALL_BATCH], tables

    def answers(self, prompts, grammar=None):
        """Returns the turns that the network writes, greedily, a list of str.

        Args:
            prompts: list of `(messages, tools, message)`.
            grammar: `mdnn.generation.completions.grammar_mask.GrammarTables`, or `None`.
        """
        size = self.completions.positions, self.completions.count
        requests = [
            CompletionRequest(
                fit_for_answer(self.format, messages, tools, *size)[0],
                CALL_TOKENS,
                temperature=0.0,
                stop=(self.format.end,),
                grammar=grammar,
            )
            for messages, tools, _ in prompts
        ]
        texts = [[] for _ in requests]
        for pieces in self.completions.complete(requests):
            for text, piece in zip(texts, pieces, strict=True):
                text.append(piece.text)
        return ["".join(text) for text in texts]


def call_prompts(conversations, limit):
    """Returns the beginnings of conversations at which the assistant calls a tool.

    Args:
        conversations: list of `mdnn.datasets.conversations.conversation_files.Conversation`.
        limit: int, maximum number; these are spread evenly over all.

    Returns:
        List of `(messages, tools, message)`: lists of the messages before the call and of the
        tools, and the assistant's message with the call.
    """
    places = [
        (conversation, k)
        for conversation in (conversations if limit else ())
        for k, message in enumerate(conversation.messages)
        if message.role == "assistant" and message.calls
    ]
    chosen = np.unique(np.linspace(0, max(0, len(places) - 1), limit).astype(int)) if places else ()
    return [
        (list(c.messages[:k]), list(c.tools), c.messages[k]) for c, k in (places[n] for n in chosen)
    ]
