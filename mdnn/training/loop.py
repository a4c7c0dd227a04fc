"""The training loop: a budget of minutes or steps, checks on the way, stop and go on."""

import csv
import dataclasses
import time
from pathlib import Path

import numpy as np

from mdnn.data.batches import Batches
from mdnn.data.corpus import open_data
from mdnn.data.sources import PYTHON_DOCS
from mdnn.errors import MdnnError
from mdnn.files import check_new_folder, write_text
from mdnn.generation.text import write
from mdnn.models.builder import build
from mdnn.models.config import load_config
from mdnn.models.loss import loss_for
from mdnn.models.run import CONFIG, Run, read_words, write_about, write_run
from mdnn.tokens.text import TextCodec
from mdnn.training import checkpoint
from mdnn.training.display import Display, clock
from mdnn.training.evaluation import Scorer, figures
from mdnn.training.gradients import make_step
from mdnn.training.optimizers import make_optimizer, rate_at
from mdnn.training.pictures import loss_curve, read_metrics
from mdnn.training.start import start_heads, text_rows

METRICS, PICTURE = "metrics.csv", "loss.png"
COLUMNS = ("step", "seconds", "rate", "train_nats", "validation_nats")
# Seconds between two checkpoints; writing one takes a few hundredths of a second.
CHECKPOINT_EVERY = 60.0
# Units of the validation part that a check on the way looks at.
CHECK_UNITS = 8192


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
        dict: what `evaluate` says of the validation text (without the sliding figure), and
        `parameters`, `steps`, `seconds`, `characters_per_second`, `stopped`, `run`.

    Raises:
        MdnnError: an `out` that holds something else, a source that cannot be read, a text too
            short for the context.
    """
    if isinstance(config, (str, Path)):
        config = load_config(config)
    config = _anchored(config)
    path = Path(out)
    words = ()
    if resume:
        config = _resumed_config(config, path)
        words = read_words(path) if config.tokens.words else None
    else:
        check_new_folder(path)
    codec = TextCodec(words) if words else None
    slots = config.context.slots
    data = open_data(
        config.data.source, config.data.validation, codec, config.tokens.words, slots + 1
    )
    run = Run(path, config, tuple(data.codec.words))
    model = build(config, run.words)
    training = Training(run, model, data, Display(show))
    path.mkdir(parents=True, exist_ok=True)
    if resume:
        training.progress = checkpoint.restore(path, model, training.optimizer)
    else:
        start_heads(model.get_layer("heads"), text_rows(data.train, data.codec))
        write_about(path, config, run.words)
    return training.run_all()


def _anchored(config):
    """The config with a source on disk named in full, so that the run knows it from anywhere."""
    source = config.data.source
    if source == PYTHON_DOCS or not source.strip() or not Path(source).exists():
        return config
    data = dataclasses.replace(config.data, source=str(Path(source).resolve()))
    return dataclasses.replace(config, data=data)


def _resumed_config(config, path):
    if not (path / CONFIG).is_file():
        raise MdnnError(f"{path} is no run folder to go on with: it has no {CONFIG}")
    own = load_config(path / CONFIG)
    length = {"minutes": config.train.minutes, "steps": config.train.steps}
    return dataclasses.replace(own, train=dataclasses.replace(own.train, **length))


def spread(units, most, pieces=16):
    """At most `most` units: `pieces` runs at even distances (the seams are hard to predict)."""
    if len(units) <= most:
        return units
    starts = np.linspace(0, len(units) - most // pieces, pieces).astype(int)
    return np.concatenate([units[start : start + most // pieces] for start in starts])


class Training:
    """One run's model, data and optimizer, and the loop over them.

    Args:
        run: `mdnn.models.run.Run`, the folder and config.
        model: the network, as `mdnn.build` makes it.
        data: `mdnn.data.corpus.Corpus`.
        display: `mdnn.training.display.Display`.
    """

    def __init__(self, run, model, data, display):
        self.run, self.model, self.data, self.display = run, model, data, display
        spec = run.config.train
        self.batches = Batches(
            data.train,
            data.codec,
            run.config.context.slots,
            spec.batch,
            run.config.seed,
            padding=run.config.context.padding,
        )
        self.optimizer = make_optimizer(spec.optimizer, model.trainable_variables)
        self.loss = loss_for(run.config)
        self.step = make_step(model, self.loss, self.optimizer)
        self.scorer = Scorer(model, run.config)
        self.progress = checkpoint.Progress()
        self.checks, self.validation = 0, None
        # A word is one unit of several characters.
        self.characters_per_unit = float(data.codec.lengths(data.train).mean())
        slots = run.config.context.slots
        self.characters_per_step = spec.batch * slots * self.characters_per_unit

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
        write_run(self.run.path, self.run.config, self.run.words, self.model)
        # None where training was stopped before its first figures.
        if metrics := read_metrics(self.run.path / METRICS):
            title = f"{self.model.count_params():,} parameters, {self.run.config.data.source}"
            loss_curve(metrics, self.run.path / PICTURE, title)
        if stopped:
            self.display.say(f"stopped at step {self.progress.step:,}; --resume goes on")
        self._sample(f"After {clock(self.progress.seconds)} of training it writes")
        seconds = self.progress.seconds
        characters = self.progress.step * self.characters_per_step
        return figures(*self._score(self.data.validation)) | {
            "parameters": self.model.count_params(),
            "steps": self.progress.step,
            "seconds": round(seconds, 1),
            "characters_per_second": round(characters / seconds) if seconds else 0,
            "stopped": stopped,
            "run": str(self.run.path),
        }

    def _sample(self, title):
        """Writes some text into samples/ and shows it."""
        spec = self.run.config.train
        if not spec.sample:
            return
        self.step.sync()
        pieces = write(self.model, self.data.codec, spec.prompt, spec.sample)
        text = spec.prompt + "".join(pieces)
        folder = self.run.path / "samples"
        folder.mkdir(exist_ok=True)
        write_text(folder / f"step-{self.progress.step:07d}.txt", text + "\n")
        self.display.say(f"{title}:\n{text}\n")

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
            losses, first = [], self.progress.step
            while (part := self._part()) < 1:
                rate = rate_at(spec.optimizer, self.progress.step, part)
                losses.append(self.step(self.batches.at(self.progress.step), rate))
                self.progress.step += 1
                now = time.perf_counter()
                self.progress.seconds = before + now - begun
                if self.progress.step == first + 1:
                    # The first step compiles: it says nothing of how long the others take.
                    warm = now
                part = self._part()
                check = spec.checks and part * spec.checks >= self.checks + 1
                if not (check or part >= 1 or now - shown > 0.5 or len(losses) >= 100):
                    continue
                nats = self._mean(losses, rate)
                losses.clear()
                shown = now
                validation = self._check(part) if check else None
                writer.writerow(
                    (
                        self.progress.step,
                        f"{self.progress.seconds:.3f}",
                        f"{rate:.3e}",
                        f"{nats:.5f}",
                        "" if validation is None else f"{validation:.5f}",
                    )
                )
                file.flush()
                if self.progress.step > first + 1:
                    self._show(part, nats, (now - warm) / (self.progress.step - first - 1))
                if now - kept > CHECKPOINT_EVERY:
                    self.step.sync()
                    checkpoint.save(self.run.path, self.model, self.optimizer, self.progress)
                    kept = time.perf_counter()

    def _begin_metrics(self):
        """Leaves in metrics.csv the rows up to the step that training goes on from.

        A run that was killed wrote rows after its last checkpoint.
        """
        file = self.run.path / METRICS
        rows = file.read_text(encoding="utf-8").splitlines()[1:] if file.is_file() else []
        kept = [row for row in rows if int(row.partition(",")[0]) <= self.progress.step]
        write_text(file, "\n".join([",".join(COLUMNS), *kept, ""]))

    def _mean(self, losses, rate):
        """Mean nats per character of some steps' losses, which are per unit."""
        mean = float(np.mean([float(value) for value in losses]))
        if not np.isfinite(mean):
            saved = (self.run.path / checkpoint.FILE).is_file()
            raise MdnnError(
                f"the loss is {mean} at step {self.progress.step:,} (learning rate {rate:.2e}); "
                f"{self.run.path} has {'its last' if saved else 'no'} checkpoint"
            )
        return mean / self.characters_per_unit

    def _check(self, part):
        """Validation nats per character on pieces from all over the validation part."""
        self.checks = int(part * self.run.config.train.checks)
        self.step.sync()
        nats, characters = self._score(spread(self.data.validation, CHECK_UNITS))
        self.validation = nats / characters
        return self.validation

    def _score(self, units):
        return self.scorer.total(units, self.data.codec, self.run.config.context.slots)

    def _show(self, part, nats, per_step):
        """Shows how far the run is; `per_step` is how many seconds a step takes."""
        spec = self.run.config.train
        if spec.steps is not None:
            left = (spec.steps - self.progress.step) * per_step
        else:
            left = 60 * spec.minutes - self.progress.seconds
        speed = self.characters_per_step / per_step
        self.display.update(part, nats, speed, left, self.progress.step, self.validation)
