"""Continues several texts piece by piece, for streaming from a server."""

import numpy as np

from mdnn.generation.batch_groups import BatchGroups
from mdnn.generation.text_decoder import TextDecoder
from mdnn.generation.windows import encode_prompts, pad_features
from mdnn.identity.identity_table import identity_table

# Numbers of tokens in the first piece, small for low latency, and in later pieces. Concurrent
# streams alternate after each piece.
FIRST_PIECE, PIECE = 16, 64


class TextStream:
    """Continues texts with the network of a run.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network trained for autoregressive decoding.
        identities: dict from names to files that `mdnn adapt` made for the network.
    """

    def __init__(self, run, identities=None):
        self.tokenizer, self.names, tables = run.tokenizer, [""], None
        if identities:
            self.names += identities
            tables = identity_table(run, list(identities.values()))
        words = len(run.words)
        self.decoder = TextDecoder(
            run.model, PIECE, sampler="plain", words=words, identities=tables
        )

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
            Lists of str, the new characters of each text; `""` for a text without new characters.
        """
        window, filled = encode_prompts(self.tokenizer, prompts, self.decoder.positions)
        settings = {
            "seed": np.array(seeds, "int32"),
            "temperature": np.array(temperatures, "float32"),
            "top_k": np.zeros(len(prompts), "int32"),
            "top_p": np.ones(len(prompts), "float32"),
        }
        if self.decoder.identities is not None:
            named = identities or [""] * len(prompts)
            settings["identity"] = np.array([self.names.index(name) for name in named], "int32")
        groups = BatchGroups(self.decoder, window, filled, settings)
        left, count = list(lengths), FIRST_PIECE
        while any(left):
            pieces = [""] * len(prompts)
            for text, tokens in enumerate(groups.decode(count, left)):
                if left[text]:
                    ids = self.tokenizer.ids_from_tokens(pad_features(tokens))
                    pieces[text] = self.tokenizer.text(ids)[: left[text]]
                    left[text] -= len(pieces[text])
            count = PIECE
            yield pieces
