"""The training loop: a budget of minutes or steps, checks on the way, stop and go on."""

import csv
import dataclasses
import time
from pathlib import Path

import numpy as np

from mdnn.data.sources import DIGITS, PYTHON_DOCS
from mdnn.errors import MdnnError
from mdnn.files import check_new_folder, write_text
from mdnn.models.builder import build
from mdnn.models.config import load_config
from mdnn.models.loss import loss_for
from mdnn.models.run import CONFIG, Run, read_words, write_about, write_run
from mdnn.training import checkpoint
from mdnn.training.averages import averaged, take_averages
from mdnn.training.display import Display, clock
from mdnn.training.gradients import make_step
from mdnn.training.optimizers import make_optimizer, rate_at
from mdnn.training.pictures import loss_curve, read_metrics
from mdnn.training.precision import resolved
from mdnn.training.start import start_heads
from mdnn.training.ways import trained_ways, wired

METRICS, PICTURE = "metrics.csv", "loss.png"
COLUMNS = ("step", "seconds", "rate", "train_nats", "validation_nats")
# Seconds between two checkpoints; writing one takes a few hundredths of a second.
CHECKPOINT_EVERY = 60.0


def train(config, out, resume=False, show=True):
    """Trains the network of a config into a run folder.

    Refeeding steps, if the config has them, are unrolled in the model, so each optimizer step
    here is backpropagation through time; `model.fit` on the same batches and loss takes the
    same steps.

    Args:
        config: `mdnn.Config` or the path of a config file.
        out: the run folder to make. Ctrl-C ends training early and keeps what was learnt.
        resume: go on with the run in `out`, with its own config (`config` may only change
            how long it trains).
        show: whether progress is shown, on standard error.

    Returns:
        dict: what `evaluate` says of the validation text (without the sliding figure) or lines,
        and `parameters`, `steps`, `seconds`, `characters_per_second` (of items:
        `units_per_second`), `stopped`, `run`.

    Raises:
        MdnnError: an `out` that holds something else, a source that cannot be read, a text too
            short for the context, items that do not fit it.
    """
    if isinstance(config, (str, Path)):
        config = load_config(config)
    config = anchored(config)
    path = Path(out)
    words = None
    if resume:
        config = _resumed_config(config, path)
        words = read_words(path) if config.tokens.words else None
    else:
        check_new_folder(path)
    data = open_training_data(config, words)
    run = Run(path, config, data.words)
    model = build(config, run.words)
    training = Training(run.holding(model), data, Display(show, unit=data.unit))
    path.mkdir(parents=True, exist_ok=True)
    if resume:
        training.progress = checkpoint.restore(path, model, training.optimizer)
    else:
        start_heads(model.get_layer("heads"), data.rows())
        write_about(path, config, run.words)
        data.write_about(path)
    return training.run_all()


def open_training_data(config, words=None):
    """A config's data as the loop needs them: a `StreamData` or an `ItemData`.

    Args:
        config: `mdnn.Config`.
        words: the table of words; `None` to make it from the data, where the config has one.
    """
    # imported late: a text needs nothing of items, nor items of texts
    if config.context.layout == "items":
        from mdnn.training.item_data import ItemData

        return ItemData(config, words)
    from mdnn.training.stream_data import StreamData

    return StreamData(config, words)


def anchored(config):
    """The config with a source on disk named in full, so that the run knows it from anywhere."""
    source = config.data.source
    if source in (PYTHON_DOCS, DIGITS) or not source.strip() or not Path(source).exists():
        return config
    data = dataclasses.replace(config.data, source=str(Path(source).resolve()))
    return dataclasses.replace(config, data=data)


def _resumed_config(config, path):
    if not (path / CONFIG).is_file():
        raise MdnnError(f"{path} is no run folder to go on with: it has no {CONFIG}")
    own = load_config(path / CONFIG)
    length = {"minutes": config.train.minutes, "steps": config.train.steps}
    return dataclasses.replace(own, train=dataclasses.replace(own.train, **length))


class Training:
    """One run's model, data and optimizer, and the loop over them.

    Args:
        run: `mdnn.models.run.Run`, the folder and config, with the network at hand.
        data: what `open_training_data` gives.
        display: `mdnn.training.display.Display`.
    """

    def __init__(self, run, data, display):
        self.run, self.model, self.data, self.display = run, run.model, data, display
        self.batches, self.ways = data.batches, trained_ways(run.config)
        spec, variables = run.config.train, self.model.trainable_variables
        precision = resolved(spec.precision)
        self.optimizer = make_optimizer(spec.optimizer, variables, spec.ema, precision)
        networks, loss = wired(self.model, run.config), loss_for(run.config)
        self.step = make_step(networks, loss, self.optimizer, self.batches, precision)
        self.scorer = data.scorer(networks)
        self.progress = checkpoint.Progress()
        self.checks, self.validation = 0, {}
        # Mean nats of each way's last steps.
        self.nats = {}

    def run_all(self):
        """Trains to the end of the budget, writes the run, evaluates; returns the figures."""
        stopped = False
        try:
            with self.display:
                if self.progress.step == 0:
                    self._sample("Before training it writes")
                self._train()
        except KeyboardInterrupt:
            stopped = True
        self.step.sync()
        checkpoint.save(self.run.path, self.model, self.optimizer, self.progress)
        take_averages(self.optimizer, self.model.trainable_variables)
        write_run(self.run.path, self.run.config, self.run.words, self.model)
        # None where training was stopped before its first figures.
        if metrics := read_metrics(self.run.path / METRICS):
            title = f"{self.model.count_params():,} parameters, {self.run.config.data.source}"
            loss_curve(metrics, self.run.path / PICTURE, title, self.data.unit)
        if stopped:
            self.display.say(f"stopped at step {self.progress.step:,}; --resume goes on")
        self._sample(f"After {clock(self.progress.seconds)} of training it writes")
        seconds = self.progress.seconds
        units = self.progress.step * self.data.per_step
        return self.data.figures(self.scorer) | {
            "parameters": self.model.count_params(),
            "steps": self.progress.step,
            "seconds": round(seconds, 1),
            f"{self.data.unit}s_per_second": round(units / seconds) if seconds else 0,
            "stopped": stopped,
            "run": str(self.run.path),
        }

    def _sample(self, title):
        """Lets the network write something into samples/, where the config asks for it."""
        if self.run.config.train.sample:
            self.step.sync()
            self.data.sample(self.run, self.progress.step, title, self.display.say)

    def _part(self):
        """The part of the budget that is spent."""
        spec = self.run.config.train
        if spec.steps is not None:
            return self.progress.step / spec.steps
        return self.progress.seconds / (60 * spec.minutes) if spec.minutes else 1.0

    def _train(self):
        spec = self.run.config.train
        self._begin_metrics()
        with open(self.run.path / METRICS, "a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            before = self.progress.seconds
            begun = shown = kept = warm = time.perf_counter()
            losses, compiled, first = [], set(), self.progress.step
            while (part := self._part()) < 1:
                rate = rate_at(spec.optimizer, self.progress.step, part)
                way = self.batches.objective(self.progress.step)
                loss = self.step(self.batches.at(self.progress.step), rate, way)
                losses.append((way, loss))
                self.progress.step += 1
                now = time.perf_counter()
                self.progress.seconds = before + now - begun
                if way not in compiled:
                    # A first step compiles: it says nothing of how long the others take.
                    compiled.add(way)
                    warm, first = now, self.progress.step
                part = self._part()
                check = spec.checks and part * spec.checks >= self.checks + 1
                if not (check or part >= 1 or now - shown > 0.5 or len(losses) >= 100):
                    continue
                nats = self._mean(losses, rate)
                losses.clear()
                shown = now
                checked = self._check(part) if check else {}
                row = self._row(rate, nats, checked)
                writer.writerow([row.get(name, "") for name in self._columns()])
                file.flush()
                if self.progress.step > first:
                    self._show(part, nats, (now - warm) / (self.progress.step - first))
                if now - kept > CHECKPOINT_EVERY:
                    self.step.sync()
                    checkpoint.save(self.run.path, self.model, self.optimizer, self.progress)
                    kept = time.perf_counter()

    def _columns(self):
        """Names of the columns of metrics.csv: of several ways each has one of its own."""
        several = self.ways if len(self.ways) > 1 else ()
        return [*COLUMNS, *(f"validation_{way}_nats" for way in several)]

    def _row(self, rate, nats, checked):
        """A row of metrics.csv as a dict from columns to texts."""
        row = {
            "step": str(self.progress.step),
            "seconds": f"{self.progress.seconds:.3f}",
            "rate": f"{rate:.3e}",
            "train_nats": f"{nats:.5f}",
        }
        if checked:
            row["validation_nats"] = f"{self._together(checked):.5f}"
        return row | {f"validation_{way}_nats": f"{value:.5f}" for way, value in checked.items()}

    def _begin_metrics(self):
        """Leaves in metrics.csv the rows up to the step that training goes on from.

        A run that was killed wrote rows after its last checkpoint.
        """
        file = self.run.path / METRICS
        rows = file.read_text(encoding="utf-8").splitlines()[1:] if file.is_file() else []
        kept = [row for row in rows if int(row.partition(",")[0]) <= self.progress.step]
        write_text(file, "\n".join([",".join(self._columns()), *kept, ""]))

    def _mean(self, losses, rate):
        """Mean nats per character (or unit) of some steps' losses, which are per unit.

        The ways are weighted by how often they are trained, not by which of them these steps
        happened to train: otherwise the curve would show little else.
        """
        for way in {way for way, _ in losses}:
            mean = float(np.mean([float(value) for own, value in losses if own == way]))
            if not np.isfinite(mean):
                saved = (self.run.path / checkpoint.FILE).is_file()
                raise MdnnError(
                    f"the loss is {mean} at step {self.progress.step:,} (learning rate "
                    f"{rate:.2e}); {self.run.path} has {'its last' if saved else 'no'} checkpoint"
                )
            self.nats[way] = mean / self.data.per_unit
        return self._together(self.nats)

    def _together(self, nats):
        """The mean of a dict of the ways' nats, each as often as it is trained."""
        shares = sum(self.ways[way] for way in nats)
        return sum(self.ways[way] * value for way, value in nats.items()) / shares

    def _check(self, part):
        """Validation nats of each way on pieces from all over the validation part, a dict."""
        self.checks = int(part * self.run.config.train.checks)
        self.step.sync()
        with averaged(self.optimizer, self.model.trainable_variables):
            self.validation = self.data.check(self.scorer)
        return self.validation

    def _show(self, part, nats, per_step):
        """Shows how far the run is; `per_step` is how many seconds a step takes."""
        spec = self.run.config.train
        if spec.steps is not None:
            left = (spec.steps - self.progress.step) * per_step
        else:
            left = 60 * spec.minutes - self.progress.seconds
        speed = self.data.per_step / per_step
        validation = self._together(self.validation) if self.validation else None
        self.display.update(part, nats, speed, left, self.progress.step, validation)
