"""The table of isolation: the best validation for each value of a hyperparameter."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from analysis.load import Run
from analysis.table import Table
from search.record import FINISHED, lower_is_better

BINS = 10  # of a hyperparameter with more distinct numbers


def isolation_table(trials: pd.DataFrame, hyperparameter: str, metric: str) -> pd.DataFrame:
    """The best validation for each value of one hyperparameter, every other tuned.

    `best` is the metric of the best trial with that value, `best_trial` its number, `test_accuracy` its accuracy
    on the test set; `median` is that of all trials with the value. A hyperparameter of many numbers is put in bins.
    """
    known = trials[trials[metric].notna() & trials[hyperparameter].notna()]
    values = bin_values(known[hyperparameter])
    ordered = known.assign(value=values, trial=known.index).sort_values(
        metric, ascending=lower_is_better(metric), kind="stable"
    )
    groups = ordered.groupby("value", sort=False, observed=True)
    test = ordered["test_accuracy"] if "test_accuracy" in ordered else pd.Series(np.nan, ordered.index)
    frame = pd.DataFrame(
        {
            "trials": groups.size(),
            "finished": ordered["status"].eq(FINISHED).groupby(ordered["value"], observed=True).sum(),
            "best": groups[metric].first(),
            "best_trial": groups["trial"].first(),
            "median": groups[metric].median(),
            # Of the best trial, also where it is NaN, which `first` of a group would skip.
            "test_accuracy": test.groupby(ordered["value"], observed=True)
            .head(1)
            .set_axis(groups["value"].first().index),
        }
    )
    order = list(values.cat.categories) if isinstance(values.dtype, pd.CategoricalDtype) else sorted(frame.index)
    frame = frame.reindex([value for value in order if value in frame.index]).rename_axis("value").reset_index()
    frame["value"] = frame["value"].astype(object)
    frame.insert(0, "hyperparameter", hyperparameter)
    return frame


def bin_values(values: pd.Series) -> pd.Series:
    """The values themselves; of more than `BINS` distinct numbers, the interval that each lies in.

    There are two bins a factor of ten where numbers are positive and span a factor of 100; otherwise each bin holds a
    tenth of the trials.
    """
    if not pd.api.types.is_numeric_dtype(values) or values.nunique() <= BINS:
        return values
    numbers = values.astype(float)
    low, high = numbers.min(), numbers.max()
    if low > 0 and high / low >= 100:
        first, last = np.floor(2 * np.log10(low)), np.ceil(2 * np.log10(high))
        edges = 10 ** (np.arange(first, last + 1) / 2)
        edges[-1] = max(edges[-1], high)
    else:
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)))
    labels = [f"{left:.2g} to {right:.2g}" for left, right in pairwise(edges)]
    places = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(labels) - 1)
    categories = list(dict.fromkeys(labels))
    return pd.Series(pd.Categorical([labels[place] for place in places], categories, ordered=True), values.index)


def isolation(run: Run, hyperparameters: Sequence[str] | None = None) -> pd.DataFrame:
    """The isolation tables of all hyperparameters that vary (or of those named), one below the other."""
    varied = [name for name in run.hyperparameters if run.trials[name].nunique() > 1]
    names = varied if hyperparameters is None else hyperparameters
    frames = [isolation_table(run.trials, name, run.metric) for name in names]
    columns = ["hyperparameter", "value", "trials", "finished", "best", "best_trial", "median", "test_accuracy"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


TABLES = (
    Table(
        "isolation",
        "Best validation for each value of a hyperparameter, every other tuned",
        "Meilleure validation pour chaque valeur d'un hyperparamètre, les autres étant optimisés",
        isolation,
        headings_fr={
            "finished": "terminés",
            "best": "meilleur",
            "best_trial": "meilleur essai",
            "median": "médiane",
        },
        section="space",
        caption="What the best trial with each value reached.",
        nothing="No hyperparameter differs.",
        closed=True,
    ),
)
