"""What a task answers, with the defaults of a task that answers nothing."""

from mdnn.errors import MdnnError
from mdnn.tokens.items import Item


class Answering:
    """Answers prompts: `mdnn.generate`, `mdnn generate`, samples while training, and export.

    Attributes:
        streams_text: class attribute, whether `generate` answers with a text and hands its pieces
            to `stream`.
        exported_as: class attribute, the class that exports networks and has their signatures:
            `mdnn.serving.export.exported_network.ExportedNetwork` or a subclass, or
            `"module:class"`, which is imported at the first use; `None`: they are not exported.
    """

    streams_text = False
    exported_as = "mdnn.serving.export.exported_network:ExportedNetwork"

    def generate(self, run, prompt, options, stream=None):
        """Answers a prompt with a network; see `mdnn.generate`.

        Args:
            run: `mdnn.runs.run_folder.Run`.
            prompt: what the task's networks answer.
            options: `mdnn.generation.options.GenerationOptions`, whose values are within their
                limits; a task refuses those that have no effect (`options.refuse`).
            stream: function called with pieces of the answer, or `None`.

        Returns:
            The answer.

        Raises:
            MdnnError: a task that generates nothing, a prompt that cannot be answered.
        """
        raise MdnnError(f"a network of {self.config.context.layout} generates nothing")

    def read_prompt(self, run, values, convert=False):
        """Returns the prompt of a command line, by default a text or a list of texts.

        Args:
            run: `mdnn.runs.run_folder.Run`.
            values: list of pairs of an option, `"--prompt"` or `"--item"`, and its value.
            convert: whether files are converted where that loses something.
        """
        texts = [value for option, value in values if option == "--prompt"]
        if len(texts) < len(values):
            raise MdnnError("this network takes no files: expected --prompt")
        return texts[0] if len(texts) == 1 else texts

    def answer_kinds(self, options):
        """Returns the kinds of the items that options request, `None` where the network chooses.

        Args:
            options: `mdnn.generation.options.GenerationOptions`.
        """
        return ["text"]

    def answer_items(self, answer, options):
        """Returns an answer as a list of `Item`s, by default one text, or a text of lines.

        Args:
            answer: what `generate` returned.
            options: those that it was given.
        """
        return [Item("text", answer if isinstance(answer, str) else "\n".join(map(str, answer)))]

    def example_prompts(self, count=3):
        """Returns prompts that the network may be tried with, a list of strings; none by default.

        Args:
            count: int, the number of prompts at most.
        """
        return []

    def sample(self, run, step, title, say):
        """Lets a network answer something into `samples/` of its run folder while it trains.

        Args:
            run: `mdnn.runs.run_folder.Run`, with the network at hand.
            step: integer, for the file's name.
            title: text that says when this is.
            say: function that shows a text.
        """
