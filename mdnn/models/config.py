"""What a network and its training are made of: the config and its limits.

A config is a TOML file; nothing in it is run or imported. `load_config` reads it into a
`Config`, whose fields below are all the keys there are.
"""

import dataclasses
import math
import re
import tomllib
from pathlib import Path

from mdnn.errors import MdnnError
from mdnn.files import read_text
from mdnn.models.config_check import check
from mdnn.models.schema import dump, option, parse

NORMS = ("rms", "layer", "none")

MOST, DOTS = 1 << 20, 100
"""Bytes that a config file, and dots that a line of it may have: a dotted key takes tomllib time
and memory by the square of its parts, 40 GB for a file of 200 kB."""

_ONE_TEXT = re.compile(r'[ \t]*[\w.-]{1,200}[ \t]*=[ \t]*"(?:[^"\\]|\\.)*"[ \t]*')


@dataclasses.dataclass(frozen=True)
class Vary:
    """How much the items of a prompt are changed at random in training (layout "items")."""

    # Sounds: up to e^speed times faster or slower; down to e^-volume as loud; noise up to so
    # many steps of a 16-bit sample.
    speed: float = option(0.0, least=0.0, most=1.0)
    volume: float = option(0.0, least=0.0, most=10.0)
    noise: float = option(0.0, least=0.0, most=32_767.0)
    # Pictures: up to so many pixels up or down, left or right.
    shift: int = option(0, least=0, most=1024)


@dataclasses.dataclass(frozen=True)
class Data:
    """Where units come from, and what validates.

    A stream's source is `python-docs`, a path, or `tfds:NAME`, and its last part validates. A
    source of items is `digits`, a folder with a manifest, or `tfds:NAME`; a share of the items
    validates, chosen by `seed`. A source of puzzles is a task such as `sudoku-6x6`, `maze-9x9`,
    `prefix-sums-32` or `addition-20`, one of these and a file (`maze-9x9:FILE`), or a file of
    sudokus (`FILE.csv`); a share of all puzzles validates, chosen by their hashes alone.
    """

    source: str = "python-docs"
    validation: float = option(0.1, least=0.0, most=0.9)
    # Items of one manifest line in a context: "given": all, in their order; "any": all, in a
    # random order; "pairs": two of different kinds, in a random order. The last is the answer.
    order: str = option("given", choices=("given", "any", "pairs"))
    # Whether an item that does not fit its context is cut; otherwise it is an error.
    cut: bool = False
    # Fewest and most givens of a sudoku; empty: its size's own range.
    givens: tuple[int, ...] = option((), least=1)
    # The share of the walls that are opened once a maze's tree is there.
    loops: float = option(0.0, least=0.0, most=0.5)
    # Puzzles that are held out and tested on, at most.
    cases: int = option(1000, least=1)
    vary: Vary = option(factory=Vary)


@dataclasses.dataclass(frozen=True)
class Tokens:
    """How units become tokens and are embedded."""

    modalities: tuple[str, ...] = ("text",)
    # "full": the paper's own tables, 1,114,112 rows for text and 65,536 for sound; "bits": each
    # unit's bits as -1 and 1, neither table nor head.
    table: str = option("bytes", choices=("bytes", "full", "bits"))
    # "full": the paper's own heads, 1,114,112 classes for text and 65,536 for sound.
    heads: str = option("bytes", choices=("bytes", "full"))
    # "ordered": tables of pixels and sounds start as smooth functions of the byte.
    start: str = option("random", choices=("random", "ordered"))
    # Words of the training text that get a slot of their own (0: none), with letters added.
    words: int = option(0, least=0, most=65_536)
    letters: int = option(16, least=1, most=64)
    places: bool = False
    base: int = option(32, least=2, most=1024)
    digits: int = option(6, least=1, most=32)
    # Whether a table of item numbers is added to the embedding.
    items: bool = False
    # Whether the heads decide each unit's place, too, digit by digit.
    answer_places: bool = False
    # Puzzles: an axis of so many fields before the grid's, one for each symbol that can be put
    # into a slot, with vectors of its own; 0: none.
    fields: int = option(0, least=0, most=31)
    # Samples per second of sounds; others are resampled.
    rate: int = option(8000, least=100, most=192_000)


@dataclasses.dataclass(frozen=True)
class Context:
    """The grid of slots, slowest axis first."""

    grid: tuple[int, ...] = option((64,), least=1)
    # "random": items of random length behind a random run of padding, as in the paper.
    padding: str = option("none", choices=("none", "random"))
    # "stream": windows of a text; "items": whole items one after another, then an end; "puzzle":
    # the grid of a puzzle, each slot of which answers its own symbol.
    layout: str = option("stream", choices=("stream", "items", "puzzle"))
    # Every item begins at a multiple of so many slots (layout "items"). Where rows are folded, one
    # row: without a bias a row of padding hands nothing on, so that in turn the first row of an
    # answer behind it would not see what was asked.
    align: int = option(1, least=1)
    # Independent prompts side by side, each with a grid of its own: one more axis, the slowest,
    # which no mixer mixes unless its `axes` name it (0).
    prompts: int = option(1, least=1, most=65_536)

    @property
    def slots(self):
        """Slots of one prompt."""
        return math.prod(self.grid)


@dataclasses.dataclass(frozen=True)
class Mixer:
    """One way to mix axes. Axes: 1 is the slowest context axis, -1 the channels, 0 the prompts."""

    kind: str = option("dense", choices=("dense", "attention", "conv", "local", "mean"))
    # Empty: all context axes.
    axes: tuple[int, ...] = ()
    sharing: str = option("groups", choices=("groups", "shared", "separate", "tied"))
    # Channel groups with a kernel each, for sharing = "groups".
    groups: int = option(1, least=1)
    wiring: str = "causal"
    execution: str = option("parallel", choices=("parallel", "sequential"))
    order: str = option("ascending", choices=("ascending", "descending"))
    self_connection: str = option("each", choices=("each", "once", "none"))
    window: int | None = option(None, least=0)
    density: float | None = option(None, least=0.0, most=1.0)
    seed: int = 0
    heads: int = option(4, least=1)
    rotary: bool = True
    # Standard deviation of the kernels' start value; 0: by each kernel's fan-in.
    start: float = option(0.0, least=0.0)


@dataclasses.dataclass(frozen=True)
class Inner:
    """One step of a fold's block."""

    kind: str = option("mix", choices=("mix", "feedforward"))
    mixer: tuple[Mixer, ...] = ()
    gate: str = "none"
    activation: str = "none"
    # feedforward: inner width; 0: twice the fold's width.
    width: int = option(0, least=0)
    bias: bool = False
    dropout: float = option(0.0, least=0.0, most=0.95)
    norm: str = option("rms", choices=NORMS)
    residual: str = option("pre", choices=("pre", "post", "none"))


@dataclasses.dataclass(frozen=True)
class Branch:
    """One step of a block: h becomes h + f(norm(h)), or as `residual` says."""

    kind: str = option("mix", choices=("mix", "feedforward", "linear", "fold"))
    # fold: branches of each of its blocks, and how many blocks there are; the fastest context
    # axis is folded into `width` channels, mixed along the slower axes and spread again.
    block: tuple["Inner", ...] = ()
    depth: int = option(1, least=1)
    # mix: mixers side by side, summed.
    mixer: tuple[Mixer, ...] = ()
    # mix: how many such sets of mixers, each with own weights, one after another.
    stack: int = option(1, least=1)
    # mix: how many times each set is fed its own output, with the same weights.
    times: int = option(1, least=1)
    # Activation of u in u * f(v); "none": no gate.
    gate: str = "none"
    activation: str = "none"
    # mix: a dense layer over the channels before and after.
    project: bool = True
    # feedforward: inner width; 0: twice the width. fold: channels of a folded row.
    width: int = option(0, least=0)
    bias: bool = False
    dropout: float = option(0.0, least=0.0, most=0.95)
    norm: str = option("rms", choices=NORMS)
    residual: str = option("pre", choices=("pre", "post", "none"))


@dataclasses.dataclass(frozen=True)
class Backbone:
    """`depth` blocks of the same branches, each with weights of its own."""

    width: int = option(128, least=1)
    depth: int = option(4, least=1)
    branch: tuple[Branch, ...] = ()
    final_norm: str = option("rms", choices=NORMS)


@dataclasses.dataclass(frozen=True)
class Length:
    """Steps by the length of a puzzle: `per_given` times the slots that are given, plus
    `per_asked` times the slots that are asked for, rounded up, within the limits."""

    per_given: float = option(0.0, least=0.0)
    per_asked: float = option(0.0, least=0.0)
    least: int = option(1, least=1)
    # 0: no limit.
    most: int = option(0, least=0)


@dataclasses.dataclass(frozen=True)
class Refeed:
    """How often the backbone is run on its own output before it answers.

    All but `steps`, `backprop`, `start` ("zeros" and "learned") and `remat` are words of puzzles.
    """

    steps: int = option(1, least=1)
    # How many of the last steps gradients go through; 0: all.
    backprop: int = option(0, least=0)
    # Inner steps on a second state before each step; 0: there is only one state.
    inner: int = option(0, least=0, most=64)
    # What is fed back: the state, what the heads make of it, or the sum of both.
    what: str = option("state", choices=("state", "answer", "both"))
    # The first state: zeros, one learned vector, or a random number for every slot and channel.
    start: str = option("zeros", choices=("zeros", "learned", "random"))
    # The share of the old state that a step keeps, and the standard deviation of the noise that
    # is added to it in training.
    damping: float = option(0.0, least=0.0, most=0.99)
    noise: float = option(0.0, least=0.0, most=10.0)
    # Whether gradients compute a step's insides again instead of keeping them: less memory, one
    # more run's time. Not with dropout.
    remat: bool = False
    # How many steps a puzzle takes: "fixed": `steps`; "sampled": in training from `backprop` to
    # `steps`, drawn anew for every batch; "length": by the rule of `Length`; "halt": `steps` at a
    # time until a head says that the answer is right.
    rule: str = option("fixed", choices=("fixed", "sampled", "length", "halt"))
    length: Length = option(factory=Length)
    # Rule "sampled": the weight of the loss after the sampled steps; that of the loss after all
    # `steps` has the rest.
    progressive: float = option(1.0, least=0.0, most=1.0)
    # Deep supervision: a puzzle is trained on this many times `steps` in a row, its state carried
    # on without gradient, a loss and an optimizer step after each.
    segments: int = option(1, least=1, most=10_000)
    # Rule "halt": the weight of the head's own loss, and how often a puzzle has to go on for a
    # random number of segments at least.
    halt_weight: float = option(0.5, least=0.0)
    explore: float = option(0.1, least=0.0, most=1.0)


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """A Keras optimizer by name, and the learning rate over the run."""

    name: str = option("adamw", choices=("adamw", "adam", "lion", "muon", "sgd"))
    rate: float = option(2e-3, least=0.0)
    # The rate climbs for so many steps and then falls on a cosine to `final` of itself.
    warmup: int = option(100, least=0)
    final: float = option(0.1, least=0.0, most=1.0)
    beta_1: float = option(0.9, least=0.0, most=1.0)
    beta_2: float = option(0.99, least=0.0, most=1.0)
    # On matrices only.
    decay: float = option(0.1, least=0.0)
    # Largest norm of all gradients together; 0: no limit.
    clip: float = option(1.0, least=0.0)


@dataclasses.dataclass(frozen=True)
class Objectives:
    """How often each way to write is trained, relative to each other."""

    # In turn: every slot answers the next one, from the slots before it.
    turn: float = option(1.0, least=0.0)
    # All at once: the whole answer is blank.
    once: float = option(0.0, least=0.0)
    # Masked diffusion: a uniform share of the answer is blank, its loss weighted by 1 / share.
    unmask: float = option(0.0, least=0.0)

    @property
    def whole(self):
        """Whether a way that sees the whole context is trained."""
        return self.once > 0 or self.unmask > 0


@dataclasses.dataclass(frozen=True)
class ModalityWeights:
    """What a unit of each modality counts in the loss."""

    text: float = option(1.0, least=0.0)
    word: float = option(1.0, least=0.0)
    image: float = option(1.0, least=0.0)
    grey: float = option(1.0, least=0.0)
    video: float = option(1.0, least=0.0)
    grey_video: float = option(1.0, least=0.0)
    audio: float = option(1.0, least=0.0)
    symbol: float = option(1.0, least=0.0)
    # Times the weight of the unit before it: how often what is written ends is not to depend on
    # what its kind counts.
    end: float = option(1.0, least=0.0)


@dataclasses.dataclass(frozen=True)
class StepWeights:
    """What each step of a unit's decoding counts in the loss."""

    modality: float = option(1.0, least=0.0)
    byte_1: float = option(1.0, least=0.0)
    byte_2: float = option(1.0, least=0.0)
    byte_3: float = option(1.0, least=0.0)
    place: float = option(1.0, least=0.0)


@dataclasses.dataclass(frozen=True)
class Loss:
    """Weights of the loss; the figures of `evaluate` know none of them."""

    modality: ModalityWeights = option(factory=ModalityWeights)
    step: StepWeights = option(factory=StepWeights)
    # What a unit of the prompt counts, of an item's that is not the answer (layout "items"); what
    # a slot that is given counts (layout "puzzle").
    prompt: float = option(1.0, least=0.0)


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """What a run folder keeps for going on."""

    # Seconds between two; writing one takes a few hundredths of a second.
    seconds: float = option(60.0, least=0.0)
    # How many of the last are kept: where one is damaged, the one before it is taken.
    keep: int = option(2, least=1, most=1000)
    # Whether the weights of the lowest validation loss are kept, too.
    best: bool = True


@dataclasses.dataclass(frozen=True)
class Train:
    """How long, how much at once. One of `minutes` and `steps`."""

    minutes: float | None = option(None, least=0.001)
    steps: int | None = option(None, least=1)
    batch: int = option(12, least=1)
    # What steps compute with; weights are float32. "auto": bfloat16 on machines that multiply it
    # faster (accelerators, processors with avx512_bf16 or amx_bf16), float32 on others. Of
    # "float16" the loss is scaled, so that small gradients are not lost.
    precision: str = option("float32", choices=("float32", "bfloat16", "float16", "auto"))
    # Whether XLA compiles the step on TensorFlow (JAX always does): on a CPU it is faster where
    # many small operations follow one another, as in long refeeding, and slower elsewhere.
    xla: bool = False
    # Decay of a moving average of the weights, over about 1 / (1 - ema) steps, that is evaluated
    # and saved in place of the weights themselves; 0: none.
    ema: float = option(0.0, least=0.0, most=0.99999)
    # How many times on the way the validation loss is looked at (on a part of the text).
    checks: int = option(10, least=0)
    # Characters written after `prompt` before and after training, into samples/; 0: none. Of
    # items: whether a sheet of answers is drawn there.
    sample: int = option(300, least=0)
    prompt: str = "The "
    # A step whose loss or gradients are not finite is never learnt from. Then the run stops, or
    # skips it (100 one after another stop the run, too).
    not_finite: str = option("stop", choices=("stop", "skip"))
    # The same bits from the same config on the same machine, on the TensorFlow backend for the
    # rest of the process; slower on a GPU.
    deterministic: bool = False
    optimizer: Optimizer = option(factory=Optimizer)
    objectives: Objectives = option(factory=Objectives)
    checkpoints: Checkpoints = option(factory=Checkpoints)


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a network may be, so that a slip or a stranger's config does not fill the machine.

    A run folder's network has no more weights than its file, whatever is said here.
    """

    # Weights; 10^9 are 4 GB, and 16 GB while they are trained.
    parameters: int = option(10**9, least=1)
    # Slots of a context with all its prompts.
    slots: int = option(10**8, least=1)
    # Branches that are run, one after another, in one pass with all its refeeds.
    branches: int = option(10_000, least=1)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that `build` and `train` need."""

    seed: int = option(1, least=0, most=2**31 - 1)
    data: Data = option(factory=Data)
    tokens: Tokens = option(factory=Tokens)
    context: Context = option(factory=Context)
    backbone: Backbone = option(factory=Backbone)
    refeed: Refeed = option(factory=Refeed)
    loss: Loss = option(factory=Loss)
    train: Train = option(factory=Train)
    limits: Limits = option(factory=Limits)

    @classmethod
    def from_dict(cls, table):
        """A checked config from nested dicts as TOML gives them."""
        config = parse(cls, table)
        check(config)
        return config

    def to_toml(self):
        """TOML text from which the same config is read."""
        return dump(self)


def load_config(path, set=()):
    """Reads a config.

    Args:
        path: a TOML file.
        set: texts `KEY=VALUE`, each replacing one key: `train.minutes=3`,
            `data.source=python-docs`, `backbone.branch.0.gate=gelu`. A VALUE that is no TOML
            value is taken as a text.

    Raises:
        MdnnError: no such file, not TOML, an unknown or impossible key or value.
    """
    path = Path(path)
    if not path.exists():
        raise MdnnError(f"no config file at {path}")
    if path.is_dir():
        raise MdnnError(f"{path} is a folder, expected a config file (.toml)")
    text = read_text(path, MOST)
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > DOTS and not _ONE_TEXT.fullmatch(line):
            raise MdnnError(f"{path}: line {number}: expected at most {DOTS} dots outside a text")
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise MdnnError(f"{path} cannot be read as TOML: {error}") from None
    try:
        for text in set:
            _set(table, text)
        return Config.from_dict(table)
    except MdnnError as error:
        raise MdnnError(f"{path}: {error}") from None


def _set(table, text):
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise MdnnError(f"expected KEY=VALUE, received {text!r}")
    *path, last = key.strip().split(".")
    try:
        value = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        value = value.strip()
    place = table
    for part in path:
        if isinstance(place, list):
            if not part.isdecimal() or int(part) >= len(place):
                raise MdnnError(f"{key}: expected a number below {len(place)}, received {part!r}")
            place = place[int(part)]
        elif isinstance(place, dict):
            place = place.setdefault(part, {})
        else:
            raise MdnnError(f"{key}: {part!r} is below a value, not a table")
    if isinstance(place, list):
        if not last.isdecimal() or int(last) >= len(place):
            raise MdnnError(f"{key}: expected a number below {len(place)}, received {last!r}")
        place[int(last)] = value
    elif isinstance(place, dict):
        # Minutes and steps are two ways to say the same; the later word stands.
        if path == ["train"] and last in ("minutes", "steps"):
            place.pop("steps" if last == "minutes" else "minutes", None)
        place[last] = value
    else:
        raise MdnnError(f"{key}: {last!r} is below a value, not a table")
