"""The table of effects: each value of a hyperparameter against the first, all others being equal."""

from typing import Any

import numpy as np
import pandas as pd

from analysis import paired
from analysis.export import cell_text
from analysis.load import Run
from analysis.statistics import mean_interval, mean_p
from analysis.table import Table
from search.record import FINISHED, SHIFTED, TEST, VALIDATION

SCORES = ("val_accuracy", "val_auc", "test_accuracy", "test_auc")
MOST_VALUES = 10  # of a hyperparameter; with more it was sampled from a range, where no two trials share a value
COLUMNS = ("difference", "difference_low", "difference_high", "p", "holm", "fdr")  # of each score
KEYS = ("hyperparameter", "value", "against", "pairs")


def effects_table(run: Run) -> pd.DataFrame:
    """The effect of each value of a hyperparameter against its first value, over pairs that differ in nothing else.

    A grid has such pairs, with the same seed; a factorial ablation is a grid of two values each. Differences are the
    value minus the first one: means over pairs with Student's 95 % interval, which is NaN for one pair.

    Returns:
        A row a hyperparameter and value: `KEYS`, then of the run's metric, of `SCORES`, and of accuracy and AUC on each
        outside set `..._difference`, `..._difference_low`, `..._difference_high`, Student's `..._p` of no difference,
        and that corrected for all tests of the table: `..._holm`, and the false discovery rate `..._fdr`. No rows where
        no two trials differ in one hyperparameter only.
    """
    outside = _outside_scores(run)
    done = run.trials[run.trials["status"] == FINISHED].join(outside)
    scores = [name for name in dict.fromkeys((run.metric, *SCORES, *outside)) if done[name].notna().any()]
    varied = [name for name in run.hyperparameters if done[name].nunique(dropna=False) > 1]
    columns = [f"{name}_{end}" for name in scores for end in COLUMNS]
    lines = []
    for name in varied:
        if done[name].nunique() <= MOST_VALUES:
            lines += _effects(done, name, [other for other in varied if other != name], scores)
    return _corrected(pd.DataFrame(lines, columns=[*KEYS, *columns]), scores)


def _corrected(frame: pd.DataFrame, scores: list[str]) -> pd.DataFrame:
    """The frame with `..._holm` and `..._fdr`, each p value corrected for those of all rows and scores together."""
    p_values = frame[[f"{name}_p" for name in scores]].to_numpy(np.float64)  # (rows, scores)
    for end, correct in (("holm", paired.holm), ("fdr", paired.false_discovery_rates)):
        frame[[f"{name}_{end}" for name in scores]] = correct(p_values.ravel()).reshape(p_values.shape)
    return frame


def _outside_scores(run: Run) -> pd.DataFrame:
    """Accuracy and AUC on each outside set, as `<set>_accuracy` and `<set>_auc`, by trial."""
    own = (TEST, VALIDATION, SHIFTED)
    rows = run.evaluations[~run.evaluations["dataset"].isin(own)].drop_duplicates(["trial", "dataset"], keep="last")
    scores = [
        rows.pivot(index="trial", columns="dataset", values=score).add_suffix(f"_{score}").astype("float64")
        for score in ("accuracy", "auc")
    ]
    return pd.concat(scores, axis=1)


def _effects(done: pd.DataFrame, name: str, others: list[str], scores: list[str]) -> list[dict[str, Any]]:
    """The lines of one hyperparameter: each value against the first one tried."""
    keyed = done.assign(**{each: done[each].map(str) for each in (name, *others)})  # an absent value is "nan"
    equal = [*others, "repeat", "max_epochs"]
    # One column a score and value, one row a setting of everything else; the mean where a setting came twice.
    wide = keyed.groupby([*equal, name])[scores].mean().unstack(name)
    first, *rest = done[name].dropna().unique()
    lines = []
    for value in rest:
        differences = {score: (wide[score][str(value)] - wide[score][str(first)]).dropna() for score in scores}
        pairs = max(map(len, differences.values()))
        if not pairs:
            continue
        line: dict[str, Any] = dict(zip(KEYS, (name, cell_text(value), cell_text(first), pairs), strict=True))
        for score, values in differences.items():
            found = mean_interval(values)
            line |= {f"{score}_difference": found.value}
            line |= {f"{score}_difference_low": found.low, f"{score}_difference_high": found.high}
            line |= {f"{score}_p": mean_p(values, 0.0)}
        lines.append(line)
    return lines


TABLES = (
    Table(
        "effects",
        "What each value gives, every other hyperparameter being equal",
        "Apport de chaque valeur, les autres hyperparamètres étant égaux",
        effects_table,
        headings_fr={"against": "contre", "pairs": "paires"},
        section="space",
        caption="Means over pairs of finished trials that differ in nothing else, in brackets Student's 95 % intervals "
        "over the pairs. All are scored on the same images: what other patients would give is not in them. p is of "
        f"Student's test over the pairs. {paired.CORRECTIONS}",
        nothing="No two finished trials differ in one hyperparameter only; a grid has such pairs.",
        closed=True,
    ),
)
