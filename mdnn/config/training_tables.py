"""The tables of a config that say how a network is refed and trained."""

import dataclasses

from mdnn.config.schema import option


@dataclasses.dataclass(frozen=True)
class Length:
    """Steps by the length of a puzzle: `per_given` times the positions that are given, plus
    `per_asked` times the positions that are asked for, rounded up, within the limits."""

    per_given: float = option(0.0, least=0.0)
    per_asked: float = option(0.0, least=0.0)
    least: int = option(1, least=1)
    # 0: no limit.
    most: int = option(0, least=0)


@dataclasses.dataclass(frozen=True)
class RefeedTable:
    """How often the backbone is run on its own output before it answers.

    `steps_by_length`, `progressive`, `supervision_steps` and what follows them are keys of puzzles,
    and so are the schedules "length" and "halt".
    """

    steps: int = option(1, least=1)
    # How many of the last steps gradients go through; 0: all.
    bptt_steps: int = option(0, least=0)
    # FoldLayer steps on a second state before each step; 0: there is only one state.
    inner_steps: int = option(0, least=0, most=64)
    # What is fed back: the state, what the heads make of it, or the sum of both.
    feedback: str = option("state", choices=("state", "answer", "both"))
    # The first state: zeros, one learned vector, or a random number for every position and channel.
    initial_state: str = option("zeros", choices=("zeros", "learned", "random"))
    # The share of the old state that a step keeps, and the standard deviation of the noise that
    # is added to it in training.
    damping: float = option(0.0, least=0.0, most=0.99)
    noise: float = option(0.0, least=0.0, most=10.0)
    # Whether gradients compute a step's insides again instead of keeping them: less memory, one
    # more run's time. Not with dropout.
    remat: bool = False
    # How many steps a puzzle takes: "fixed": `steps`; "sampled": in training from `bptt_steps` to
    # `steps`, drawn anew for every batch; "length": by the rule of `Length`; "halt": `steps` at a
    # time until a head says that the answer is right.
    step_schedule: str = option("fixed", choices=("fixed", "sampled", "length", "halt"))
    steps_by_length: Length = option(factory=Length)
    # Rule "sampled": the weight of the loss after the sampled steps; that of the loss after all
    # `steps` has the rest.
    progressive: float = option(1.0, least=0.0, most=1.0)
    # Deep supervision: a puzzle is trained on this many times `steps` in a row, its state carried
    # on without gradient, a loss and an optimizer step after each.
    supervision_steps: int = option(1, least=1, most=10_000)
    # Rule "halt": the weight of the head's own loss, and how often a puzzle has to go on for a
    # random number of segments at least.
    halt_weight: float = option(0.5, least=0.0)
    halt_exploration_prob: float = option(0.1, least=0.0, most=1.0)


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """A Keras optimizer by name, and the learning rate over the run."""

    name: str = option("adamw", choices=("adamw", "adam", "lion", "muon", "sgd"))
    learning_rate: float = option(2e-3, least=0.0)
    # The rate climbs for so many steps and then falls on a cosine to `min_lr_ratio` of itself.
    warmup_steps: int = option(100, least=0)
    min_lr_ratio: float = option(0.1, least=0.0, most=1.0)
    beta_1: float = option(0.9, least=0.0, most=1.0)
    beta_2: float = option(0.99, least=0.0, most=1.0)
    # On matrices only.
    weight_decay: float = option(0.1, least=0.0)
    # Largest norm of all gradients together; 0: no limit.
    clip_norm: float = option(1.0, least=0.0)


@dataclasses.dataclass(frozen=True)
class Objectives:
    """How often each way to write is trained, relative to each other."""

    # In turn: every position answers the next one, from the positions before it.
    autoregressive: float = option(1.0, least=0.0)
    # All at once: the whole answer is blank.
    parallel: float = option(0.0, least=0.0)
    # Masked diffusion: a uniform share of the answer is blank, its loss weighted by 1 / share.
    masked_diffusion: float = option(0.0, least=0.0)

    @property
    def whole(self):
        """Whether a way that sees the whole context is trained."""
        return self.parallel > 0 or self.masked_diffusion > 0


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
    # a position that is given counts (layout "puzzle").
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

    # Minutes count everything from the first step on: tracing and compiling the step (shown on the
    # way), checks and checkpoints among it; not what is before (reading the data, building the
    # network) and after (the last evaluation).
    minutes: float | None = option(None, least=0.001)
    steps: int | None = option(None, least=1)
    batch_size: int = option(12, least=1)
    # What steps compute with; weights are float32. "auto": bfloat16 on machines that multiply it
    # faster (accelerators, processors with avx512_bf16 or amx_bf16), float32 on others. Of
    # "float16" the loss is scaled, so that small gradients are not lost.
    precision: str = option("float32", choices=("float32", "bfloat16", "float16", "auto"))
    # Whether XLA compiles the step on TensorFlow (JAX always does): on a CPU it is faster where
    # many small operations follow one another, as in long refeeding, and slower elsewhere.
    xla: bool = False
    # Decay of a moving average of the weights, over about 1 / (1 - ema) steps, that is evaluated
    # and saved in place of the weights themselves; 0: none.
    ema_decay: float = option(0.0, least=0.0, most=0.99999)
    # How many times on the way the validation loss is looked at (on a part of the text).
    num_evaluations: int = option(10, least=0)
    # How many positions of the validation data the evaluation at the end reads at most, from all
    # over them; 0: all. `mdnn evaluate` reads all. Puzzles have data.validation_size.
    final_evaluation: int = option(1_000_000, least=0)
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
