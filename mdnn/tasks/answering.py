"""Defines the generation interface of a task, with defaults that generate nothing."""

from mdnn.errors import MdnnError
from mdnn.tokens.items import Item


class Answering:
    """Generates answers to prompts.

    Used by `mdnn.generate`, `mdnn generate`, the samples during training, and export.

    Attributes:
        streams_text: class attribute, bool, whether `generate` returns a text and passes its
            pieces to `stream`.
        exported_as: class attribute, the class that exports the task's networks and defines their
            signatures: `mdnn.serving.export.exported_network.ExportedNetwork` or a subclass, or
            `"module:class"`, which is imported at the first use; `None`: no export.
    """

    streams_text = False
    exported_as = "mdnn.serving.export.exported_network:ExportedNetwork"

    def generate(self, run, prompt, options, stream=None, progress=None):
        """Answers a prompt with a network; see `mdnn.generate`.

        Args:
            run: `mdnn.runs.run_folder.Run`.
            prompt: the prompt, in a form that the task defines.
            options: validated `mdnn.generation.options.GenerationOptions`; a task refuses options
                that have no effect on it (`options.refuse`).
            stream: function called with each piece of the answer, or `None`.
            progress: function called with the completed fraction, 0 to 1, by tasks whose prompts
                may take long to read; or `None`.

        Returns:
            The answer, in a form that the task defines.

        Raises:
            MdnnError: a task that generates nothing, or an invalid prompt.
        """
        raise MdnnError(f"a network of {self.config.context.layout} generates nothing")

    def read_prompt(self, run, values, convert=False):
        """Returns the prompt given on a command line, by default a str or a list of str.

        Args:
            run: `mdnn.runs.run_folder.Run`.
            values: list of `(option, value)` pairs; options are `"--prompt"` and `"--item"`.
            convert: bool, whether to allow lossy conversion of files.
        """
        texts = [value for option, value in values if option == "--prompt"]
        if len(texts) < len(values):
            raise MdnnError("this network takes no files: expected --prompt")
        return texts[0] if len(texts) == 1 else texts

    def answer_kinds(self, options):
        """Returns the kinds of the items that options request, a list of str.

        `None` if the network chooses the kinds.

        Args:
            options: `mdnn.generation.options.GenerationOptions`.
        """
        return ["text"]

    def answer_items(self, answer, options):
        """Converts an answer into a list of `Item`s.

        By default one text; a list becomes one text with a line for each element.

        Args:
            answer: the return value of `generate`.
            options: the options passed to `generate`.
        """
        return [Item("text", answer if isinstance(answer, str) else "\n".join(map(str, answer)))]

    def example_prompts(self, count=3):
        """Returns example prompts for the network, a list of str; empty by default.

        Args:
            count: int, maximum number of prompts.
        """
        return []

    def sample(self, run, step, title, say):
        """Writes a sample answer into `samples/` of a run folder during training.

        The default does nothing.

        Args:
            run: `mdnn.runs.run_folder.Run` with its network set.
            step: int, number of the training step, for the file name.
            title: str, describes the time of the sample.
            say: function called with a text to show.
        """
