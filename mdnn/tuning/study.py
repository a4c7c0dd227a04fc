"""The trials of a search, kept by Optuna in one file of the search's folder."""

import contextlib
import itertools
import random
import warnings

from mdnn.errors import MdnnError
from mdnn.tuning.choices import num_combinations

JOURNAL = "study.log"
ALL_COMBINATIONS = 12
"""Up to this many combinations are all trained, in random order; beyond that, Optuna's TPE sampler
(Bergstra et al., "Algorithms for hyper-parameter optimization", 2011) proposes the next one."""


class Study:
    """Proposes combinations of values, remembers their results, decides which trials are poor.

    Args:
        folder: `pathlib.Path` of the search.
        choices: dict from config keys to lists of values, strings.
        seed: int, of the order and of the proposals.
        num_checks: int, validation checks of a whole trial.

    Raises:
        MdnnError: Optuna is not installed.
    """

    def __init__(self, folder, choices, seed, num_checks):
        self.optuna = _optuna()
        self.choices, self.seed, self.num_checks = choices, seed, num_checks
        optuna = self.optuna
        journal = optuna.storages.journal
        # The folder is locked by the search: a lock that any file system has is enough.
        lock = journal.JournalFileOpenLock(str(folder / JOURNAL))
        storage = journal.JournalFileBackend(str(folder / JOURNAL), lock_obj=lock)
        with _quiet(optuna):
            self.study = optuna.create_study(
                study_name="search",
                load_if_exists=True,
                storage=optuna.storages.JournalStorage(storage),
                sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=ALL_COMBINATIONS),
                # Worse than the median of the others at the same check: stopped, but neither the
                # first two trials nor in the first quarter of a training.
                pruner=optuna.pruners.MedianPruner(
                    n_startup_trials=2, n_warmup_steps=max(1, num_checks // 4)
                ),
            )
        if num_combinations(choices) <= ALL_COMBINATIONS and not self.study.trials:
            combinations = list(self._combinations())
            random.Random(seed).shuffle(combinations)
            for values in combinations:
                self.study.enqueue_trial(dict(zip(choices, values, strict=True)))

    def next_trial(self):
        """Returns a trial to train: one that was stopped, else a new combination, else `None`."""
        for trial in self.study.trials:
            if trial.state == self._state("RUNNING"):
                return self.optuna.trial.Trial(self.study, trial._trial_id)
        trial = self.study.ask()
        values = self.values(trial)
        if values not in self.tried(but=trial.number):
            return trial
        # The sampler proposed a combination that is known: its result is not measured twice.
        self.study.tell(trial, state=self._state("FAIL"))
        values = self._untried(trial.number)
        if values is None:
            return None
        self.study.enqueue_trial(values)
        return self.next_trial()

    def _untried(self, number):
        """Draws a combination that is not known; `None` if there seems to be none left."""
        draw, tried = random.Random(self.seed * 1_000_003 + number), self.tried()
        if num_combinations(self.choices) <= 10_000:
            left = [dict(zip(self.choices, v, strict=True)) for v in self._combinations()]
            left = [values for values in left if values not in tried]
            return draw.choice(left) if left else None
        for _ in range(1_000):
            values = {key: draw.choice(tried) for key, tried in self.choices.items()}
            if values not in tried:
                return values
        return None

    def _combinations(self):
        return itertools.product(*self.choices.values())

    def values(self, trial):
        """Returns the combination of a trial, a dict from keys to strings."""
        return {key: trial.suggest_categorical(key, tried) for key, tried in self.choices.items()}

    def tried(self, but=None):
        """Returns the combinations so far, a list of dicts; without the trial numbered `but`."""
        return [t.params for t in self.study.trials if t.number != but and t.params]

    def is_poor(self, trial, losses):
        """Reports a trial's validation losses and returns whether to stop it.

        Args:
            trial: an Optuna trial.
            losses: list of floats, of all checks so far.

        Returns:
            bool, whether the trial should be stopped.
        """
        before = self.study.trials[trial.number].intermediate_values
        for check, loss in enumerate(losses):
            if check not in before:
                trial.report(loss, check)
        # After the last check there is nothing left to save.
        return 0 < len(losses) < self.num_checks and trial.should_prune()

    def finish(self, trial, loss, state, **facts):
        """Records the end of a trial.

        Args:
            trial: an Optuna trial.
            loss: float, or `None` for a trial that failed.
            state: `"COMPLETE"`, `"PRUNED"` or `"FAIL"`.
            facts: further strings and numbers to store with it.
        """
        for name, value in facts.items():
            trial.set_user_attr(name, value)
        values = loss if state == "COMPLETE" else None
        if loss is not None:
            trial.set_user_attr("loss", loss)
        self.study.tell(trial, values, state=self._state(state))

    def rows(self):
        """Returns the ended trials, dicts with `trial`, `state`, `loss`, `values`, `losses`, facts.

        `loss` is in nats per unit, `None` for trials that failed. Best first.
        """
        names = {"COMPLETE": "complete", "PRUNED": "stopped early", "FAIL": "failed"}
        rows = [
            {
                "trial": trial.number,
                "state": names[trial.state.name],
                "loss": trial.user_attrs.get("loss"),
                "values": dict(trial.params),
                "losses": list(trial.intermediate_values.values()),
                **{k: v for k, v in trial.user_attrs.items() if k != "loss"},
            }
            for trial in self.study.trials
            # Without facts: a combination that the sampler proposed twice.
            if trial.state.name in names and trial.user_attrs
        ]
        return sorted(rows, key=_rank)

    def _state(self, name):
        return self.optuna.trial.TrialState[name]


def _rank(row):
    """Sorts complete trials first, by their loss; failed ones last."""
    loss = float("inf") if row["loss"] is None else row["loss"]
    return row["state"] != "complete", loss


def _optuna():
    try:
        import optuna
    except ImportError:
        raise MdnnError("a search needs Optuna: pip install 'mdnn[search]'") from None
    return optuna


@contextlib.contextmanager
def _quiet(optuna):
    """Keeps Optuna's messages and warnings off the screen inside the context."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
