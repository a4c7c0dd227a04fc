"""The generating side of the tasks."""

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.tokens.items import Item


class TextGeneration:
    """Continues a text.

    Args:
        config: the config of the network.

    Attributes:
        streams_text: whether the answer is a text that is handed on while it is written.
        exported_as: the class that exports a network, a subclass of
            `mdnn.serving.export.exported_network.ExportedNetwork`, or `"module:class"`; `None` for
            none.
    """

    streams_text = True
    exported_as = "mdnn.serving.export.text_signature:ExportedTexts"

    def __init__(self, config):
        self.config = config

    def generate(self, run, prompt, options, stream=None):
        """Answers a prompt; see `mdnn.generate`.

        Args:
            run: the `Run`.
            prompt: str.
            options: `mdnn.generation.options.GenerationOptions`.
            stream: function called with each piece of the answer, or `None`.
        """
        from mdnn.generation.text_decoding import generate_text

        return generate_text(run, prompt, options, stream)

    def read_prompt(self, run, values, convert=False):
        """Returns the prompt of a command line.

        Args:
            run: the `Run`.
            values: list of pairs of an option, `"--prompt"` or `"--item"`, and its value.
            convert: whether files are converted where that loses something.
        """
        if len(values) > 1 or values[0][0] != "--prompt":
            raise MdnnError("this network continues one text: expected one --prompt")
        return values[0][1]

    def answer_kinds(self, options):
        """Returns the kinds of the items that options ask for, `None` where the network chooses.

        Args:
            options: `mdnn.generation.options.GenerationOptions`.
        """
        from mdnn.generation.text_decoding import text_length

        text_length(options)
        return ["text"]

    def answer_items(self, answer, options):
        """Returns an answer as a list of `Item`s.

        Args:
            answer: what `generate` returned.
            options: those that it was given.
        """
        return [Item("text", answer)]


class ItemGeneration(TextGeneration):
    """Answers items with items."""

    streams_text = False
    exported_as = "mdnn.serving.export.item_signatures:ExportedItems"

    def generate(self, run, prompt, options, stream=None):
        from mdnn.generation.item_generation import generate_items

        return generate_items(run, prompt, options, stream)

    def read_prompt(self, run, values, convert=False):
        from mdnn.generation.item_generation import read_prompt_file

        return [
            read_prompt_file(run, as_path(value, option), convert) if option == "--item" else value
            for option, value in values
        ]

    def answer_kinds(self, options):
        specs = self._specs(options)
        return None if specs is None else [spec.kind for spec in specs]

    def answer_items(self, answer, options):
        specs = self._specs(options)
        if specs is None:
            return answer
        return [Item(spec.kind, value) for spec, value in zip(specs, answer, strict=True)]

    def _specs(self, options):
        from mdnn.generation.output_spec import parse_output

        return parse_output(options.output, self.config.tokens.modalities)


class PuzzleGeneration(TextGeneration):
    """Solves puzzles."""

    streams_text = False
    exported_as = None

    def generate(self, run, prompt, options, stream=None):
        from mdnn.generation.puzzle_solving import solve_puzzles

        return solve_puzzles(run, prompt, options, stream)

    def read_prompt(self, run, values, convert=False):
        """Returns a list of puzzles: every line of a file is one."""
        from mdnn.files import read_text

        puzzles = []
        for option, value in values:
            if option == "--prompt":
                # A shell hands two lines on as they are, or written as \\n.
                puzzles.append(value.replace("\\n", "\n"))
            else:
                puzzles += [
                    line for line in read_text(as_path(value, option), 1 << 20).splitlines() if line
                ]
        return puzzles

    def answer_kinds(self, options):
        return ["text"]

    def answer_items(self, answer, options):
        return [Item("text", "\n".join(answer))]


GENERATION = {"stream": TextGeneration, "items": ItemGeneration, "puzzle": PuzzleGeneration}


def generation_of(run):
    """Returns the generating side of a run's task."""
    return GENERATION[run.config.context.layout](run.config)
