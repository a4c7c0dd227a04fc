"""Trains a network within a budget of minutes or steps, with evaluation and checkpoints."""

import math
import time

from mdnn.config.growing import stage_configs
from mdnn.errors import MdnnError
from mdnn.machine import return_free_memory
from mdnn.models.loss import loss_for
from mdnn.training import checkpoint
from mdnn.training.ema import swapped_in, take_averages
from mdnn.training.growing.stages import enter_stage, say_stage, stage_is_due
from mdnn.training.learning_rate import rate_at
from mdnn.training.microbatches import task_microbatches
from mdnn.training.mixed_precision import resolved
from mdnn.training.mode_losses import ModeLosses
from mdnn.training.optimizers import make_optimizer
from mdnn.training.plans.trained_part import TrainedPart
from mdnn.training.plans.trained_widths import TrainedWidths
from mdnn.training.progress import clock
from mdnn.training.run_output import RunOutput
from mdnn.training.signals import Stopping, TerminationSignal, signal_number
from mdnn.training.steps.evolution import strategy_of
from mdnn.training.steps.nonfinite import LossMonitor
from mdnn.training.steps.step import make_step

# Target number of rows in metrics.csv for a budget in steps, and maximum steps per row.
ROWS, ROW = 200, 100


class Training(RunOutput):
    """Trains the network of one run.

    Args:
        run: `mdnn.runs.run_folder.Run` with its network set.
        task: `mdnn.tasks.base.Task` with its data open.
        display: `mdnn.training.progress.Display`.
        config: the run's whole `mdnn.Config`, with all stages; `None` for that of `run`.

    Attributes:
        devices: see `mdnn.training.steps.step.make_step`.
    """

    devices = None

    def __init__(self, run, task, display, config=None):
        self.display, self.config = display, run.config if config is None else config
        self.stages = stage_configs(self.config)
        self.progress = checkpoint.Progress()
        self._set_up(run, task)

    def _set_up(self, run, task):
        """Makes the step, the optimizer and everything else that belongs to one network."""
        self.run, self.model, self.task = run, run.model, task
        self.checked = False
        self.batches = task.batches
        staged = len(self.stages) > 1
        self.mode_losses = ModeLosses(task.mode_shares, task.units_per_token, staged)
        spec = run.config.train
        plan = TrainedWidths if spec.partial.select == "all" else TrainedPart
        self.plan = plan(run.config, self.model, task)
        variables = self.plan.variables
        precision = resolved(spec.precision)
        self.optimizer = make_optimizer(spec.optimizer, variables, spec.ema_decay, precision)
        networks, loss = task.networks(self.model), loss_for(run.config)
        self.strategy = strategy_of(run.config)
        self.microbatches = task_microbatches(task) if self.strategy is None else 1
        self.step = make_step(
            self.plan.step_networks(networks),
            loss,
            self.optimizer,
            self.batches,
            precision=precision,
            loss_model=self.plan.loss_model,
            xla=spec.xla,
            microbatches=self.microbatches,
            strategy=self.strategy,
            devices=self.devices,
        )
        self.step = self.plan.wrapped(self.step, self.optimizer)
        self.feed = task.feed()
        self.feed.follow(self.step)
        self.evaluator = task.evaluator(networks)
        names = [variable.path for variable in variables]
        self.losses = LossMonitor(names, spec.not_finite == "skip", self.display.say)

    def restore(self):
        """Restores the newest readable checkpoint of the run folder."""
        self.progress = checkpoint.restore(self.run.path, self.sections(), self.display.say)
        self.round_weights()
        self.plan.restored(self.progress.step)
        self.feed.restored()
        done = f"{self.progress.step:,}, after {clock(self.progress.seconds)} of training"
        self.display.say(f"going on with {self.run.path} at step {done}")

    def round_weights(self):
        """Rounds int8 weights of another run or a smaller network, which have another grid."""
        if self.strategy is not None:
            self.strategy.start(self.model.trainable_variables)

    def run_all(self):
        """Trains to the end of the budget, writes the run, and returns the final metrics.

        Returns:
            dict, see `train`.
        """
        number = None
        try:
            with self.display:
                if self.progress.step == 0:
                    self._sample("Before training it writes")
                number = self._train()
        except (KeyboardInterrupt, TerminationSignal) as error:
            number = signal_number(error)
        # Signals received while saving take effect afterwards.
        with Stopping() as stopping:
            self._settle()
            self.save()
            take_averages(self.optimizer, self.model.trainable_variables)
            self._write_run()
        number = stopping.number if number is None else number
        if number is not None:
            self.display.say(f"stopped at step {self.progress.step:,}; --resume goes on")
        self._sample(f"After {clock(self.progress.seconds)} of training it writes")
        return self._results(number)

    def _now(self):
        """Returns the time in seconds from which budgets and intervals are counted."""
        return time.perf_counter()

    def _stop_number(self, number):
        """Returns the number of the signal that stops the training; `None` for none.

        Args:
            number: int, the signal that this process received, or `None`.
        """
        return number

    def _spent(self):
        """Returns the spent fraction of the budget, a float."""
        spec = self.run.config.train
        if spec.steps is not None:
            return self.progress.step / spec.steps
        return self.progress.seconds / (60 * spec.minutes) if spec.minutes else 1.0

    def _train(self):
        """Takes steps until the budget is spent.

        Returns:
            int, the signal that stopped the training early, or `None`.
        """
        spec, progress = self.run.config.train, self.progress
        metrics, before, stop = self._open_metrics(), progress.seconds, None
        begun = shown = kept = warm = self._now()
        compiled, first, rowed = set(), progress.step, progress.step
        checks = int(self._spent() * spec.num_evaluations)
        say_stage(self)
        with Stopping() as stopping:
            while (spent := self._spent()) < 1:
                if (stop := self._stop_number(stopping.number)) is not None:
                    break
                if stage_is_due(self, spent):
                    enter_stage(self)
                    spec, progress, compiled = self.run.config.train, self.progress, set()
                    kept = self._now()
                    continue
                rate = rate_at(spec.optimizer, progress.step, spent)
                self.feed.spent = spent
                objective = self.feed.objective(progress.step)
                mode = self.plan.name(objective, progress.step)
                if mode not in compiled:
                    self.display.compiling(mode, self.microbatches)
                    traced = time.perf_counter()
                loss = self.step(self.feed.batch(progress.step), rate, mode)
                self.feed.update()
                progress.step += 1
                counted = self.plan.counted(objective, mode)
                self.losses.add(progress.step, rate, counted, loss, self.step.fault)
                self._settle(but=1)
                now = self._now()
                progress.seconds = before + now - begun
                if mode not in compiled:
                    # Exclude first steps, which compile, from the measured speed.
                    compiled.add(mode)
                    self.display.compiled(mode, self.microbatches, time.perf_counter() - traced)
                    return_free_memory()
                    warm, first = now, progress.step
                spent = self._spent()
                check = spec.num_evaluations and spent * spec.num_evaluations >= checks + 1
                if check or spent >= 1 or self._row_is_due(now - shown, progress.step - rowed):
                    self._settle()
                    if check:
                        checks = int(spent * spec.num_evaluations)
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
                    self._show(spent, (now - warm) / (progress.step - first))
                if now - kept > spec.checkpoints.seconds:
                    self._settle()
                    self.save()
                    kept = self._now()
        return stop if self._spent() < 1 else None

    def _row_is_due(self, seconds, steps):
        """Returns whether to write a row of metrics.csv.

        With a budget in steps the result does not depend on the clock, so that runs of one config
        have the same rows.

        Args:
            seconds: float, time since the progress was last shown.
            steps: int, number of steps since the last row.
        """
        if (budget := self.run.config.train.steps) is not None:
            return self.progress.step % max(1, min(ROW, budget // ROWS)) == 0
        return seconds > 0.5 or steps >= ROW

    def _settle(self, but=0):
        """Checks the losses of all steps except the last `but`; see `LossMonitor.settle`.

        Raises:
            MdnnError: see `LossMonitor.settle`; the message also names the last checkpoint.
        """
        try:
            self.losses.settle(self.progress, but)
        except MdnnError as error:
            last = checkpoint.newest(self.run.path)
            stands = "no checkpoint" if last is None else f"its last checkpoint, {last.name}"
            raise MdnnError(f"{error}; {self.run.path} has {stands}") from None

    def _check(self):
        """Evaluates the network on a validation sample, with the EMA weights if enabled."""
        self.step.sync()
        with swapped_in(self.optimizer, self.model.trainable_variables):
            self._check_weights()
        if not self.checked:
            # Frees the memory that tracing the evaluation needed.
            self.checked = True
            return_free_memory()

    def _check_weights(self):
        """Evaluates the current weights and saves them if their validation loss is the lowest."""
        progress = self.progress
        checked = self.evaluator.quick(self.task.validation)
        loss = self.mode_losses.combined(checked)
        if not math.isfinite(loss):
            self.display.say(f"the validation loss is {loss} at step {progress.step:,}")
            progress.validation = {}
            return
        progress.validation = checked
        if progress.best is None or loss < progress.best:
            progress.best = loss
            if self.run.config.train.checkpoints.best:
                self._save_best(loss)
