"""Streams of texts: several prompts continued at once, piece by piece.

The server streams texts of any network that comes with a generator function

    write(prompts, lengths, temperatures, seeds)

of four lists: prompts (str), characters to write, temperatures and seeds. It yields lists with the
characters by which each answer grew, "" where it did not, and ends when each has its length. What
is written is what `mdnn.generate` writes for the same prompt, temperature and seed.
"""

import numpy as np

from mdnn.generation.batch_groups import BatchGroups
from mdnn.generation.text_decoder import TextDecoder
from mdnn.generation.windows import encode_prompts, pad_features
from mdnn.serving.server.served_model import size

# Characters of a first step, which is to be there at once, and of a later one: batches that are
# under way take turns step by step.
FIRST, STEP = 16, 64


class RunTexts:
    """Streams texts of a run's network.

    Args:
        run: `mdnn.runs.run_folder.Run`.
    """

    def __init__(self, run):
        self.tokenizer = run.tokenizer
        self.decoder = TextDecoder(run.model, STEP, sampler="plain", words=len(run.words))

    def write(self, prompts, lengths, temperatures, seeds):
        """Yields the characters by which each answer grew; see this module."""
        window, filled = encode_prompts(self.tokenizer, prompts, self.decoder.positions)
        settings = {
            "seed": np.array(seeds, "int32"),
            "temperature": np.array(temperatures, "float32"),
            "top_k": np.zeros(len(prompts), "int32"),
            "top_p": np.ones(len(prompts), "float32"),
        }
        groups = BatchGroups(self.decoder, window, filled, settings)
        left, count = list(lengths), FIRST
        while any(left):
            new = [""] * len(prompts)
            for row, units in enumerate(groups.decode(count, left)):
                if left[row]:
                    found = self.tokenizer.text(
                        self.tokenizer.units_from_tokens(pad_features(units))
                    )
                    new[row] = found[: left[row]]
                    left[row] -= len(new[row])
            count = STEP
            yield new


class SavedTexts:
    """Streams texts of a SavedModel, whose signature `generate` answers whole texts only.

    The same prompt and seed give the same text, however long it is to be: it is asked for again
    and again, each time for twice as much, which takes twice the time of asking once.

    Args:
        call: function of a dict of the signature's inputs that gives the dict of its outputs.
    """

    def __init__(self, call):
        self.call = call

    def write(self, prompts, lengths, temperatures, seeds):
        """Yields the characters by which each answer grew; see this module."""
        rows = len(prompts)
        # The first row once more, again and again, up to a size that is compiled.
        rows_of_all = [*range(rows), *[0] * (size(rows) - rows)]
        inputs = {
            "prompt": np.array([prompt.encode("utf-8") for prompt in prompts], object),
            "temperature": np.array(temperatures, "float32"),
            "seed": np.array(seeds, "int32"),
        }
        told, asked = [0] * rows, FIRST
        while True:
            inputs["length"] = np.minimum(np.array(lengths, "int32"), asked)
            found = self.call({name: array[rows_of_all] for name, array in inputs.items()})
            texts = [text.decode("utf-8") for text in found["text"][:rows]]
            yield [text[done:] for text, done in zip(texts, told, strict=True)]
            if asked >= max(lengths):
                return
            told, asked = [len(text) for text in texts], 2 * asked
