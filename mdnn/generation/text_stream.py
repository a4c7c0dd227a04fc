"""Continues several texts piece by piece, for streaming from a server."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.generation.engines import KerasTexts, text_engine
from mdnn.generation.text_decoding import before_end
from mdnn.generation.text_identities import TextIdentities
from mdnn.generation.windows import encode_prompts, pad_features

# Numbers of tokens in the first piece, small for low latency, and in later pieces. Concurrent
# streams alternate after each piece.
FIRST_PIECE, PIECE = 16, 64


class TextStream:
    """Continues texts with the network of a run.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network trained for autoregressive decoding.
        engine: see `mdnn.generation.engines.text_engine`.
        identities: dict from names to files that `mdnn adapt` made for the network, among which
            each text chooses, or their `TextIdentities`; Keras runs them.
    """

    def __init__(self, run, engine="auto", identities=None):
        self.tokenizer, self.identities = run.tokenizer, None
        if not identities:
            self.engine = text_engine(run, engine, chunk=PIECE)
            return
        if engine.startswith("native"):
            raise MdnnError("engine: 'native' runs one identity at a time, Keras several")
        if isinstance(identities, dict):
            identities = TextIdentities(run, identities)
        self.identities = identities
        self.engine = KerasTexts(identities.decoder(chunk=PIECE, sampler="plain"))

    def write(self, prompts, lengths, temperatures, seeds, identities=None):
        """Continues texts.

        Each result equals that of `mdnn.generate` for the same prompt, temperature and seed.

        Args:
            prompts: list of str.
            lengths: list of int, numbers of characters to generate.
            temperatures: list of float.
            seeds: list of int.
            identities: list of str, the names of the texts' identities, `""` for none; `None` for
                none at all.

        Yields:
            Lists of str, the new characters of each text; `""` for a text without new characters,
            and `None` from where the network has ended a text before its length.
        """
        slots = self.engine.slots
        settings = {
            "seed": np.array(seeds, "int32"),
            "temperature": np.array(temperatures, "float32"),
            "top_k": np.zeros(len(prompts), "int32"),
            "top_p": np.ones(len(prompts), "float32"),
        }
        if self.identities is not None:
            rows, slots = self.identities.rows(identities or [""] * len(prompts))
            settings["identity"] = rows
        window, filled = encode_prompts(self.tokenizer, prompts, self.engine.positions, slots)
        groups = self.engine.start(window, filled, settings)
        left, count = list(lengths), min(FIRST_PIECE, self.engine.chunk)
        # Tokens that a text may still take.
        tokens_left = [length * self.tokenizer.tokens_per_character for length in lengths]
        decoders = [self.tokenizer.decoder() for _ in prompts]
        ended = [False] * len(prompts)
        while any(left):
            pieces = [None if end else "" for end in ended]
            for text, tokens in enumerate(groups.decode(count, left)):
                if left[text]:
                    ids = self.tokenizer.ids_from_tokens(pad_features(tokens))
                    # Padding stands where a longer prompt is still read.
                    tokens_left[text] -= int((ids >= 0).sum())
                    ids, end = before_end(ids, self.tokenizer)
                    pieces[text] = decoders[text](ids)[: left[text]]
                    left[text] -= len(pieces[text])
                    if left[text] and (end or tokens_left[text] <= 0):
                        left[text], ended[text] = 0, True
            count = min(PIECE, self.engine.chunk)
            yield pieces
        if any(ended):
            yield [None if end else "" for end in ended]
