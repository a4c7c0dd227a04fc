"""Texts that are written piece by piece, several prompts at once.

The one thing that the server asks of a network of texts is a generator function

    write(prompts, lengths, temperatures, seeds)

of four lists: prompts (str), characters to write, temperatures and seeds. It yields lists with the
characters by which each answer grew, "" where it did not, and ends when each has its length. What
is written is what `mdnn.generate` writes for the same prompt, temperature and seed.
"""

import numpy as np

from mdnn.generation.batch_groups import Together
from mdnn.generation.stream import StreamWriter
from mdnn.generation.writer import start_window, token_rows
from mdnn.serving.server.served_model import size

# Characters of a first step, which is to be there at once, and of a later one: batches that are
# under way take turns step by step.
FIRST, STEP = 16, 64


class RunTexts:
    """Texts by the network of a run folder.

    Args:
        run: `mdnn.runs.run_folder.Run`.
    """

    def __init__(self, run):
        self.tokenizer = run.tokenizer
        self.writer = StreamWriter(run.model, STEP, sampler="plain", words=len(run.words))

    def write(self, prompts, lengths, temperatures, seeds):
        """Yields the characters by which each answer grew; see this module."""
        window, filled = start_window(self.tokenizer, prompts, self.writer.positions)
        settings = {
            "seed": np.array(seeds, "int32"),
            "temperature": np.array(temperatures, "float32"),
            "top_k": np.zeros(len(prompts), "int32"),
            "top_p": np.ones(len(prompts), "float32"),
        }
        together = Together(self.writer, window, filled, settings)
        left, count = list(lengths), FIRST
        while any(left):
            new = [""] * len(prompts)
            for row, units in enumerate(together.write(count, left)):
                if left[row]:
                    found = self.tokenizer.text(self.tokenizer.units_from_tokens(token_rows(units)))
                    new[row] = found[: left[row]]
                    left[row] -= len(new[row])
            count = STEP
            yield new


class SavedTexts:
    """Texts by a SavedModel's signature `generate`, which answers whole texts only.

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
