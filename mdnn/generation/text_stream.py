"""Continues several texts piece by piece, for streaming from a server."""

import numpy as np

from mdnn.generation.engines import text_engine
from mdnn.generation.windows import encode_prompts, pad_features

# Numbers of tokens in the first piece, small for low latency, and in later pieces. Concurrent
# streams alternate after each piece.
FIRST_PIECE, PIECE = 16, 64


class TextStream:
    """Continues texts with the network of a run.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network trained for autoregressive decoding.
        engine: see `mdnn.generation.engines.text_engine`.
    """

    def __init__(self, run, engine="auto"):
        self.tokenizer = run.tokenizer
        self.engine = text_engine(run, engine, chunk=PIECE)

    def write(self, prompts, lengths, temperatures, seeds):
        """Continues texts.

        Each result equals that of `mdnn.generate` for the same prompt, temperature and seed.

        Args:
            prompts: list of str.
            lengths: list of int, numbers of characters to generate.
            temperatures: list of float.
            seeds: list of int.

        Yields:
            Lists of str, the new characters of each text; `""` for a text without new characters.
        """
        window, filled = encode_prompts(self.tokenizer, prompts, self.engine.positions)
        settings = {
            "seed": np.array(seeds, "int32"),
            "temperature": np.array(temperatures, "float32"),
            "top_k": np.zeros(len(prompts), "int32"),
            "top_p": np.ones(len(prompts), "float32"),
        }
        groups = self.engine.start(window, filled, settings)
        left, count = list(lengths), min(FIRST_PIECE, self.engine.chunk)
        while any(left):
            pieces = [""] * len(prompts)
            for text, tokens in enumerate(groups.decode(count, left)):
                if left[text]:
                    ids = self.tokenizer.ids_from_tokens(pad_features(tokens))
                    pieces[text] = self.tokenizer.text(ids)[: left[text]]
                    left[text] -= len(pieces[text])
            count = min(PIECE, self.engine.chunk)
            yield pieces
