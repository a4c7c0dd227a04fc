"""Streams of texts of a SavedModel.

The server streams texts of any network that comes with a generator function

    write(prompts, lengths, temperatures, seeds)

of four lists: prompts (str), characters to write, temperatures and seeds. It yields lists with the
characters by which each answer grew, "" where it did not, None from where the network has ended it,
and ends when each has its length or its end. What
is written is what `mdnn.generate` writes for the same prompt, temperature and seed. The one of a
run folder is `mdnn.generation.text_stream.TextStream.write`.
"""

import numpy as np

from mdnn.serving.server.served_model import size

# Characters of the first piece, which is to be there at once.
FIRST_PIECE = 16


class SavedTexts:
    """Streams texts of a SavedModel, whose signature `generate` answers whole texts only.

    The same prompt and seed give the same text, however long it is: it is requested again and
    again, each time twice as long, which takes twice the time of one request.

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
        told, asked = [0] * rows, FIRST_PIECE
        while True:
            inputs["length"] = np.minimum(np.array(lengths, "int32"), asked)
            found = self.call({name: array[rows_of_all] for name, array in inputs.items()})
            texts = [text.decode("utf-8") for text in found["text"][:rows]]
            yield [text[done:] for text, done in zip(texts, told, strict=True)]
            if asked >= max(lengths):
                return
            told, asked = [len(text) for text in texts], 2 * asked
