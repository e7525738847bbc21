"""Frames and arrays of one or several runs that tables, claims, figures and pages start from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import statistics
from analysis.load import Run, run_labels
from analysis.scored import ScoredImages, images_of
from models.registry import FAMILIES
from search.record import lower_is_better

BOOTSTRAPS = 1000  # resamples of the test images behind a trial's intervals


def all_trials(runs: Sequence[Run]) -> pd.DataFrame:
    """The trials of all runs, with the column `run` in front; indexed by trial, which is not unique.

    `random_weights` says of each whether its backbone began with random weights in place of pretrained ones.
    """
    frames = []
    for label, run in zip(run_labels(runs), runs, strict=True):
        frame = run.trials.assign(random_weights=random_weights(run))
        frame.insert(0, "run", label)
        frames.append(frame)
    return pd.concat(frames)


def random_weights(run: Run) -> "pd.Series[bool]":
    """Of each trial whether its backbone began with random weights in place of pretrained ones."""
    given = run.record.config.get("weights")
    of_backbones = given if isinstance(given, Mapping) else dict.fromkeys(FAMILIES, given)
    without = {name for name, family in FAMILIES.items() if family.pretrained and of_backbones.get(name) == "none"}
    backbones = run.trials.get("backbone", pd.Series("", run.trials.index))
    return backbones.isin(without)


def confusions_on_test(runs: Sequence[Run]) -> dict[tuple[str, int], Any]:
    """Confusion matrices on the test set by run and trial; rows are true classes."""
    found: dict[tuple[str, int], Any] = {}
    for label, run in zip(run_labels(runs), runs, strict=True):
        test = run.evaluations[run.evaluations["dataset"] == "test"]
        found |= {(label, trial): matrix for trial, matrix in zip(test["trial"], test["confusion"], strict=True)}
    return found


def best_trials(run: Run, count: int) -> list[int]:
    """The numbers of the best trials by validation, whether finished or not."""
    known = run.trials[run.metric].dropna()
    return [int(t) for t in known.sort_values(ascending=lower_is_better(run.metric), kind="stable").index[:count]]


def parameters_of(run: Run, trial: int) -> dict[str, Any]:
    """A trial's hyperparameters by name, absent ones left out."""
    row = run.trials.loc[trial, list(run.hyperparameters)]
    return {str(name): value for name, value in row.items() if value is not None and value == value}


def scored_images(run: Run, trial: int, dataset: str = "test") -> ScoredImages:
    """A trial's predictions on a set of images; none where it has none."""
    return images_of(run.predictions(trial), dataset, run.classes)


def resamples(patients: NDArray[np.int64]) -> NDArray[np.float32]:
    """The same `BOOTSTRAPS` resamples for every trial on the same images, of N: float32 (BOOTSTRAPS, N)."""
    return statistics.bootstrap_weights(patients, BOOTSTRAPS)
