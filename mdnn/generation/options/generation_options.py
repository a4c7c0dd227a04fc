"""Defines the options of `mdnn.generate`."""

import dataclasses

from mdnn.errors import MdnnError, did_you_mean
from mdnn.generation.options.option_checks import check_options
from mdnn.generation.options.option_words import DECODINGS
from mdnn.generation.options.presets import DEFAULTS, PRESETS, SamplingSettings
from mdnn.generation.options.token_offsets import bias_of

DEFAULT_LENGTH = 400
"""Default number of characters of a generated text."""


def _option(group, text, default=None, **about):
    """Builds a dataclass field with metadata for `mdnn generate --help`.

    Args:
        group: str, group of options; `None`: not an option of the command line.
        text: str, the help text.
        default: default value.
        **about: other keyword arguments of the command-line option, such as `type`.
    """
    return dataclasses.field(default=default, metadata={"group": group, "help": text, **about})


@dataclasses.dataclass(frozen=True)
class GenerationOptions:
    """Validated options of `mdnn.generate`; `None`: the default of the task or preset.

    Args:
        output: output specification for networks with several kinds of items: `"text"`, `"text 5"`
            (characters), `"grey 8x8"`, `"image 16x16"` (height, width), `"audio"`, `"audio 800"`
            (samples), `"spectrum 32x32"` (moments, bands), `"video 4x8x8"`, `"grey_video 4x8x8"`;
            or a list of these, generated in order. If the size is omitted, a picture, video or
            spectrum has the size of the training items, and the network chooses the length of a
            text or of samples (a network of `spectrum` takes `"audio"` for it). `None`: the network
            chooses the kinds of items.
        length: int. Texts: number of characters to generate (400). Items: maximum number of tokens
            of a text or sound of unspecified length (that of the longest training item).
        stop: str or list of str; the generated text ends before the first of these.
        regex: str; the generated text matches this regular expression from beginning to end
            (`mdnn.constraints.regular_expressions.parse_regex`).
        schema: dict or JSON text; the generated text is JSON of this JSON schema
            (`mdnn.constraints.json_schemas.schema_expression`).
        decoding: `"autoregressive"`, one token after another; `"parallel"`, all tokens at once;
            `"masked_diffusion"`, over several denoising steps, the most confident tokens first.
            `None`: the first of these that the network was trained for.
        preset: `"factual"`, `"creative"` or `"reasoning"`: sets the five options below.
        temperature: float, 0 to 100, divides the logits; 0: greedy decoding.
        top_k: int, sample only from the k likeliest classes; 0: all. A token is decoded in several
            steps (plane, row and cell of a code point); `top_k` and `top_p` apply to each of them.
        top_p: float, sample only from the likeliest classes with this total probability; 1: all.
        steps: int, number of refeed steps.
        num_denoising_steps: int, number of denoising steps of masked diffusion.
        revise: int, with `"parallel"` and `"masked_diffusion"`: after that, the number of the
            least certain tokens of each item that are decided again, one after another, each given
            everything else that was written.
        guidance_scale: float, 0 to 100, items only: multiplies the distance of the
            log-probabilities from those given the negative prompts
            (`mdnn.generation.sampling.guided`).
        negative_prompt: an item, or a list of prompts, each an item or a list of items, such as all
            words that the answer should not be; needed with another `guidance_scale` than 1.
        engine: `"native"`, the native library; `"keras"`; or `"auto"`, the faster one that is there
            and runs the network. These write the same texts. `"native-int8"`: the library with
            inputs of products rounded to 8 bits, faster for weights of 8 and 4 bits.
        seed: 32-bit integer, or for several prompts a list with one seed per prompt.
        batch_size: int, maximum number of prompts per batch; it does not affect the answers.
        presence_penalty, frequency_penalty: float, -2 to 2, texts only: subtracted from the
            log-probability of each token that the generated text contains: once, and as often as it
            does.
        logit_bias: dict from token ids (`mdnn.generation.options.token_offsets.token_biases`) to
            what is added to their log-probability, -100 to 100, texts only.
        logprobs: int, 0 to 20, texts only: the text is a
            `mdnn.generation.completions.completion.ScoredText` with the log-probability of each
            token and of this number of the likeliest tokens beside it.
        num_starts: int, puzzles only: number of random initial states; the state with the smallest
            change in the last step gives the answer.
        adaptive: bool, puzzles only: whether the halting head may end the refeed steps early.

    Raises:
        MdnnError: a value out of range, or an unknown decoding or preset.
    """

    output: object = _option(
        "items",
        "kind of the answer: text, 'text 5', 'grey 8x8', 'image 16x16', audio, 'audio 800', "
        "'spectrum 32x32', 'video 4x8x8'; may be repeated (default: the network decides)",
        action="append",
        metavar="KIND",
    )
    length: int | None = _option(
        "answer",
        f"number of characters ({DEFAULT_LENGTH}), or the largest number of tokens of an item",
        type=int,
    )
    stop: object = _option(
        "texts", "end the answer before TEXT (may be repeated)", action="append", metavar="TEXT"
    )
    regex: str | None = _option(
        "texts", "write a text that matches this regular expression", metavar="REGEX"
    )
    schema: object = _option("texts", "write JSON of this JSON schema", metavar="JSON")
    logprobs: int | None = _option(
        "texts",
        "report the log-probability of each token and of the N likeliest alternatives, 0 to 20",
        type=int,
    )
    decoding: str | None = _option(
        "decoding",
        "autoregressive: one token after another; parallel: all at once; masked_diffusion: over "
        "several denoising steps, the most confident first (default: the first that was trained)",
        metavar="MODE",
    )
    num_denoising_steps: int | None = _option(
        "decoding",
        f"number of denoising steps of masked_diffusion ({DEFAULTS.num_denoising_steps})",
        type=int,
    )
    revise: int = _option(
        "decoding",
        "decide the N least certain tokens again, each given all the others; with parallel and "
        "masked_diffusion (0)",
        0,
        type=int,
    )
    guidance_scale: float = _option(
        "items",
        "above 1: move the answer away from what the negative prompts make likely (1: no guidance)",
        1.0,
        type=float,
    )
    negative_prompt: object = _option(
        "items",
        "a text that the answer should not resemble (may be repeated)",
        action="append",
        metavar="TEXT",
    )
    steps: int | None = _option(
        "network", "run the network N times on its own output (as in training)", type=int
    )
    engine: str = _option(
        "texts",
        "native (see mdnn build-native), native-int8 (rounds activations: faster, other texts), "
        "keras, or auto: the fastest exact one available (auto)",
        "auto",
        metavar="NAME",
    )
    preset: str | None = _option("sampling", "factual, creative or reasoning", metavar="NAME")
    temperature: float | None = _option(
        "sampling", f"0: greedy; higher: more random ({DEFAULTS.temperature})", type=float
    )
    top_k: int | None = _option("sampling", "sample from the N likeliest tokens (0: all)", type=int)
    top_p: float | None = _option(
        "sampling",
        "sample from the likeliest tokens whose probabilities add up to N (1: all)",
        type=float,
    )
    presence_penalty: float = _option(
        "texts",
        "subtract N from the score of each token in the answer so far, -2 to 2 (0)",
        0.0,
        type=float,
    )
    frequency_penalty: float = _option(
        "texts", "the same for each time that the token is there, -2 to 2 (0)", 0.0, type=float
    )
    logit_bias: object = _option(
        "texts",
        "add BIAS (-100 to 100) to the score of token NUMBER; for characters, its code point: "
        "101=-100 (may be repeated)",
        action="append",
        type=bias_of,
        metavar="NUMBER=BIAS",
    )
    seed: object = _option("sampling", "seed of the random choices (0)", 0, type=int)
    batch_size: int = _option(None, "", 32)
    num_starts: int = _option(
        "puzzles",
        "try N random initial states; the one whose state changes least gives the answer (1)",
        1,
        type=int,
    )
    adaptive: bool = _option(
        "puzzles", "run until the halting head stops it", False, action="store_true"
    )

    def __post_init__(self):
        check_options(self)

    @property
    def stop_texts(self):
        """The stop texts, a list."""
        if self.stop is None:
            return []
        return list(self.stop) if isinstance(self.stop, (list, tuple)) else [self.stop]

    @property
    def negative_prompts(self):
        """The negative prompts, a list."""
        if self.negative_prompt is None:
            return []
        several = isinstance(self.negative_prompt, (list, tuple))
        return list(self.negative_prompt) if several else [self.negative_prompt]

    @property
    def settings(self):
        """The `SamplingSettings` for a network without refeed steps; see `settings_for`."""
        return self.settings_for(1)

    def settings_for(self, trained_steps, adaptive=False):
        """Returns the `SamplingSettings`; individual options override the values of the preset.

        Args:
            trained_steps: int, `mdnn.config.refeed_rules.trained_steps` of the config. With 1, the
                step factor of a preset is ignored.
            adaptive: bool, whether each position takes its own number of steps; then the option
                `steps` makes it the same for all, even if it is the trained number.
        """
        preset = PRESETS.get(self.preset, DEFAULTS)

        def value(name):
            own = getattr(self, name)
            return getattr(preset, name) if own is None else own

        steps = self.steps
        if steps is None and trained_steps > 1:
            steps = preset.step_factor * trained_steps
        same = steps in (None, trained_steps) and not (adaptive and self.steps is not None)
        return SamplingSettings(
            float(value("temperature")),
            int(value("top_k")),
            float(value("top_p")),
            int(value("num_denoising_steps")),
            None if same else int(steps),
            int(self.revise),
            float(self.guidance_scale),
        )

    def decoding_of(self, objectives):
        """Returns the decoding mode; without a choice, the network's default mode.

        Args:
            objectives: `[train.objectives]` of the config.

        Raises:
            MdnnError: the network was not trained for the chosen mode.
        """
        trained = [name for name in DECODINGS if getattr(objectives, name)]
        if self.decoding is None:
            return trained[0]
        if self.decoding not in trained:
            raise MdnnError(
                f"decoding: this network was not trained for {self.decoding!r} "
                f"(train.objectives); it was for {', '.join(trained)}"
            )
        return self.decoding

    def refuse(self, names, models):
        """Refuses options that have no effect on a kind of network.

        Args:
            names: names of these options.
            models: str, the kind of network, for the error message.

        Raises:
            MdnnError: one of the options differs from its default.
        """
        for name in self.chosen(names):
            raise MdnnError(
                f"{name} has no effect on {models} models; remove it (got {getattr(self, name)!r})"
            )

    def chosen(self, names):
        """Returns those of the named options whose values differ from their defaults, a list."""
        chosen = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            # An array differs from None, but not by `!=`.
            other = value is not None if field.default is None else value != field.default
            if field.name in names and other:
                chosen.append(field.name)
        return chosen


def options_of(given):
    """Builds `GenerationOptions` from a dict of keyword arguments.

    Raises:
        MdnnError: an unknown name, or an invalid value.
    """
    known = [field.name for field in dataclasses.fields(GenerationOptions)]
    for name in given:
        if name not in known:
            raise MdnnError(
                f"unknown option {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}"
            )
    return GenerationOptions(**given)
