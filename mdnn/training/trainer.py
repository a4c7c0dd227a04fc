"""The training loop: a budget of minutes or steps, checks on the way, stop and go on."""

import math
import time
from pathlib import Path

import keras

from mdnn.config.load import load_config
from mdnn.datasets.fingerprint import source_change, write_source
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import check_new_folder, sweep
from mdnn.models.builder import build
from mdnn.models.loss import loss_for
from mdnn.runs.run_folder import Run, read_words, write_about, write_run
from mdnn.tasks.head_init import init_head_bias
from mdnn.tasks.registry import task_for
from mdnn.training import checkpoint
from mdnn.training.ema import swapped_in, take_averages
from mdnn.training.metrics_log import Metrics, read_metrics, sync
from mdnn.training.microbatches import num_microbatches
from mdnn.training.mixed_precision import resolved
from mdnn.training.mode_losses import ModeLosses
from mdnn.training.nonfinite import LossMonitor
from mdnn.training.notebook_display import make_display
from mdnn.training.optimizers import make_optimizer, rate_at
from mdnn.training.plots import loss_curve
from mdnn.training.preparation import anchored, own_folders, resumed_config
from mdnn.training.progress import Ticker, clock
from mdnn.training.run_lock import locked
from mdnn.training.signals import Stopping, TerminationSignal, signal_name, signal_number
from mdnn.training.step import make_step

PICTURE = "loss.png"
# Rows of metrics.csv in a whole run of so many steps, and steps of a row at most.
ROWS, ROW = 200, 100


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
        `units_per_second`), `stopped`, `signal` (the name of the signal that stopped it, or
        None), `run`; with `train.not_finite = "skip"` also `skipped`.

    Raises:
        MdnnError: an `out` that holds something else, a source that cannot be read, a text too
            short for the context, items that do not fit it; an `out` that another process
            trains into or a newer mdnn made; a loss that is not finite.
        OSError: a full disk, a folder that cannot be written to; what was there stays.
    """
    if isinstance(config, (str, Path)):
        config = load_config(config)
    config = anchored(config)
    path = as_path(out, "out")
    words = None
    if resume:
        config = resumed_config(config, path)
    else:
        check_new_folder(path)
    begun = resume and checkpoint.newest(path) is not None
    if begun and config.tokens.words:
        words = read_words(path)
    if config.train.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    task = task_for(config, words).open()
    run = Run(path, config, task.words)
    model = build(config, run.words)
    training = Training(run.holding(model), task, make_display(show, unit=task.unit))
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        for folder in own_folders(path):
            sweep(folder)
        if begun:
            training.restore()
            if changed := source_change(path, task.fingerprint()):
                training.display.say(changed)
        else:
            # Another process may have made it meanwhile.
            if not resume:
                check_new_folder(path)
            else:
                training.display.say(f"{path} has no checkpoint yet: it begins again")
            init_head_bias(model.heads, task.head_tokens())
            write_about(path, config, run.words)
            task.write_about(path)
            write_source(path, config.data.source, task.fingerprint())
        return training.run_all()


class Training:
    """One run's model, data and optimizer, and the loop over them.

    Args:
        run: `mdnn.runs.run_folder.Run`, the folder and config, with the network at hand.
        task: `mdnn.tasks.base.Task`, opened.
        display: `mdnn.training.progress.Display`.
    """

    def __init__(self, run, task, display):
        self.run, self.model, self.task, self.display = run, run.model, task, display
        self.batches = task.batches
        self.mode_losses = ModeLosses(task.mode_shares, task.units_per_token)
        spec, variables = run.config.train, self.model.trainable_variables
        precision = resolved(spec.precision)
        self.optimizer = make_optimizer(spec.optimizer, variables, spec.ema_decay, precision)
        networks, loss = task.networks(self.model), loss_for(run.config)
        self.microbatches = num_microbatches(spec.batch_size) if task.divisible else 1
        self.step = make_step(
            networks,
            loss,
            self.optimizer,
            self.batches,
            precision=precision,
            learner=task.loss_model,
            xla=spec.xla,
            parts=self.microbatches,
        )
        self.feed = task.feed()
        self.feed.follow(self.step)
        self.evaluator = task.evaluator(networks)
        self.progress = checkpoint.Progress()
        names = [variable.path for variable in self.model.trainable_variables]
        self.losses = LossMonitor(names, spec.not_finite == "skip", display.say)

    def parts(self):
        """What a checkpoint holds: a dict of dicts of variables, see `checkpoint.parts_of`."""
        return checkpoint.parts_of(self.model, self.optimizer) | self.feed.state()

    def restore(self):
        """Goes on from the newest checkpoint in the run folder that can be read."""
        self.progress = checkpoint.restore(self.run.path, self.parts(), self.display.say)
        self.feed.restored()
        done = f"{self.progress.step:,}, after {clock(self.progress.seconds)} of training"
        self.display.say(f"going on with {self.run.path} at step {done}")

    def run_all(self):
        """Trains to the end of the budget, writes the run, evaluates; returns the figures."""
        number = None
        try:
            with self.display:
                if self.progress.step == 0:
                    self._sample("Before training it writes")
                number = self._train()
        except (KeyboardInterrupt, TerminationSignal) as error:
            number = signal_number(error)
        # A signal that comes meanwhile waits until everything is saved.
        with Stopping() as stopping:
            self._settle()
            self._save()
            take_averages(self.optimizer, self.model.trainable_variables)
            write_run(self.run.path, self.run.config, self.run.words, self.model)
        number = stopping.number if number is None else number
        # None where training was stopped before its first figures.
        if metrics := read_metrics(self.run.path):
            title = f"{self.model.count_params():,} parameters, {self.run.config.data.source}"
            self._draw(metrics, title)
        if number is not None:
            self.display.say(f"stopped at step {self.progress.step:,}; --resume goes on")
        self._sample(f"After {clock(self.progress.seconds)} of training it writes")
        seconds = self.progress.seconds
        units = self.progress.step * self.task.units_per_step
        skips = self.run.config.train.not_finite == "skip"
        skipped = {"skipped": self.progress.skipped} if skips else {}
        ticker = Ticker("evaluating", self.display.show)
        limit = self.run.config.train.final_evaluation
        metrics = self.task.final_metrics(self.evaluator, limit, ticker, self.display.say)
        return metrics | {
            "parameters": self.model.count_params(),
            "steps": self.progress.step,
            "seconds": round(seconds, 1),
            f"{self.task.unit}s_per_second": round(units / seconds) if seconds else 0,
            "stopped": number is not None,
            "signal": signal_name(number),
            "run": str(self.run.path),
            **skipped,
        }

    def _draw(self, metrics, title):
        """Draws the loss curve; a failure ends no training that is saved already."""
        try:
            loss_curve(metrics, self.run.path / PICTURE, title, self.task.unit)
        except OSError:
            raise
        except Exception as error:
            self.display.say(f"{self.run.path / PICTURE} is not drawn: {error}")

    def _save(self):
        """Writes a checkpoint."""
        self.step.sync()
        sync(self.run.path)
        keep = self.run.config.train.checkpoints.keep
        checkpoint.save(self.run.path, self.parts(), self.progress, keep)

    def _sample(self, title):
        """Lets the network write something into samples/, where the config asks for it."""
        if self.run.config.train.sample:
            self.step.sync()
            self.task.sample(self.run, self.progress.step, title, self.display.say)

    def _part(self):
        """The part of the budget that is spent."""
        spec = self.run.config.train
        if spec.steps is not None:
            return self.progress.step / spec.steps
        return self.progress.seconds / (60 * spec.minutes) if spec.minutes else 1.0

    def _train(self):
        """Takes steps until the budget is spent; returns the signal that stopped it, or `None`."""
        spec, progress = self.run.config.train, self.progress
        metrics = Metrics(self.run.path, self.mode_losses.columns(), progress.step)
        before = progress.seconds
        begun = shown = kept = warm = time.perf_counter()
        compiled, first, rowed = set(), progress.step, progress.step
        checks = int(self._part() * spec.num_evaluations)
        with Stopping() as stopping:
            while (part := self._part()) < 1 and not stopping.asked:
                rate = rate_at(spec.optimizer, progress.step, part)
                way = self.batches.objective(progress.step)
                if way not in compiled:
                    self.display.compiling(way, self.microbatches)
                    traced = time.perf_counter()
                loss = self.step(self.feed.batch(progress.step), rate, way)
                self.feed.update()
                progress.step += 1
                self.losses.add(progress.step, rate, way, loss, self.step.fault)
                self._settle(but=1)
                now = time.perf_counter()
                progress.seconds = before + now - begun
                if way not in compiled:
                    # A first step compiles: it says nothing of how long the others take.
                    compiled.add(way)
                    self.display.compiled(way, self.microbatches, now - traced)
                    warm, first = now, progress.step
                part = self._part()
                check = spec.num_evaluations and part * spec.num_evaluations >= checks + 1
                if check or part >= 1 or self._row_is_due(now - shown, progress.step - rowed):
                    self._settle()
                    if check:
                        checks = int(part * spec.num_evaluations)
                        self._check()
                    progress.train_loss = self.mode_losses.train_losses(progress)
                    progress.losses = []
                    checked = progress.validation if check else {}
                    metrics.write(self.mode_losses.row(progress, rate, checked))
                    rowed = progress.step
                elif now - shown <= 0.5:
                    continue
                shown = now
                if progress.step > first:
                    self._show(part, (now - warm) / (progress.step - first))
                if now - kept > spec.checkpoints.seconds:
                    self._settle()
                    self._save()
                    kept = time.perf_counter()
        return stopping.number if self._part() < 1 else None

    def _row_is_due(self, seconds, steps):
        """Whether metrics.csv gets a row: of a budget in steps the clock has no say in it."""
        if (budget := self.run.config.train.steps) is not None:
            return self.progress.step % max(1, min(ROW, budget // ROWS)) == 0
        return seconds > 0.5 or steps >= ROW

    def _settle(self, but=0):
        """Looks at the losses of all steps but the last so many; see `LossMonitor.settle`."""
        try:
            self.losses.settle(self.progress, but)
        except MdnnError as error:
            last = checkpoint.newest(self.run.path)
            stands = "no checkpoint" if last is None else f"its last checkpoint, {last.name}"
            raise MdnnError(f"{error}; {self.run.path} has {stands}") from None

    def _check(self):
        """Takes validation nats of each way on pieces from all over the validation part."""
        self.step.sync()
        with swapped_in(self.optimizer, self.model.trainable_variables):
            self._check_weights()

    def _check_weights(self):
        """Takes validation nats of the network as it stands, and keeps it where it is the best."""
        progress = self.progress
        checked = self.evaluator.quick(self.task.validation)
        nats = self.mode_losses.combined(checked)
        if not math.isfinite(nats):
            self.display.say(f"the validation loss is {nats} at step {progress.step:,}")
            progress.validation = {}
            return
        progress.validation = checked
        if progress.best is None or nats < progress.best:
            progress.best = nats
            if self.run.config.train.checkpoints.best:
                checkpoint.save_best(self.run.path, self.model, progress.step, nats)

    def _show(self, part, per_step):
        """Shows how far the run is; `per_step` is how many seconds a step takes."""
        spec = self.run.config.train
        if spec.steps is not None:
            left = (spec.steps - self.progress.step) * per_step
        else:
            left = 60 * spec.minutes - self.progress.seconds
        losses, checked = self.mode_losses.train_losses(self.progress), self.progress.validation
        if not losses:
            return
        speed = self.task.units_per_step / per_step
        validation = self.mode_losses.combined(checked) if checked else None
        loss = self.mode_losses.combined(losses)
        self.display.update(part, loss, speed, left, self.progress.step, validation)
