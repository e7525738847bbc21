"""Optuna's storage of a search's trials: they can be revised, and of many ended ones TPE is shown some.

A suggestion of TPE takes time in proportion to the trials that it looks at: 21 ms for 600 on one core, 67 for 2,000. It
divides them in two: up to 25 good ones, and all others, whose weights fall with their age. Beyond 525 ended trials it
is therefore shown the 25 best, which are the good ones that it would choose itself, and the 500 newest others; with
them all that still run. Shorter searches draw as they did before. What is shown follows from the trials alone, so a
resumed search draws as it would have without the interruption.

Source: Optuna, TPESampler (default_gamma, default_weights).
"""

import copy
import math
from bisect import bisect_left, insort
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import InMemoryStorage
    from optuna.trial import FrozenTrial, TrialState

BEST = 25  # TPE's good trials, at the most
RECENT = 500


class Window:
    """Which of the ended trials are shown: ids of the `best` first ones by rank, and of the `recent` newest others.

    A rank is a tuple that sorts the better trial first, equal ones by their ids.
    """

    def __init__(self, best: int = BEST, recent: int = RECENT) -> None:
        self._best, self._recent = best, recent
        self._ranked: list[tuple[Any, int]] = []
        self._ranks: dict[int, Any] = {}
        self._ids: list[int] = []  # sorted

    def put(self, trial_id: int, rank: Any) -> None:
        """Note an ended trial, or its new rank."""
        self.drop(trial_id)
        self._ranks[trial_id] = rank
        insort(self._ids, trial_id)
        insort(self._ranked, (rank, trial_id))

    def drop(self, trial_id: int) -> None:
        """Forget a trial, if it is known: TPE ignores failed ones."""
        if trial_id in self._ranks:
            del self._ids[bisect_left(self._ids, trial_id)]
            del self._ranked[bisect_left(self._ranked, (self._ranks.pop(trial_id), trial_id))]

    def shown(self) -> set[int] | None:
        """The ids of the trials that are shown; None for all."""
        if len(self._ids) <= self._best + self._recent:
            return None
        best = {trial_id for _, trial_id in self._ranked[: self._best]}
        newest = (trial_id for trial_id in self._ids[-self._best - self._recent :] if trial_id not in best)
        return best | set(list(newest)[-self._recent :])


def study_storage(minimize: bool, window: Window | None = None) -> "InMemoryStorage":
    """Optuna's storage in memory: trials can be updated again after they trained on from a rung; see the module."""
    from optuna.storages import InMemoryStorage

    sign, ended = 1 if minimize else -1, Window() if window is None else window

    class StudyStorage(InMemoryStorage):
        def __init__(self) -> None:
            super().__init__()
            self._open: set[int] = set()

        def check_trial_is_updatable(self, trial_id: int, trial_state: "TrialState") -> None:
            """Allow every update."""

        def create_new_trial(self, study_id: int, template_trial: "FrozenTrial | None" = None) -> int:
            trial_id: int = super().create_new_trial(study_id, template_trial)
            self._note(trial_id)
            return trial_id

        def set_trial_state_values(
            self, trial_id: int, state: "TrialState", values: Sequence[float] | None = None
        ) -> bool:
            is_set: bool = super().set_trial_state_values(trial_id, state, values)
            self._note(trial_id)
            return is_set

        def get_all_trials(
            self, study_id: int, deepcopy: bool = True, states: "Container[TrialState] | None" = None
        ) -> "list[FrozenTrial]":
            """Those that are shown."""
            shown = ended.shown()
            if shown is None:
                found: list[FrozenTrial] = super().get_all_trials(study_id, deepcopy, states)
                return found
            trials = [self.get_trial(trial_id) for trial_id in sorted(shown | self._open)]
            kept = [trial for trial in trials if states is None or trial.state in states]
            return copy.deepcopy(kept) if deepcopy else kept

        def _note(self, trial_id: int) -> None:
            trial = self.get_trial(trial_id)
            if trial.state.is_finished():
                self._open.discard(trial_id)
                rank = _rank(trial, sign)
                ended.drop(trial_id) if rank is None else ended.put(trial_id, rank)
            else:
                self._open.add(trial_id)

    return StudyStorage()


def _rank(trial: "FrozenTrial", sign: int) -> tuple[float, float, float] | None:
    """TPE's own order: complete trials by value, then pruned ones by epochs and value there, then those without any."""
    from optuna.trial import TrialState

    if trial.state == TrialState.COMPLETE and trial.value is not None:
        return 0, sign * trial.value, 0
    if trial.state == TrialState.PRUNED and trial.intermediate_values:
        step, value = max(trial.intermediate_values.items())
        return 1, -step, math.inf if math.isnan(value) else sign * value
    return (1, 1, 0) if trial.state == TrialState.PRUNED else None
