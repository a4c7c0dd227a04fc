"""Answers completions with the network of a run, several in one batch."""

import numpy as np

from mdnn.generation.batch_groups import BatchGroups
from mdnn.generation.completions.completion import CompletionPiece, CompletionState
from mdnn.generation.completions.grammar_mask import GrammarTables
from mdnn.generation.completions.score_offsets import offset_tables
from mdnn.generation.completions.top_tokens import top_tokens
from mdnn.generation.engines import KerasTexts, text_engine
from mdnn.generation.text_decoder import TextDecoder
from mdnn.generation.text_decoding import before_end
from mdnn.generation.text_stream import FIRST_PIECE, PIECE
from mdnn.generation.windows import encode_prompts, pad_features
from mdnn.tokens.characters import TextTokenizer


class TextCompletions:
    """Continues texts as `CompletionRequest`s ask.

    A decoder is compiled at the first use of each `CompletionRequest.variant`; those with grammars
    share one for each size of tables.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network trained for autoregressive decoding.
        steps: int, number of refeed steps; `None`: as the network was built.
        engine: the engine for requests without log-probabilities, grammar, penalties, biases; see
            `mdnn.generation.engines.text_engine`; Keras answers the others.
        identities: `mdnn.generation.text_identities.TextIdentities` among which requests choose;
            `None`: none. Keras answers all requests of a network with identities.

    Attributes:
        variants, grammars, positions: see
            `mdnn.generation.completions.completion.CharacterCompletions`.
    """

    variants = True

    def __init__(self, run, steps=None, engine="auto", identities=None):
        self.run, self.tokenizer, self.steps = run, run.tokenizer, steps
        self.engine, self.engines, self.identities = engine, {}, identities
        context = run.config.context
        self.positions = context.text_positions
        if identities is not None:
            self.positions = context.positions - max(identities.slots)
        self.grammars = True
        self.characters = isinstance(self.tokenizer, TextTokenizer)

    def count(self, text):
        """Returns the number of tokens of a text, int."""
        return len(self.tokenizer.ids(text))

    def complete(self, requests):
        """Continues texts.

        Each result equals that of the request alone.

        Args:
            requests: list of `CompletionRequest`, all of one `variant`.

        Yields:
            Lists of one `CompletionPiece` per request, until all have ended or are cancelled.
        """
        states = [CompletionState(request) for request in requests]
        sampler, log_probabilities, grammar, offsets = requests[0].variant
        engine = self._engine(sampler, log_probabilities, grammar is not None, offsets)
        prompts, slots, settings = [request.prompt for request in requests], engine.slots, {}
        if self.identities is not None:
            settings["identity"], slots = self.identities.rows([r.identity for r in requests])
        window, filled = encode_prompts(self.tokenizer, prompts, engine.positions, slots)
        settings |= {
            "seed": np.array([request.seed for request in requests], "int32"),
            "temperature": np.array([request.temperature for request in requests], "float32"),
            "top_k": np.array([request.top_k for request in requests], "int32"),
            "top_p": np.array([request.top_p for request in requests], "float32"),
        }
        if log_probabilities or grammar is not None or offsets:
            shared, start = {}, {}
            if grammar is not None:
                most = [min(request.max_tokens, 2**31 - 1) for request in requests]
                settings["max_tokens"] = np.array(most, "int32")
                shared = grammar.tensors
            if offsets:
                for name in ("presence", "frequency"):
                    penalties = [getattr(request, f"{name}_penalty") for request in requests]
                    settings[name] = np.array(penalties, "float32")
                start = offset_tables(engine.heads, self.tokenizer, requests)
            groups = BatchGroups(engine, window, filled, settings, shared, start)
            step = groups.decode_all
        else:
            groups = engine.start(window, filled, settings)

            def step(count, active):
                return [{"decoded": tokens} for tokens in groups.decode(count, active)]

        count = min(FIRST_PIECE, engine.chunk)
        decoders = [self.tokenizer.decoder() for _ in requests]
        while not all(state.over for state in states):
            results = step(count, [not state.over for state in states])
            yield [self._piece(*row) for row in zip(states, results, decoders, strict=True)]
            count = min(PIECE, engine.chunk)

    def _piece(self, state, result, decode):
        if state.over:
            return CompletionPiece()
        ids = self.tokenizer.ids_from_tokens(pad_features(result["decoded"]))
        ids, ended = before_end(ids, self.tokenizer)
        scores, alternatives = None, ()
        if state.request.log_probabilities:
            scores = result["log_probability"]
            alternatives = self._alternatives(state, result["hidden"][: len(ids)])
        return state.add(self.texts(ids, decode), scores, ended, alternatives)

    def _alternatives(self, state, hidden):
        """Returns the likeliest tokens at each position, see `ScoredToken.alternatives`."""
        request = state.request
        hidden = hidden[: request.max_tokens - state.tokens]
        if not request.alternatives or not len(hidden):
            return ()
        found = top_tokens(self.run.model.heads, self.tokenizer, hidden, request.alternatives)
        alternatives = []
        for tokens in found:
            names = ((*self.tokenizer.token_text(number), score) for number, score in tokens)
            alternatives.append(tuple((text, score, data) for text, data, score in names))
        return alternatives

    def texts(self, ids, decode):
        """Returns the text of each token id, a list of str.

        Args:
            ids: int32 `[tokens]`.
            decode: function of the tokenizer's `decoder`, which all tokens of a text share.
        """
        if not self.characters:
            return [decode(ids[k : k + 1]) for k in range(len(ids))]
        text = self.tokenizer.text(ids)
        if len(text) == len(ids):
            return list(text)
        ends = np.cumsum(self.tokenizer.lengths(ids)).tolist()
        return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _engine(self, *variant):
        """Returns the decoder of a variant, made once: an engine or a `TextDecoder`."""
        if variant not in self.engines:
            sampler, log_probabilities, grammar, offsets = variant
            options = {"chunk": PIECE, "sampler": sampler}
            options |= {} if self.steps is None else {"steps": self.steps}
            if any(variant[1:]):
                options |= {
                    "return_hidden": log_probabilities,
                    "log_probabilities": log_probabilities,
                    "grammar": grammar,
                    "offsets": offsets,
                }
            if self.identities is not None:
                decoder = self.identities.decoder(**options)
                engine = decoder if any(variant[1:]) else KerasTexts(decoder)
            elif any(variant[1:]):
                words = len(self.tokenizer.words)
                engine = TextDecoder(self.run.model, words=words, **options)
            else:
                engine = text_engine(self.run, self.engine, self.steps, sampler, chunk=PIECE)
            self.engines[variant] = engine
        return self.engines[variant]

    def grammar(self, automaton):
        """Returns the `GrammarTables` of an automaton for this network's tokens.

        Args:
            automaton: `mdnn.constraints.automaton.Automaton`.

        Raises:
            MdnnError: the automaton is too large for the number of tokens, or the network's
                subwords can write no text of it.
        """
        return GrammarTables(
            automaton, self.tokenizer.words, None if self.characters else self.tokenizer
        )
