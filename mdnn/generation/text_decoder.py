"""Continues texts token by token, in batches, with sliding contexts."""

import keras
from keras import ops

from mdnn.generation.autoregressive import decode_rows
from mdnn.generation.completions.piece_reading import caches_by_piece
from mdnn.generation.completions.token_writing import write_token
from mdnn.generation.windows import (
    TOKEN_BYTES,
    next_window,
    overlap_length,
    with_coordinates,
)
from mdnn.models.compiling import compile_with_xla

SHORT_CONTEXT = 256
"""Most positions of a context that is always read whole."""


class TextDecoder(keras.Model):
    """Continues texts with a network.

    All contexts of a batch are at the same position: decoding starts at the last position of the
    shortest prompt, and contexts with longer prompts read their remaining prompt tokens first. A
    full context is replaced by a new one that starts with its last tokens
    (`mdnn.generation.windows.overlap_length`).

    The first call reads the prompts; each further call continues from the result of the previous
    one. Both are compiled once per batch size, on TensorFlow with XLA: on a CPU a decoding step
    consists of hundreds of small operations, which XLA combines into one loop. Long contexts are
    read in pieces, in one call or in a call each (`mdnn.generation.completions.piece_reading`).

    Args:
        network: `mdnn.models.network.Network` that can be causal.
        chunk: int, maximum number of tokens decoded per call.
        sampler: one of `mdnn.generation.sampling.SAMPLERS`.
        words: int, size of the network's word table.
        steps: int, number of refeed steps; `None`: as the network was built.
        xla: bool, whether to compile with XLA on TensorFlow.
        return_hidden: bool, whether to also return the inputs of the heads.
        log_probabilities: bool, whether to also return the log-probabilities of the tokens.
        grammar: bool, whether a grammar masks the classes.
        offsets: bool, whether biases and penalties are added to the scores of tokens.
        identities: result of `mdnn.identity.identity_table.identity_table`, the identities that
            contexts may have; `None` for none.

    Call arguments:
        inputs: dict. First call: `window` int32 `[batch, positions, 4]`, or its beginning of
            `reading_length`, and `filled` int32 `[batch]` as returned by
            `mdnn.generation.windows.encode_prompts`, and `written` int32 `[batch]`, zeros; with
            `identities` also `identity` int32 `[batch]`, the number of each context's identity, 0
            for none; after calls for pieces also their `read`. A piece: `piece` int32
            `[batch, piece, 4]`, `first` int32 `[1]`, the number of its first row, and `read`, the
            result for the piece before. Further calls: the result of the previous call without
            `decoded`, and `count` int32 `[1]`, number of tokens to decode, at most `chunk`; `seed`
            int32, `temperature` float32, `top_k` int32 and `top_p` float32, all `[batch]`; with
            `grammar` also `max_tokens` int32 `[batch]`, the tokens of each text in all, and the
            arrays of `mdnn.generation.completions.grammar_mask.GrammarTables`, the same in every
            call; with `offsets` also `presence` and `frequency` float32 `[batch]`, and in the first
            call that decodes the tables of `mdnn.generation.completions.score_offsets`.

    Returns:
        dict of tensors for the next call. Decoding calls add `decoded` int32 `[chunk, batch, 4]`
        (modality and bytes), of which the first `count` are valid, and with `log_probabilities`
        `log_probability` float32 `[chunk, batch]`. For a context with a longer
        prompt than the shortest, the first of these over all calls are the rest of its prompt.

    Attributes:
        traces: int, number of compilations.
    """

    def __init__(
        self,
        network,
        chunk=256,
        sampler="filtered",
        words=0,
        steps=None,
        xla=True,
        return_hidden=False,
        log_probabilities=False,
        grammar=False,
        offsets=False,
        identities=None,
        **kwargs,
    ):
        super().__init__(dtype="float32", **kwargs)
        self.network, self.heads = network, network.heads
        self.incremental = network.decoder(steps)
        self.positions = self.incremental.num_rows * self.incremental.num_columns
        self.overlap = overlap_length(self.incremental.grid)
        self.slots = network.config.context.slots
        self.chunk, self.sampler, self.words = chunk, sampler, words
        self.return_hidden, self.log_probabilities = return_hidden, log_probabilities
        self.grammar, self.offsets = grammar, offsets
        # Bypass Keras' attribute tracking, which takes dicts apart.
        object.__setattr__(self, "identities", identities)
        compile_with_xla(self, xla)
        self.traces = 0
        self.built = True

    def call(self, inputs):
        self.traces += 1
        if "piece" in inputs:
            return self.read_piece(inputs)
        return self.decode(inputs) if "count" in inputs else self.prefill(inputs)

    def traced_for(self, inputs):
        """Returns the number of positions that are read, which caches depend on."""
        return inputs["window"].shape[1] if "written" in inputs and "count" not in inputs else None

    def reading_length(self, filled):
        """Returns how many positions are read at once for prompts of at most `filled` tokens.

        Long contexts are not read whole for short prompts. There are few lengths, because the
        reading is compiled for each of them.
        """
        length, row = SHORT_CONTEXT, self.incremental.num_columns
        while length < filled or (self.incremental.num_rows > 1 and length % row):
            length *= 4
            if length >= self.positions:
                break
        return min(length, self.positions) if self.incremental.takes_prefix else self.positions

    def read_piece(self, inputs):
        """Reads a piece of prompts that is followed by another one."""
        row, weights = inputs["first"], self._weights(inputs)
        tokens = with_coordinates(inputs["piece"], row[0] * self.incremental.num_columns)
        return {"read": self.incremental.read(tokens, weights, inputs["read"], row)[1]}

    def _weights(self, inputs):
        """Returns the prepared weights, with the identities of the contexts."""
        identity = None
        if self.identities is not None:
            identity = {
                block: {k: ops.take(table, inputs["identity"], axis=0) for k, table in own.items()}
                for block, own in self.identities.items()
            }
        return self.incremental.prepare_weights(identity)

    def prefill(self, inputs):
        """Reads prompts and returns the initial state of decoding."""
        window, filled = inputs["window"], inputs["filled"]
        weights = self._weights(inputs)
        read = window.shape[1]
        # Add one position for the token decoded when the context is full.
        rest = self.positions + 1 - read
        window = ops.transpose(ops.pad(window, [[0, 0], [0, rest], [0, 0]]), (1, 0, 2))
        position = ops.min(filled, axis=0, keepdims=True) - 1
        row = position // self.incremental.num_columns
        caches = self._caches(window, read, row, weights, inputs.get("read"))
        first = {"grammar_state": ops.zeros_like(filled)} if self.grammar else {}
        return {
            **first,
            "window": window,
            "filled": filled,
            "written": inputs["written"],
            "position": position,
            "weights": weights,
            **caches,
        }

    def _caches(self, window, positions, row, weights, read=None):
        """Returns the caches for row `row` `[1]` after the first `positions` of a window.

        Args:
            window: int32 `[positions, batch, 4]`.
            positions: int.
            row: int32 `[1]`.
            weights: result of `IncrementalDecoder.prepare_weights`.
            read: what `read_piece` returns for the pieces before that of the row, or `None`.
        """
        if 0 < self.incremental.piece < positions:
            return caches_by_piece(self.incremental, window, row, weights, read)
        tokens = with_coordinates(ops.transpose(window[:positions], (1, 0, 2)))
        past_rows, inputs = self.incremental.prefill(tokens, weights, row)
        return {
            "past_rows": past_rows,
            "row_context": self.incremental.start_row(weights, past_rows, row),
            "current_row": self.incremental.restore_row(inputs, row),
        }

    def decode(self, inputs):
        """Decodes `count` tokens of each context."""
        row, weights = self.incremental.num_columns, inputs["weights"]
        settings = {name: inputs[name] for name in ("seed", "temperature", "top_k", "top_p")}
        count = ops.minimum(inputs["count"][0], self.chunk)
        caches = {name: inputs[name] for name in ("past_rows", "row_context", "current_row")}
        position = inputs["position"]
        cursor = {"row": position // row, "column": position[0] % row, **caches}
        tables = {}
        if self.grammar:
            settings["max_tokens"] = inputs["max_tokens"]
            tables = {
                name: value
                for name, value in inputs.items()
                if name.startswith("grammar_") and name != "grammar_state"
            }
        names = ["window", "filled", "written", *(("grammar_state",) if self.grammar else ())]
        if self.offsets:
            settings |= {name: inputs[name] for name in ("presence", "frequency")}
            names += [name for name in inputs if name.startswith("offset_")]
        state = {name: inputs[name] for name in names}
        batch = ops.shape(state["filled"])[0]
        state["done"] = ops.zeros_like(count)
        state["decoded"] = ops.zeros((self.chunk, batch, TOKEN_BYTES), "int32")
        if self.return_hidden:
            shape = (self.chunk, batch, self.incremental.width)
            state["hidden"] = ops.zeros(shape, self.incremental.dtype)
        if self.log_probabilities:
            state["log_probability"] = ops.zeros((self.chunk, batch), "float32")
        cursor, state = decode_rows(
            self.incremental,
            weights,
            cursor,
            state,
            token_at=self._token_at,
            write=lambda *args: write_token(self, *args, settings, tables),
            unfinished=lambda state: state["done"] < count,
            next_row=lambda *args: self._next_row(*args, weights),
        )
        del state["done"]
        position = cursor.pop("row") * row + cursor.pop("column")
        return {**state, **cursor, "position": position, "weights": weights}

    def _token_at(self, state, position):
        tokens = ops.take(state["window"], position[0], axis=0)[:, None]
        return with_coordinates(tokens, position[0])[:, 0]

    def _next_row(self, cursor, state, weights):
        """Returns the cursor and state at the start of the next row, or in the next context."""
        network, overlap = self.incremental, self.overlap
        row = cursor["row"] + 1

        def next_context():
            rest = self.positions + 1 - overlap
            window = next_window(state["window"], overlap)
            window = ops.pad(window, [[0, rest], [0, 0], [0, 0]])
            positions = overlap if network.takes_prefix else self.positions
            at = ops.zeros_like(row) + (overlap - 1) // network.num_columns
            column = ops.zeros_like(cursor["column"]) + (overlap - 1) % network.num_columns
            caches = self._caches(window, positions, at, weights)
            filled = ops.zeros_like(state["filled"]) + overlap
            return {"row": at, "column": column, **caches}, state | {
                "window": window,
                "filled": filled,
            }

        def same_context():
            before, current_row = cursor["past_rows"], cursor["current_row"]
            past_rows = network.finish_row(weights, before, row - 1, current_row)
            return {
                "row": row,
                "column": ops.zeros_like(cursor["column"]),
                "past_rows": past_rows,
                "row_context": network.start_row(weights, past_rows, row),
                "current_row": current_row,
            }, state

        if network.num_rows == 1:
            return next_context()
        return ops.cond(ops.equal(row[0], network.num_rows), next_context, same_context)
