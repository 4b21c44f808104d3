"""The study: which trials there were and what the next one tries, kept in a journal by Optuna.

A trial is proposed from those before it and its own number alone, so that a study that was stopped and
goes on proposes what it would have proposed without. A trial under way when it was stopped is gone
on with first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.model.tuning.knobs import Knob
from skewless.model.tuning.result import TrialResult
from skewless.model.tuning.stopped import JOURNAL
from skewless.schemas.errors import UsageError

if TYPE_CHECKING:
    import optuna

__all__ = ["Study"]

_NAME = "tuning"
_SUBJECT = "subject"
_REASON, _SECONDS = "reason", "seconds"
# Trials of random settings before others lead the way, and before any is given up; and the share of
# a trial's epochs that it is given in any case.
_RANDOM_TRIALS, _TRIALS_BEFORE_PRUNING, _SPARED_SHARE = 8, 4, 5


class Study:
    """The trials of one output."""

    def __init__(
        self,
        output: Path,
        knobs: Sequence[Knob],
        subject: str,
        *,
        maximize: bool,
        epochs: int,
        seed: int,
    ) -> None:
        """Opens a study, or makes one whose first trial is the spec as declared.

        Args:
          output: Its directory.
          knobs: What its trials turn.
          subject: What trials that can be compared have in common.
          maximize: Whether more of the metric is better.
          epochs: Of a trial, at most.
          seed: Of the proposals.

        Raises:
          UsageError: If Optuna is not installed, or the study there is of something else.
        """
        self._optuna = _optuna()
        self._states = self._optuna.trial.TrialState
        self._knobs, self._seed, self._maximize = knobs, seed, maximize
        output.mkdir(parents=True, exist_ok=True)
        backend = self._optuna.storages.journal.JournalFileBackend(str(output / JOURNAL))
        self._storage = self._optuna.storages.JournalStorage(backend)
        self._study = self._optuna.create_study(
            storage=self._storage,
            study_name=_NAME,
            load_if_exists=True,
            direction="maximize" if maximize else "minimize",
            pruner=self._optuna.pruners.MedianPruner(
                n_startup_trials=_TRIALS_BEFORE_PRUNING,
                n_warmup_steps=max(1, epochs // _SPARED_SHARE),
            ),
        )
        if self._study.user_attrs.get(_SUBJECT, subject) != subject:
            raise UsageError(
                f"{output}: holds trials of another spec, other records, another metric or other "
                "knobs; choose another --output, or remove that directory"
            )
        if not self._study.get_trials(deepcopy=False):
            self._study.set_user_attr(_SUBJECT, subject)
            self._study.enqueue_trial({knob.name: knob.declared for knob in knobs})

    def ended(self) -> list[TrialResult]:
        """Returns the trials that ended, in any way, in their order."""
        return [
            TrialResult(
                number=trial.number,
                settings={knob.name: trial.params[knob.name] for knob in self._knobs},
                score=trial.value if trial.state == self._states.COMPLETE else None,
                epochs=max(trial.intermediate_values, default=0),
                seconds=trial.user_attrs[_SECONDS],
                reason=trial.user_attrs.get(_REASON, ""),
            )
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state.is_finished()
        ]

    def best(self) -> TrialResult | None:
        """Returns the best trial that ran to its end, the earliest of equals; None without one."""
        sign = -1 if self._maximize else 1
        complete = [(trial, trial.score) for trial in self.ended() if trial.score is not None]
        ordered = sorted(complete, key=lambda entry: (sign * entry[1], entry[0].number))
        return ordered[0][0] if ordered else None

    def next(self) -> tuple[optuna.trial.Trial, dict[str, Any]]:
        """Returns the trial to train now, one under way first, and its settings by knob."""
        trials = self._study.get_trials(deepcopy=False)
        begun = [trial for trial in trials if not trial.state.is_finished()]
        number = begun[0].number if begun else len(trials)
        self._study.sampler = self._optuna.samplers.TPESampler(
            seed=self._seed + number, n_startup_trials=_RANDOM_TRIALS
        )
        if begun and begun[0].state == self._states.RUNNING:
            study_id = self._storage.get_study_id_from_name(_NAME)
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, number)
            trial = self._optuna.trial.Trial(self._study, trial_id)
        else:
            trial = self._study.ask()
        return trial, {knob.name: knob.set_by(trial) for knob in self._knobs}

    def complete(self, trial: optuna.trial.Trial, score: float, seconds: float) -> None:
        """Ends a trial that ran to its end."""
        trial.set_user_attr(_SECONDS, seconds)
        self._study.tell(trial, score)

    def give_up(self, trial: optuna.trial.Trial, reason: str, seconds: float) -> None:
        """Ends a trial that is not worth its time, or whose training could not go on."""
        self._end(trial, reason, seconds, self._states.PRUNED)

    def fail(self, trial: optuna.trial.Trial, reason: str, seconds: float) -> None:
        """Ends a trial that could not be built, which says nothing of its neighbours."""
        self._end(trial, reason, seconds, self._states.FAIL)

    def _end(self, trial: optuna.trial.Trial, reason: str, seconds: float, state: Any) -> None:
        trial.set_user_attr(_SECONDS, seconds)
        trial.set_user_attr(_REASON, reason)
        self._study.tell(trial, state=state)


def _optuna() -> Any:
    try:
        import optuna
        import optuna.storages.journal
    except ImportError as error:
        raise UsageError(
            "tune needs optuna; install it with: pip install 'skewless[tune]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
