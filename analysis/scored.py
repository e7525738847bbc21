"""A model with its results: a trial's weights, or what the search exported, which may average several trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.load import Run
from search.record import FINISHED, Evaluation, Winner, lower_is_better, read_evaluation, trial_name

if TYPE_CHECKING:
    import pandas as pd


# Shown in place of a table or figure of predictions where there are none.
OF_FINDINGS = "An image may show several findings: their table says what each is worth."
NOT_SCORED = "There are no predictions: only finished trials are scored, once the search has ended."


@dataclass(frozen=True, eq=False)
class Scored:
    """One model and its results.

    Attributes:
        run: that the model comes from.
        trial: the number of its trial; of its best member where it averages several trials.
        exported: the record of the model that the search exported; `None` for a trial's own model.
    """

    run: Run
    trial: int
    exported: Winner | None = None

    @property
    def what(self) -> str:
        """The model in words: `trial 0007`, `the mean of trials 0007, 0003, calibrated on validation`."""
        return self.exported.what if self.exported else f"trial {trial_name(self.trial)}"

    @property
    def is_chosen(self) -> bool:
        """Whether it is the exported model; before there is one, whether it is the best so far."""
        return self.exported is not None or (self.run.winner is None and self.trial == winner(self.run))

    @property
    def is_trial(self) -> bool:
        """Whether it is one trial's model as it was trained: neither averaged nor calibrated."""
        return self.exported is None or (len(self.exported.trials) == 1 and not self.exported.calibrated_on)

    @cached_property
    def evaluations(self) -> dict[str, Evaluation]:
        """Its scores by set of images: test first, then validation, then outside sets; empty where it has none."""
        if self.exported is not None:
            found = {entry.dataset: entry for entry in self.exported.evaluations}
        else:
            own = self.run.evaluations[self.run.evaluations["trial"] == self.trial]
            rows: list[dict[str, Any]] = own.to_dict("records")  # type: ignore[assignment] # its columns are fields
            found = {row["dataset"]: read_evaluation(row) for row in rows}
        names = sorted(found, key=lambda name: (name != "test", name != "validation", name))
        return {name: found[name] for name in names}

    def confusion(self, dataset: str) -> NDArray[np.int64]:
        """Its confusion matrix on a set of images that it was scored on: int64 (K, K), rows are true classes."""
        return np.asarray(self.evaluations[dataset].confusion, np.int64)

    def images(self, dataset: str) -> "ScoredImages":
        """Its predictions on a set of images as arrays; none where there are none."""
        return images_of(self.predictions(dataset), dataset, self.run.classes)

    def predictions(self, dataset: str) -> "pd.DataFrame":
        """One row an image of a set: `image_id`, `label`, `patient`, `p_<class>`; no rows where there are none."""
        if dataset not in self.evaluations:
            return self.run.no_predictions
        found = self.run.winner_predictions if self.exported else self.run.predictions(self.trial)
        return found[found["dataset"] == dataset].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class ScoredImages:
    """A model's predictions on one set of images, sorted by image.

    Attributes:
        labels: int64 (N,), in [0, K); N may be 0. Of several findings an image 0 or 1, (N, K).
        probabilities: float32 (N, K).
        patients: int64 (N,), a number for each patient; images whose patient is not known have one of their own.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    patients: NDArray[np.int64]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether the most probable class is the true one, bool (N,); of images with one class each."""
        right: NDArray[np.bool_] = self.labels == self.probabilities.argmax(axis=1)
        return right


def images_of(predictions: "pd.DataFrame", dataset: str, classes: Sequence[str]) -> ScoredImages:
    """One set of images among predictions, as `Run.predictions` gives them."""
    own = predictions[predictions["dataset"] == dataset].sort_values("image_id", kind="stable")
    probabilities = own[[f"p_{name}" for name in classes]].to_numpy(np.float32)
    of_each = [f"label_{name}" for name in classes]
    labels = own["label"] if "label" in own else own[of_each]
    return ScoredImages(labels.to_numpy(np.int64), probabilities, own["patient"].to_numpy(np.int64))


def finished_by_metric(run: Run, metric: str | None = None) -> "pd.Series[float]":
    """A validation score of the finished trials by number, the best first; of the run's metric where none is named."""
    name = metric or run.metric
    finished = run.trials[(run.trials["status"] == FINISHED) & run.trials[name].notna()]
    return finished[name].sort_values(ascending=lower_is_better(name), kind="stable")


def winner(run: Run) -> int | None:
    """The best trial of the exported model; before there is one, the best finished trial by validation, if any."""
    if run.winner is not None and run.winner.trials[0] in run.trials.index:
        return run.winner.trials[0]
    return next(iter(finished_by_metric(run).index.map(int)), None)


def scored_winner(run: Run) -> Scored | None:
    """The model that the search exported; before there is one, the best finished trial, if any."""
    trial = winner(run)
    return None if trial is None else Scored(run, trial, run.winner)


def scored_trial(run: Run, trial: int) -> Scored:
    """A trial's own model; the exported model where that is this trial as it was trained."""
    found = scored_winner(run)
    return found if found and found.trial == trial and found.is_trial else Scored(run, trial)
