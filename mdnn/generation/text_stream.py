"""Texts continued side by side, piece by piece, as a server hands them on."""

import numpy as np

from mdnn.generation.batch_groups import BatchGroups
from mdnn.generation.text_decoder import TextDecoder
from mdnn.generation.windows import encode_prompts, pad_features

# Tokens of the first piece, which is to be there at once, and of later ones: streams that are
# written at the same time take turns piece by piece.
FIRST_PIECE, PIECE = 16, 64


class TextStream:
    """Continues texts with a run's network.

    Args:
        run: `mdnn.runs.run_folder.Run` of a network of texts that decodes autoregressively.
    """

    def __init__(self, run):
        self.tokenizer = run.tokenizer
        self.decoder = TextDecoder(run.model, PIECE, sampler="plain", words=len(run.words))

    def write(self, prompts, lengths, temperatures, seeds):
        """Continues texts.

        Each text is what `mdnn.generate` writes for the same prompt, temperature and seed.

        Args:
            prompts: list of strings.
            lengths: list of ints, characters to write.
            temperatures: list of floats.
            seeds: list of ints.

        Yields:
            Lists with the characters by which each text grew, `""` where it did not.
        """
        window, filled = encode_prompts(self.tokenizer, prompts, self.decoder.positions)
        settings = {
            "seed": np.array(seeds, "int32"),
            "temperature": np.array(temperatures, "float32"),
            "top_k": np.zeros(len(prompts), "int32"),
            "top_p": np.ones(len(prompts), "float32"),
        }
        groups = BatchGroups(self.decoder, window, filled, settings)
        left, count = list(lengths), FIRST_PIECE
        while any(left):
            pieces = [""] * len(prompts)
            for text, tokens in enumerate(groups.decode(count, left)):
                if left[text]:
                    units = self.tokenizer.units_from_tokens(pad_features(tokens))
                    pieces[text] = self.tokenizer.text(units)[: left[text]]
                    left[text] -= len(pieces[text])
            count = PIECE
            yield pieces
