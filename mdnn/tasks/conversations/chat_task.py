"""Defines the task of conversations: an assistant learns to answer and to call tools."""

import dataclasses
import functools
import math

from mdnn.chat.chat_layout import ChatFormat, fit_for_answer
from mdnn.chat.format_files import write_chat_format
from mdnn.chat.messages import Message, parse_messages
from mdnn.config.built_in_tasks import CHAT_RULES
from mdnn.datasets.batches.chat_batches import ChatBatches
from mdnn.datasets.conversations.chat_examples import ChatExamples, lay_out, split_conversations
from mdnn.datasets.conversations.conversation_files import read_conversations
from mdnn.errors import MdnnError
from mdnn.files import write_text
from mdnn.generation.options import GenerationOptions
from mdnn.generation.text_decoding import generate_text
from mdnn.models.chunks.surprise_cut import measure_surprise
from mdnn.standard_streams import say
from mdnn.tasks.base import Task
from mdnn.tasks.conversations.chat_evaluator import ChatEvaluator
from mdnn.tasks.head_init import text_tokens
from mdnn.tasks.text_task import MEASURED_CHARACTERS, TextTask
from mdnn.tokens.text_tokenizers import text_tokenizer


class ChatTask(TextTask):
    """Trains on conversations, `context.layout = "chat"`.

    `data.source` is a file of JSON lines. The loss counts the assistant's turns alone. Evaluation
    data are `ChatExamples`.
    """

    rules = CHAT_RULES
    evaluation_options = ("calls", "grammar")
    absolute_source = staticmethod(Task.absolute_source)

    # === Data ===

    @functools.cached_property
    def chat_format(self):
        """The `mdnn.chat.chat_layout.ChatFormat` of `[chat]`."""
        chat = self.config.chat
        return ChatFormat(chat.template, chat.end, chat.call_start, chat.call_end)

    @functools.cached_property
    def splits(self):
        """The conversations in two parts, a `ConversationSplits`."""
        data, tokens = self.config.data, self.config.tokens
        splits = split_conversations(
            read_conversations(data.source),
            data.validation,
            self.chat_format,
            self.config.context.positions,
            text_tokenizer(tokens, self._words) if self._words else None,
            words=tokens.words,
            subwords=tokens.subwords,
            subword_kind=tokens.subword_kind,
        )
        if words := splits.train.dropped_words(data.source):
            say(f"mdnn: {words}")
        return splits

    @functools.cached_property
    def batches(self):
        config = self.config
        return ChatBatches(
            self.splits.train,
            self.tokenizer,
            config.context.positions,
            config.train.batch_size,
            config.seed,
            call_weight=config.chat.call_weight,
        )

    def open_source(self, source):
        return self._laid_out(read_conversations(source))

    def check_data(self, data):
        if isinstance(data, ChatExamples):
            return data
        if isinstance(data, list):
            return self._laid_out(data)
        raise MdnnError(
            "data: expected a list of Conversation or the result of open_source, received "
            f"{type(data).__name__}"
        )

    def _laid_out(self, conversations):
        positions = self.config.context.positions
        return lay_out(conversations, self.chat_format, self.tokenizer, positions)

    def head_tokens(self):
        train = self.splits.train
        return text_tokens(train.ids[train.trained], self.tokenizer)

    def measure_for(self, model):
        measure_surprise(model, self.tokenizer.tokens(self.splits.train.ids))

    @functools.cached_property
    def units_per_token(self):
        return float(self.tokenizer.lengths(self.splits.train.ids).mean())

    def write_about(self, path):
        write_chat_format(path, self.chat_format)

    # === Figures ===

    def evaluator(self, networks):
        return ChatEvaluator(networks, self.config, self.tokenizer, self.chat_format)

    def final_metrics(self, evaluator, limit, progress=None, say=None):
        # Slow metrics are left to `mdnn evaluate`.
        return evaluator.metrics(self.validation, progress, calls=0)

    def evaluate(self, model, data=None, step_counts=None, progress=None, **options):
        """Returns the metrics of a network; see `mdnn.evaluate`.

        Args:
            model, data, step_counts, progress: see `mdnn.tasks.base.Task.evaluate`.
            **options: `calls`, int, maximum number of calls to write and compare; `grammar`, bool,
                whether a grammar allows well-formed calls alone.
        """
        return Task.evaluate(self, model, data, step_counts, progress, **options)

    def format_metrics(self, metrics):
        lines = [
            f"{metrics['loss']:.4f} nats, {metrics['bits_per_character']:.4f} bits per character "
            "of the assistant's turns: each character is guessed as well as one of "
            f"{math.exp(metrics['loss']):.1f} equally likely ones ({metrics['characters']:,} "
            "characters)"
        ]
        if "calls" in metrics:
            lines.append(
                f"{metrics['calls']:,} calls are due; written greedily: "
                f"{metrics['calls_written']:.1%} ({metrics['calls_well_formed']:.1%} of these "
                "well-formed), "
                f"{metrics['calls_right']:.1%} with the right name and all arguments"
            )
        return lines

    def measured_writer(self, run, data):
        options = GenerationOptions(length=MEASURED_CHARACTERS)
        prompt = self.chat_format.lay_out([Message("user", "Hello")])
        return lambda: len(generate_text(run, prompt, options))

    # === Generation ===

    def generate(self, run, prompt, options, stream=None, progress=None):
        """Answers a conversation.

        Args:
            run: `mdnn.runs.run_folder.Run`.
            prompt: str, a user's message; or a list of messages as in OpenAI's API. The oldest
                turns of a conversation that is too long for the context are left out.
            options: `GenerationOptions`; the answer ends at the end of the assistant's turn.
            stream: function called with each piece of the answer, or `None`.
            progress: see `mdnn.tasks.answering.Answering.generate`.

        Returns:
            str: the assistant's turn, with calls as they are written.
        """
        if isinstance(prompt, str):
            prompt = [{"role": "user", "content": prompt}]
        return self._answer(run, parse_messages(prompt, "prompt"), (), options, stream, progress)

    def _answer(self, run, messages, tools, options, stream=None, progress=None):
        text, _ = fit_for_answer(
            self.chat_format,
            messages,
            tools,
            self.config.context.text_positions,
            lambda prompt: len(self.tokenizer.ids(prompt)),
        )
        stop = [self.chat_format.end, *options.stop_texts]
        return generate_text(run, text, dataclasses.replace(options, stop=stop), stream, progress)

    def example_prompts(self, count=3):
        """Returns the users' messages of some conversations, a list of str.

        Args:
            count: int, maximum number of prompts.
        """
        starts = [
            message.content
            for conversation in self.validation.conversations[:100]
            for message in conversation.messages[:2]
            if message.role == "user" and 0 < len(message.content) <= 80
        ]
        return list(dict.fromkeys(starts))[:count]

    def sample(self, run, step, title, say):
        train = self.config.train
        prompt = next(iter(self.example_prompts(1)), train.prompt or "Hello")
        # The tools of that conversation: networks learn calls from contexts that name them.
        tools = next(
            (
                conversation.tools
                for conversation in self.validation.conversations[:100]
                if prompt in [message.content for message in conversation.messages[:2]]
            ),
            (),
        )
        options = GenerationOptions(length=train.sample)
        answer = self._answer(run, [Message("user", prompt)], tools, options)
        folder = run.path / "samples"
        folder.mkdir(exist_ok=True)
        text = f"user: {prompt}\nassistant: {answer}"
        write_text(folder / f"step-{step:07d}.txt", text + "\n")
        say(f"{title}:\n{text}\n")
