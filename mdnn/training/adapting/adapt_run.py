"""Provides `adapt`, which learns an identity."""

import dataclasses
import math
import time

import keras

from mdnn.config.overrides import set_key
from mdnn.config.schema import toml_literal
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.identity.adapted_network import (
    IdentityNumbers,
    adapted_config,
    adapted_network,
    adapted_weights,
    specification,
)
from mdnn.identity.identity_file import SLOTS, SUFFIX, Identity, fingerprint_of
from mdnn.keras_settings import check_training_backend
from mdnn.models.derived_loss import DerivedLoss
from mdnn.models.loss import loss_for
from mdnn.runs.run_folder import open_run
from mdnn.tasks.conversations.for_chat import for_chat
from mdnn.tasks.registry import task_for
from mdnn.tensorflow_graphs import forgetting_gradients
from mdnn.training.learning_rate import rate_at
from mdnn.training.microbatches import num_microbatches
from mdnn.training.mixed_precision import resolved
from mdnn.training.notebook_display import make_display
from mdnn.training.optimizers import make_optimizer
from mdnn.training.preparation import anchored
from mdnn.training.signals import Stopping, signal_name
from mdnn.training.steps.step import make_step

RATES = {"offset": 10.0, "lora": 1.0}
"""Learning rate of an identity, relative to that of the run's training."""

WARMUP = 20


@forgetting_gradients()
def adapt(
    run,
    data,
    out,
    minutes=None,
    steps=None,
    learning_rate=None,
    lora=None,
    slots=0,
    chat=False,
    overrides=(),
    show=True,
):
    """Learns an identity: a few numbers that turn a network to other data, its weights unchanged.

    Args:
        run: a run folder, an opened `Run`, a `Network` or a `.keras` file.
        data: str, the source of the data, as `data.source` in a config.
        out: path of the file to make, `NAME.safetensors`. Ctrl-C ends the training early and saves
            what was reached.
        minutes: float, the budget; `None` with `steps`, otherwise 1.
        steps: int, the budget in steps.
        learning_rate: float; `None` for 10 times that of the run's training, with `lora` for the
            same.
        lora: int, rank of the matrices that are added to the dense layers' kernels (LoRA, arXiv
            2106.09685); `None` for an offset and a gain per block.
        slots: int, number of learned vectors that take the first positions of each context, beside
            the other numbers (prompt tuning, arXiv 2104.08691). They start as the first tokens of
            the data. Networks of texts only, trained to decode autoregressively.
        chat: bool, whether the data are conversations, a file of JSON lines, for a network of texts
            whose tokenizer has a chat template: they are laid out by it, and the loss counts the
            assistant's turns alone.
        overrides: strings `KEY=VALUE`, config keys of data and training, such as
            `"train.batch_size=4"`.
        show: bool, whether to show progress on standard error.

    Returns:
        dict: `identity` (the path), `kind`, `numbers`, `share` (of the network's weights),
        `loss_before`, `loss` (nats per token, on a sample of the data's validation part), `steps`,
        `seconds`, `stopped` and `signal`.

    Raises:
        MdnnError: no run, `out` exists or is no `.safetensors`, an unreadable source, data that do
            not fit the network, a rank that is too large, slots that the network cannot have, or
            a loss that is not finite.
    """
    check_training_backend(keras.backend.backend())
    path = _new_file(out)
    run = for_chat(open_run(run)) if chat else open_run(run)
    config = _config(run.config, data, minutes, steps, overrides)
    kind = "offset" if lora is None else "lora"
    _check_numbers(learning_rate, lora, slots)
    train, scale = config.train, RATES[kind]
    spec = dataclasses.replace(
        train.optimizer,
        name="adamw",
        learning_rate=learning_rate or min(0.1, scale * train.optimizer.learning_rate),
        warmup_steps=min(WARMUP, train.optimizer.warmup_steps),
        weight_decay=0.0,
    )
    wanted = specification(run.unpacked, kind, lora or 0, slots)
    context = adapted_config(config, kind, slots).context
    task = task_for(dataclasses.replace(config, context=context), run.words or None).open()
    network = adapted_network(run, kind, slots)
    network.trainable = False
    numbers = IdentityNumbers(wanted, config.seed)
    evaluator = task.evaluator(task.networks(network))
    learning = _Learning(task, network, kind, numbers, spec, train, make_display(show, task.unit))
    if slots:
        numbers.start(SLOTS, _first_vectors(run.unpacked, task, slots))
        # Contexts of the network as it is have no slots.
        plain = task_for(config, task.words)
        quick = plain.evaluator(plain.networks(run.unpacked)).quick(task.validation)
    else:
        quick = evaluator.quick(task.validation)
    before = learning.combined(quick)
    number = learning.run()
    identity = Identity(kind, numbers.arrays(), fingerprint_of(run))
    for variable, value in adapted_weights(network, kind, identity.arrays):
        variable.assign(keras.ops.convert_to_numpy(value))
    after = learning.combined(evaluator.quick(task.validation))
    about = {"source": data, "steps": learning.steps, "loss_before": before, "loss": after}
    dataclasses.replace(identity, about=about).write(path)
    return {
        "identity": str(path),
        "kind": kind,
        "numbers": identity.numbers,
        "share": identity.numbers / run.unpacked.count_params(),
        "loss_before": before,
        "loss": after,
        "steps": learning.steps,
        "seconds": round(learning.seconds, 1),
        "stopped": number is not None,
        "signal": signal_name(number),
    }


def _new_file(out):
    path = as_path(out, "out")
    if path.suffix != SUFFIX:
        raise MdnnError(f"out: expected a file NAME{SUFFIX}, received {out}")
    if path.exists():
        raise MdnnError(f"{path} already exists: choose another file")
    if not path.parent.is_dir():
        raise MdnnError(f"out: there is no folder {path.parent}")
    return path


def _first_vectors(network, task, slots):
    """Returns the embeddings of the first tokens of a text, float32 `[slots, width]`."""
    tokens = task.tokenizer.tokens(task.splits.train[:slots])
    return keras.ops.convert_to_numpy(network.embedding(tokens[None]))[0]


def _check_numbers(learning_rate, lora, slots):
    if not isinstance(slots, int) or isinstance(slots, bool) or slots < 0:
        raise MdnnError(f"slots: expected a whole number from 0, received {slots!r}")
    if learning_rate is not None and not 0 < learning_rate < 100:
        raise MdnnError(f"learning_rate: expected a number above 0, received {learning_rate!r}")
    if lora is not None and (not isinstance(lora, int) or isinstance(lora, bool)):
        raise MdnnError(f"lora: expected a whole number, received {lora!r}")


def _config(config, data, minutes, steps, overrides):
    """Returns the config of the training of an identity."""
    import tomllib

    if minutes is not None and steps is not None:
        raise MdnnError("adapt: expected minutes or steps, received both")
    minutes = 1.0 if minutes is None else minutes
    budget = f"train.minutes={minutes}" if steps is None else f"train.steps={steps}"
    table = tomllib.loads(config.to_toml())
    for name in ("stage", "density"):
        table["train"].pop(name, None)
    table["data"].pop("mix", None)
    for change in (f"data.source={toml_literal(data)}", budget, *overrides):
        if not change.startswith(("data.", "train.")):
            raise MdnnError(f"adapt changes keys of data and train alone, received {change!r}")
        set_key(type(config), table, change)
    config = anchored(config.remade(table))
    if config.tandem.members:
        raise MdnnError("adapt: expected one network, received networks in tandem")
    if config.refeed.supervision_steps > 1:
        raise MdnnError(
            "adapt: expected a network without carried states (refeed.supervision_steps = 1), "
            f"received {config.refeed.supervision_steps}"
        )
    return config


class _Learning:
    """The training of the numbers of an identity.

    Args:
        task: `mdnn.tasks.base.Task` with its data open.
        network: result of `mdnn.identity.adapted_network.adapted_network`, frozen.
        kind: see `mdnn.identity.identity_file.Identity`.
        numbers: `IdentityNumbers`.
        spec: `mdnn.config.training_tables.Optimizer`.
        train: `mdnn.config.training_tables.Train`.
        display: `mdnn.training.progress.Display`.
    """

    def __init__(self, task, network, kind, numbers, spec, train, display):
        self.task, self.spec, self.train, self.display = task, spec, train, display
        self.steps, self.seconds = 0, 0.0
        weights = {id(weight) for weight in network.weights}
        states = [(v, v) for v in network.variables if id(v) not in weights]

        def derive():
            derived = adapted_weights(network, kind, numbers.values())
            changed = {id(variable) for variable, _ in derived}
            rest = [(w, w.value) for w in network.weights if id(w) not in changed]
            return [*derived, *rest]

        def loss_model(model, loss):
            return DerivedLoss(task.loss_model(model, loss), derive, [numbers, network], states)

        precision = resolved(train.precision)
        variables = list(numbers.numbers.values())
        self.step = make_step(
            task.networks(network),
            loss_for(task.config),
            make_optimizer(spec, variables, precision=precision),
            task.batches,
            precision=precision,
            loss_model=loss_model,
            xla=train.xla,
            microbatches=num_microbatches(train.batch_size) if task.divisible else 1,
        )
        self.feed = task.feed()
        self.feed.follow(self.step)

    def combined(self, losses):
        """Returns the mean of the modes' losses, weighted by their shares of the steps."""
        shares = self.task.mode_shares
        return sum(shares[m] * losses[m] for m in losses) / sum(shares[m] for m in losses)

    def run(self):
        """Takes steps until the budget is spent; returns the signal that stopped it, or `None`."""
        begun = shown = time.perf_counter()
        with self.display, Stopping() as stopping:
            while (spent := self._spent()) < 1 and not stopping.asked:
                rate = rate_at(self.spec, self.steps, spent)
                mode = self.feed.objective(self.steps)
                loss = self.step(self.feed.batch(self.steps), rate, mode)
                self.feed.update()
                self.steps += 1
                value = float(loss)
                if not math.isfinite(value):
                    raise MdnnError(
                        f"the loss is {value:.4g} at step {self.steps:,} (learning rate "
                        f"{rate:.2e}): expected a smaller learning rate"
                    )
                now = time.perf_counter()
                self.seconds = now - begun
                if now - shown > 0.5 or self._spent() >= 1:
                    shown = now
                    self._show(value / self.task.units_per_token)
        self.step.sync()
        return stopping.number if self._spent() < 1 else None

    def _spent(self):
        if self.train.steps is not None:
            return self.steps / self.train.steps
        return self.seconds / (60 * self.train.minutes)

    def _show(self, loss):
        spent = min(1.0, self._spent())
        left = self.seconds / max(spent, 1e-9) - self.seconds
        speed = self.steps * self.task.units_per_step / max(self.seconds, 1e-9)
        self.display.update(spent, loss, speed, left, self.steps)
