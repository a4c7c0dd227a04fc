"""What `mdnn.generate` can be told beside the prompt."""

import dataclasses
import numbers

from mdnn.errors import MdnnError, did_you_mean

DECODINGS = ("autoregressive", "parallel", "masked_diffusion")
"""The ways to decode an answer, in the order in which a network's default is chosen."""

DEFAULT_LENGTH = 400
"""Characters by which a text is continued."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """What a preset stands for; each value can be set alone instead.

    Args:
        temperature: 0 for the likeliest class each time; below 1 more careful, above 1 more
            daring than the network's own probabilities.
        top_k: sample among the k likeliest classes only; 0 for all.
        top_p: sample among the likeliest classes that together have this probability; 1 for all.
        step_factor: multiplies the config's refeeding steps, for a network that is refed.
        num_denoising_steps: passes of masked diffusion, over which the masks become fewer.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    step_factor: int = 1
    num_denoising_steps: int = 16


DEFAULTS = Preset()
"""What holds where no preset is named."""

PRESETS = {
    # The likeliest class each time: the same answer whatever the seed.
    "factual": Preset(temperature=0.0),
    # The network's probabilities without the unlikeliest twentieth: each seed another answer.
    "creative": Preset(temperature=1.0, top_p=0.95),
    # The likeliest class after twice the steps, and four times as many denoising steps.
    "reasoning": Preset(temperature=0.0, step_factor=2, num_denoising_steps=64),
}


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    """How tokens are sampled: a preset with what was set alone.

    Args:
        temperature, top_k, top_p, num_denoising_steps: see `Preset`.
        steps: int, how often the network is run on its own output; `None`: as trained.
    """

    temperature: float
    top_k: int
    top_p: float
    num_denoising_steps: int
    steps: int | None = None

    @property
    def sampler(self):
        """The cheapest of `mdnn.generation.sampling.SAMPLERS` that does it."""
        if self.temperature == 0:
            return "greedy"
        return "filtered" if self.top_k or self.top_p < 1 else "plain"


def _option(group, text, default=None, **about):
    """A field with what `mdnn generate --help` says of it: its group, text and type."""
    return dataclasses.field(default=default, metadata={"group": group, "help": text, **about})


@dataclasses.dataclass(frozen=True)
class GenerationOptions:
    """The options of `mdnn.generate`, checked; `None` stands for the task's or preset's own value.

    Args:
        output: what comes back, for networks of several kinds of items: `"text"`, `"text 5"`
            (characters), `"grey 8x8"`, `"image 16x16"` (height, width), `"audio"`, `"audio 800"`
            (samples), `"video 4x8x8"`, `"grey_video 4x8x8"`; or a list of those, answered one
            after another. A size that is left out is the one of training, or, of a text or sound,
            the network's choice. `None`: the network chooses what comes back.
        length: characters by which a text is continued (400); of items, the most tokens of a text
            or sound without a size (as many as the longest one of training).
        stop: a text, or a list of texts, before the first of which a text that is continued ends.
        decoding: `"autoregressive"`, one token after another; `"parallel"`, all in one pass;
            `"masked_diffusion"`, over several passes, the most confident tokens first. `None`:
            the first of these that the network was trained for.
        preset: `"factual"`, `"creative"` or `"reasoning"`: values of the five options below.
        temperature: 0 for the likeliest class each time; above 1 more daring.
        top_k: sample among the k likeliest only; 0 for all. A token is decoded in several steps
            (plane, row and cell of a code point); this and `top_p` hold for each of them.
        top_p: sample among the likeliest that together have this probability only.
        steps: how often the network is run on its own output.
        num_denoising_steps: passes of masked diffusion.
        seed: 32-bit integer; for several prompts perhaps a list with one for each.
        batch_size: prompts that are answered together; it changes no answer.
        num_starts: of puzzles, random states to begin in; the answer is that of the state which
            the last step moves least.
        adaptive: of puzzles, whether the halting head says when to stop.

    Raises:
        MdnnError: a value beyond its limits, an unknown decoding or preset.
    """

    output: object = _option(
        "output",
        "what comes back: text, 'text 5', 'grey 8x8', 'image 16x16', audio, 'audio 800', "
        "'video 4x8x8'; several times for several (default: the network decides)",
        action="append",
    )
    length: int | None = _option(
        "output", f"characters ({DEFAULT_LENGTH}), or the most tokens of an item", type=int
    )
    stop: object = _option(
        "output", "end the text before this one (several times for several)", action="append"
    )
    decoding: str | None = _option(
        "decoding",
        "autoregressive: one token after another; parallel: all at once; masked_diffusion: over "
        "several passes, the most confident first (default: the first that was trained)",
    )
    num_denoising_steps: int | None = _option(
        "decoding", f"passes of masked_diffusion ({DEFAULTS.num_denoising_steps})", type=int
    )
    steps: int | None = _option(
        "decoding", "runs of the network on its own output (as in training)", type=int
    )
    preset: str | None = _option("sampling", "factual, creative or reasoning")
    temperature: float | None = _option(
        "sampling", f"0: greedy; higher: more daring ({DEFAULTS.temperature})", type=float
    )
    top_k: int | None = _option("sampling", "among the k likeliest (0: all)", type=int)
    top_p: float | None = _option(
        "sampling", "among the likeliest of this probability (1: all)", type=float
    )
    seed: object = _option("sampling", "another seed, another answer (0)", 0, type=int)
    batch_size: int = _option(None, "", 32)
    num_starts: int = _option(
        "puzzles", "random states to begin in; the steadiest answer wins (1)", 1, type=int
    )
    adaptive: bool = _option(
        "puzzles", "think until the halting head says stop", False, action="store_true"
    )

    def __post_init__(self):
        _check_word("decoding", self.decoding, DECODINGS)
        _check_word("preset", self.preset, PRESETS)
        for text in self.stop_texts:
            if not isinstance(text, str) or not text:
                raise MdnnError(f"stop: expected texts that are not empty, received {text!r}")
        _check_integer("length", self.length, 0, 10_000_000)
        _check_integer("batch_size", self.batch_size, 1, 65_536)
        _check_integer("num_starts", self.num_starts, 1, 1000)
        _check_integer("steps", self.steps, 1, 1_000_000)
        _check_integer("num_denoising_steps", self.num_denoising_steps, 1, 1_000_000)
        _check_integer("top_k", self.top_k, 0, 2**31 - 1)
        if not isinstance(self.adaptive, bool):
            raise MdnnError(f"adaptive: expected True or False, received {self.adaptive!r}")
        _check(self.temperature, numbers.Real, lambda t: 0 <= t <= 100, "temperature", "0 to 100")
        _check(self.top_p, numbers.Real, lambda p: 0 < p <= 1, "top_p", "a number above 0, up to 1")
        if not isinstance(self.seed, (list, tuple)):
            check_seed(self.seed)

    @property
    def stop_texts(self):
        """The stop texts, a list."""
        if self.stop is None:
            return []
        return list(self.stop) if isinstance(self.stop, (list, tuple)) else [self.stop]

    @property
    def settings(self):
        """The `SamplingSettings` of a network that is not refed; see `settings_for`."""
        return self.settings_for(1)

    def settings_for(self, trained_steps):
        """Returns the `SamplingSettings`: a value that is set alone wins over the preset's.

        Args:
            trained_steps: int, `refeed.steps` of the config. A network that was not refed in
                training is not refed by a preset.
        """
        preset = PRESETS.get(self.preset, DEFAULTS)

        def value(name):
            own = getattr(self, name)
            return getattr(preset, name) if own is None else own

        steps = self.steps
        if steps is None and trained_steps > 1:
            steps = preset.step_factor * trained_steps
        return SamplingSettings(
            float(value("temperature")),
            int(value("top_k")),
            float(value("top_p")),
            int(value("num_denoising_steps")),
            None if steps in (None, trained_steps) else int(steps),
        )

    def decoding_of(self, objectives):
        """Returns the decoding mode, the network's first one where none was chosen.

        Args:
            objectives: `[train.objectives]` of the config.

        Raises:
            MdnnError: a mode that the network was not trained for.
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
        """Refuses options that say nothing to a kind of network.

        Args:
            names: names of these options.
            models: string, the kind of network, for the error.

        Raises:
            MdnnError: one of them is set.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in names and value != field.default:
                raise MdnnError(
                    f"{field.name} has no effect on {models} models; remove it (got {value!r})"
                )


def options_of(given):
    """Returns the `GenerationOptions` of a dict of keyword arguments.

    Raises:
        MdnnError: an unknown name, or a value that is refused.
    """
    known = [field.name for field in dataclasses.fields(GenerationOptions)]
    for name in given:
        if name not in known:
            raise MdnnError(
                f"unknown option {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}"
            )
    return GenerationOptions(**given)


def check_seed(seed):
    """Returns a seed as an int; refuses one that is no 32-bit integer."""
    _check(seed, numbers.Integral, lambda s: -(2**31) <= s < 2**31, "seed", "a 32-bit whole number")
    if seed is None:
        raise MdnnError("seed: expected a 32-bit whole number, received None")
    return int(seed)


def _check_word(name, value, known):
    if value is not None and (not isinstance(value, str) or value not in known):
        raise MdnnError(
            f"{name}: unknown {value!r}{did_you_mean(value, known)}; known: {', '.join(known)}"
        )


def _check_integer(name, value, least, most):
    expected = f"a whole number from {least:,} to {most:,}"
    _check(value, numbers.Integral, lambda v: least <= v <= most, name, expected)


def _check(value, kind, fits, name, expected):
    """Refuses a value that is no number of a kind, of Python or numpy, or beyond its limits."""
    if value is None:
        return
    if not isinstance(value, kind) or isinstance(value, bool) or not fits(value):
        raise MdnnError(f"{name}: expected {expected}, received {value!r}")
