"""Config tables of refeeding and training."""

import dataclasses

from mdnn.config.schema import option, toml_literal, with_keys
from mdnn.errors import MdnnError
from mdnn.tokens.modalities import item_modalities


@dataclasses.dataclass(frozen=True)
class Length:
    """Number of refeed steps by length.

    The number is `per_given` times the given positions plus `per_unknown` times the positions to
    solve, rounded up and clipped to `least` and `most`. In autoregressive decoding of texts and
    items a position has read the positions up to itself and one is to be solved; in other decodings
    the masked positions are.
    """

    per_given: float = option(0.0, least=0.0)
    per_unknown: float = option(0.0, least=0.0)
    least: int = option(1, least=1)
    # 0: no limit; for texts and items `refeed.steps`.
    most: int = option(0, least=0)


@dataclasses.dataclass(frozen=True)
class RefeedTable:
    """Refeeding: runs of the backbone on its own output.

    A puzzle takes one number of steps as a whole; of a text or item each position takes its own.
    """

    steps: int = option(1, least=1)
    # Number of last steps with gradient; 0: all.
    bptt_steps: int = option(0, least=0)
    # Number of last steps whose change of the state is multiplied by a learned gate, initially 0:
    # steps that `mdnn grow` added.
    gated_steps: int = option(0, least=0)
    # Number of inner steps on a second state before each step; 0: only one state.
    inner_steps: int = option(0, least=0, most=64)
    # Value fed back: the state, the embedded answer that the heads decode from it, or their sum.
    feedback: str = option("state", choices=("state", "answer", "both"))
    # Initial state: zeros, one learned vector, or a random number per position and channel.
    initial_state: str = option("zeros", choices=("zeros", "learned", "random"))
    # Share of the old state in the new one, and standard deviation of the noise added to the new
    # state in training.
    damping: float = option(0.0, least=0.0, most=0.99)
    noise: float = option(0.0, least=0.0, most=10.0)
    # Whether gradients recompute the activations inside a step instead of storing them: less
    # memory, for the time of one more run. Not supported with dropout.
    remat: bool = False
    # Number of steps: "fixed": `steps`; "sampled": in training a random number from `bptt_steps` to
    # `steps` for every batch; "length": by `steps_by_length` (for texts and items at most `steps`);
    # "halt": repeats of `steps`, at most `supervision_steps`, until the halting head predicts a
    # correct answer.
    step_schedule: str = option("fixed", choices=("fixed", "sampled", "length", "halt"))
    steps_by_length: Length = option(factory=Length)
    # Schedule "sampled": weight of the loss after the sampled steps; the loss after all `steps` has
    # weight 1 - `progressive`.
    progressive: float = option(1.0, least=0.0, most=1.0)
    # Deep supervision: number of optimizer steps in a row on one puzzle or batch, each after
    # `steps` refeed steps, with the state carried without gradient.
    supervision_steps: int = option(1, least=1, most=10_000)
    # Schedule "halt": weight of the halting head's loss, and for puzzles the probability that one
    # continues for a random minimum number of supervision steps.
    halt_weight: float = option(0.5, least=0.0)
    halt_exploration_prob: float = option(0.1, least=0.0, most=1.0)


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """The optimizer (by its Keras name) and the learning rate schedule."""

    name: str = option("adamw", choices=("adamw", "adam", "lion", "muon", "sgd"))
    learning_rate: float = option(2e-3, least=0.0)
    # The learning rate rises for this many steps; from the share `decay_start` of the budget on it
    # decays on a cosine to `min_lr_ratio` of its value.
    warmup_steps: int = option(100, least=0)
    decay_start: float = option(0.0, least=0.0, most=1.0)
    min_lr_ratio: float = option(0.1, least=0.0, most=1.0)
    beta_1: float = option(0.9, least=0.0, most=1.0)
    beta_2: float = option(0.99, least=0.0, most=1.0)
    # Applied to matrices only.
    weight_decay: float = option(0.1, least=0.0)
    # Largest global norm of the gradients; 0: no limit.
    clip_norm: float = option(1.0, least=0.0)


@dataclasses.dataclass(frozen=True)
class Objectives:
    """Relative frequencies of training the decoding modes."""

    # Every position predicts the next token; no position sees later ones.
    autoregressive: float = option(1.0, least=0.0)
    # The whole answer is masked and predicted in one pass.
    parallel: float = option(0.0, least=0.0)
    # A uniformly random share of the answer is masked; its loss is weighted by 1 / share.
    masked_diffusion: float = option(0.0, least=0.0)

    @property
    def whole(self):
        """bool, true if a mode that sees the whole context is trained."""
        return self.parallel > 0 or self.masked_diffusion > 0


@dataclasses.dataclass(frozen=True)
class ModalityWeights:
    """Weights of the tokens of each modality in the loss; registered modalities have one, too."""

    text: float = option(1.0, least=0.0)
    word: float = option(1.0, least=0.0)
    image: float = option(1.0, least=0.0)
    grey: float = option(1.0, least=0.0)
    video: float = option(1.0, least=0.0)
    grey_video: float = option(1.0, least=0.0)
    audio: float = option(1.0, least=0.0)
    spectrum: float = option(1.0, least=0.0)
    symbol: float = option(1.0, least=0.0)
    # Multiplied by the weight of the token before it, so that the weight of a modality does not
    # change how often the output ends.
    end: float = option(1.0, least=0.0)

    @classmethod
    def registered(cls):
        """Returns this schema with a key for each registered modality."""
        return with_keys(cls, item_modalities())


@dataclasses.dataclass(frozen=True)
class StepWeights:
    """Weights of the decoding steps of a token in the loss."""

    modality: float = option(1.0, least=0.0)
    byte_1: float = option(1.0, least=0.0)
    byte_2: float = option(1.0, least=0.0)
    byte_3: float = option(1.0, least=0.0)
    coordinate: float = option(1.0, least=0.0)


@dataclasses.dataclass(frozen=True)
class Loss:
    """Weights in the training loss; `evaluate` ignores them."""

    modality: ModalityWeights = option(factory=lambda: ModalityWeights.registered()())
    step: StepWeights = option(factory=StepWeights)
    # Weight of the tokens of the prompt, the items before the answer (layout "items"), or of the
    # given positions (layout "puzzle").
    prompt: float = option(1.0, least=0.0)


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """Checkpoints of a run folder, from which training is resumed."""

    # Interval in seconds; writing a checkpoint takes a few hundredths of a second.
    seconds: float = option(60.0, least=0.0)
    # Number of recent checkpoints to keep; if one is damaged, the one before it is used.
    keep: int = option(2, least=1, most=1000)
    # Whether to also keep the weights with the lowest validation loss.
    best: bool = True


@dataclasses.dataclass(frozen=True)
class Blind:
    """Training without backpropagation, by evolution strategies (`train.method = "blind"`)."""

    # Pairs of evaluations per step, with noise of both signs.
    pairs: int = option(32, least=1, most=100_000)
    # Standard deviation of the noise relative to 1 / sqrt(fan in) of each weight.
    sigma: float = option(0.05, least=1e-6, most=10.0)
    # Rank of the noise of a matrix.
    rank: int = option(1, least=1, most=1024)
    # "int8": matrices have 255 values each before, during and after training.
    weights: str = option("float32", choices=("float32", "int8"))


@dataclasses.dataclass(frozen=True)
class PartTable:
    """Training of a part of the weights at a time (`[train.partial]`)."""

    # "all": all weights; "random": some blocks, and whatever belongs to no block; "top": the upper
    # blocks, the final norm and the heads.
    select: str = option("all", choices=("all", "random", "top"))
    # Number of the `backbone.depth` repetitions that train at a time.
    blocks: int = option(1, least=1)
    # "random": number of steps until others are drawn.
    every: int = option(100, least=1)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of training: config keys that change from a share of the budget on.

    In TOML a table `[[train.stage]]` with `at` and the keys, such as `context.grid = [32]`. The
    network grows (see mdnn/growth); keys that may change: mdnn/config/growing.py.
    """

    at: float
    # KEY=VALUE, one for each key.
    changes: tuple[str, ...]

    @classmethod
    def from_table(cls, table, where):
        """Returns the stage of a table; see `mdnn.config.schema.parse`."""
        table = dict(table)
        at = table.pop("at", None)
        if isinstance(at, bool) or not isinstance(at, (int, float)):
            raise MdnnError(f"{where}.at: expected a share of the budget, received {at!r}")
        return cls(float(at), tuple(_flat(table, "", where)))

    def to_lines(self):
        """Returns the keys of the table as lines of TOML."""
        pairs = (change.partition("=") for change in self.changes)
        return [f"at = {toml_literal(self.at)}", *(f"{key} = {value}" for key, _, value in pairs)]


def _flat(value, key, where):
    """Yields `KEY=VALUE` for every value of nested tables."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else name, where)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        raise MdnnError(f"{where}.{key}: expected single keys such as {key}.0.width = 64")
    else:
        yield f"{key}={toml_literal(value)}"


@dataclasses.dataclass(frozen=True)
class Train:
    """Training settings. Exactly one of `minutes` and `steps` is set."""

    # Time limit from the first step on, including tracing and compiling the step, evaluations and
    # checkpoints. Excludes reading the data and building the network before the first step, and
    # the final evaluation.
    minutes: float | None = option(None, least=0.001)
    steps: int | None = option(None, least=1)
    batch_size: int = option(12, least=1)
    # Dtype of computations; weights are float32. "auto": bfloat16 on machines with fast bfloat16
    # products (accelerators, processors with avx512_bf16 or amx_bf16), float32 on others.
    # "float16" uses loss scaling, so that small gradients do not underflow.
    precision: str = option("float32", choices=("float32", "bfloat16", "float16", "auto"))
    # Whether XLA compiles the step on TensorFlow (JAX always uses XLA). On a CPU it is faster for
    # long sequences of small operations, as in refeeding with many steps, and slower otherwise.
    xla: bool = False
    # Decay of a moving average of the weights, over about 1 / (1 - ema_decay) steps. The average is
    # evaluated and saved in place of the weights; 0: no average.
    ema_decay: float = option(0.0, least=0.0, most=0.99999)
    # Number of evaluations of the validation loss during training (on a part of the text).
    num_evaluations: int = option(10, least=0)
    # Largest number of positions in the final evaluation, spread over the validation data; 0: all.
    # `mdnn evaluate` uses all. For puzzles see data.validation_size.
    final_evaluation: int = option(1_000_000, least=0)
    # Number of characters generated after `prompt` before and after training, saved in samples/;
    # 0: none. With items a value above 0 saves a sheet of answers there.
    sample: int = option(300, least=0)
    prompt: str = "The "
    # Action when the loss or the gradients are not finite; such a step never updates the weights.
    # "stop" ends the run; "skip" continues, and ends the run after 100 such steps in a row.
    not_finite: str = option("stop", choices=("stop", "skip"))
    # Whether runs of the same config on the same machine are bitwise equal. On the TensorFlow
    # backend the whole process is deterministic during the training; it is slower on a GPU.
    deterministic: bool = False
    # "gradient": backpropagation; "blind": losses at perturbed weights alone, see `[train.blind]`.
    method: str = option("gradient", choices=("gradient", "blind"))
    blind: Blind = option(factory=Blind)
    partial: PartTable = option(factory=PartTable)
    # Densities that the network can be used at: shares of its hidden widths and groups of kernels
    # (mdnn/config/density.py), ascending up to 1. Each step trains one of them, drawn at random.
    density: tuple[float, ...] = option((), least=0.001, most=1.0)
    optimizer: Optimizer = option(factory=Optimizer)
    objectives: Objectives = option(factory=Objectives)
    # Stages in which the network grows, in order.
    stage: tuple[Stage, ...] = ()
    checkpoints: Checkpoints = option(factory=Checkpoints)
