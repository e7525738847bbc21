"""The evidence on a claim that the trials of one or several runs hold: an effect with its interval.

A verdict rests on the first of these that the runs hold:

1. replays of the claim's rows with several seeds: the difference of the paired seeds (Student's interval);
2. replays with fewer seeds, where the claim is about test scores: the paired bootstrap over the patients of the test
   images. Its interval covers the sampling of patients, but not that another seed gives another model; the basis says
   so;
3. trials of a search, where the claim says which: the difference of two groups by validation (Welch's interval).

Where all trials of one side diverged and some of the other did not, there is no effect to estimate: Fisher's exact test
of how many diverged decides.

Only runs with the report's classes bear on a claim, all on one set of images: the largest, where runs were made on
several.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.claims.claims import GAP, SWING, Claim, SearchGroups
from analysis.claims.published import published_counts
from analysis.claims.rules import ALPHA, BORDERS, FAILS, HOLDS, UNDECIDED, WORSE, gain, judge
from analysis.frames import all_trials, scored_images
from analysis.load import Run, run_labels
from analysis.statistics import Estimate
from search.record import DIVERGED, FINISHED, STOPPED, counted
from search.record.intervals import count_patients

# Fewer seeds than this give no useful interval.
MIN_SEEDS = 3
# Fewer trials of a search in either group leave a claim undecided.
MIN_TRIALS = 10
# With fewer test images every interval is wider than the effects in question.
MIN_IMAGES = 100
BOOTSTRAPS = 2000
SIDES = ("first", "second")


@dataclass(frozen=True)
class Evidence:
    """An effect with its interval, and what it is computed from.

    Attributes:
        p_value: two-sided, of the effect being the border of the claim's relation; NaN where there is no interval.
        verdict: where it does not follow from the interval.
    """

    estimate: Estimate
    basis: str
    trials: int
    verdict: str = ""
    p_value: float = float("nan")


NOTHING = Evidence(Estimate(np.nan, np.nan, np.nan), "no trial bears on it", 0, UNDECIDED)


def bearing_runs(runs: Sequence[Run], classes: int) -> list[Run]:
    """The runs that bear on claims about so many classes, one an image: those on the largest set of images."""
    names = tuple(published_counts(classes)["class"].unique())
    fitting = [run for run in runs if run.classes == names and not run.record.is_multilabel]
    if not fitting:
        return []
    largest = max(fitting, key=_count_images)
    return [run for run in fitting if _fingerprint(run) == _fingerprint(largest)]


def _count_images(run: Run) -> int:
    return sum(sum(counts) for counts in run.record.data.get("counts", {}).values())


def _fingerprint(run: Run) -> str:
    return str(run.record.data.get("fingerprint", ""))


def replay_evidence(claim: Claim, runs: Sequence[Run]) -> Evidence:
    """The evidence of replays of the claim's rows; no trials where a row was not replayed."""
    rows = {row for pair in claim.pairs for row in pair}
    if not any(rows.intersection(run.trials["row"].unique()) for run in runs):
        return NOTHING
    trials = _with_curve_measures(runs)
    ended = trials[trials["row"].isin(rows) & trials["status"].isin([FINISHED, DIVERGED])]
    if rows - set(ended["row"]):
        return NOTHING
    if claim.every:
        return _weakest(claim, [_pairs_evidence(claim, [pair], ended, runs) for pair in claim.pairs])
    return _pairs_evidence(claim, claim.pairs, ended, runs)


def _with_curve_measures(runs: Sequence[Run]) -> pd.DataFrame:
    """The trials of all runs with the columns of `curve_measures`."""
    measures = pd.concat([curve_measures(run.curves).reindex(run.trials.index) for run in runs])
    return all_trials(runs).assign(**{name: measures[name].to_numpy() for name in (GAP, SWING)})


def curve_measures(curves: pd.DataFrame) -> pd.DataFrame:
    """What the epochs of each trial say of it, by trial: `GAP` and `SWING`; NaN where too few are known.

    Args:
        curves: one row an epoch: trial, epoch, train_loss, val_loss.
    """
    ordered = curves.sort_values("epoch")
    last = ordered.groupby("trial")[["train_loss", "val_loss"]].last()
    logarithms = np.log(ordered["val_loss"].where(ordered["val_loss"] > 0))
    changes = logarithms.groupby(ordered["trial"]).diff().abs()
    return pd.DataFrame({GAP: last["val_loss"] - last["train_loss"], SWING: changes.groupby(ordered["trial"]).mean()})


def _weakest(claim: Claim, each: Sequence[Evidence]) -> Evidence:
    """The weakest of several pairs; the claim holds where all of them do."""
    verdicts = [evidence.verdict or judge(evidence.estimate, claim.relation) for evidence in each]
    verdict = FAILS if FAILS in verdicts else UNDECIDED if UNDECIDED in verdicts else HOLDS
    bearing = [evidence for evidence, found in zip(each, verdicts, strict=True) if found == verdict]
    weakest = min(bearing, key=lambda evidence: np.nan_to_num(evidence.estimate.value, nan=np.inf))
    basis = f"the weakest of {len(each)} pairs; {weakest.basis}"
    p_values = [evidence.p_value for evidence in bearing]
    # All pairs must show it, so that the largest p value counts; but any of them may refute it, also by chance.
    p_value = float(min(len(each) * np.min(p_values), 1.0) if verdict == FAILS else np.max(p_values))
    return replace(weakest, basis=basis, verdict=verdict, p_value=p_value)


def _pairs_evidence(
    claim: Claim, pairs: Sequence[tuple[str, str]], trials: pd.DataFrame, runs: Sequence[Run]
) -> Evidence:
    """The mean effect over pairs of rows; random weights in place of ImageNet's leave their claim undecided."""
    found = _paired_evidence(claim, pairs, trials, runs)
    used = trials[trials["row"].isin([row for pair in pairs for row in pair])]
    if not used["random_weights"].any():
        return found
    basis = f"{found.basis}; from random weights, which decide nothing about ImageNet's"
    return replace(found, basis=basis, verdict=UNDECIDED, p_value=float("nan"))


def _paired_evidence(
    claim: Claim, pairs: Sequence[tuple[str, str]], trials: pd.DataFrame, runs: Sequence[Run]
) -> Evidence:
    """The mean effect over pairs of rows, from seeds where there are enough of them, else from test images.

    Diverged trials have no score and are in no effect. But a diverged trial is worse than any other, so a verdict in
    favour of its side is left undecided.
    """
    names = f"replays of {', '.join(f'{first} against {second}' for first, second in pairs)}"
    sides = [tuple(trials[trials["row"] == row] for row in pair) for pair in pairs]
    diverged = [pd.concat([pair[side]["status"] == DIVERGED for pair in sides]) for side in (0, 1)]
    if diverged[0].all() != diverged[1].all():
        return _diverged_evidence(claim, diverged, names, len(trials))
    scored = [tuple(side[side[claim.metric].notna()] for side in pair) for pair in sides]
    if any(len(side) == 0 for pair in scored for side in pair):
        return Evidence(NOTHING.estimate, f"{names}: not evaluated on the test set", len(trials), UNDECIDED)
    effects = _seed_effects(scored, claim.metric)
    if len(effects) >= MIN_SEEDS:
        basis = f"{names}; paired over {len(effects)} seeds, Student's interval"
        p_value = statistics.mean_p(effects, BORDERS[claim.relation])
        found = Evidence(statistics.mean_interval(effects), basis, len(trials), p_value=p_value)
    elif claim.metric in (GAP, SWING):
        basis = f"{names}; {len(effects)} shared seeds, fewer than {MIN_SEEDS}"
        found = Evidence(NOTHING.estimate, basis, len(trials), UNDECIDED)
    else:
        found = _image_evidence(claim, scored, runs, names, len(trials))
    for where, side in enumerate(diverged):
        if side.any():
            basis = f"{found.basis}; {side.sum()} of {len(side)} trials of the {SIDES[where]} diverged"
            verdict = found.verdict or judge(found.estimate, claim.relation)
            against = verdict == WORSE[claim.relation][where]
            found = replace(found, basis=basis, verdict=verdict if against else UNDECIDED)
    return found


def _diverged_evidence(claim: Claim, diverged: "Sequence[pd.Series[bool]]", names: str, count: int) -> Evidence:
    """The evidence of trials of which all of one side diverged, and not all of the other.

    Source: Fisher 1922, 'On the interpretation of chi-square from contingency tables'.
    """
    from scipy.stats import fisher_exact

    p_value = float(fisher_exact(np.array([[side.sum(), (~side).sum()] for side in diverged])).pvalue)
    where = int(diverged[1].all())
    verdict = WORSE[claim.relation][where] if p_value < ALPHA else UNDECIDED
    basis = f"{names}: all {len(diverged[where])} trials of the {SIDES[where]} diverged, of the {SIDES[1 - where]} "
    basis += f"{diverged[1 - where].sum()} of {len(diverged[1 - where])}; Fisher's exact test"
    return Evidence(NOTHING.estimate, basis, count, verdict, p_value)


def _seed_effects(pairs: Sequence[tuple[pd.DataFrame, ...]], metric: str) -> "pd.Series[float]":
    """The effect of each seed that all rows share, averaged over the pairs; rows share the seeds of their repeats."""
    means = [[side.groupby("seed")[metric].mean() for side in pair] for pair in pairs]
    effects = [gain(first, second, metric) for first, second in means]
    shared: pd.Series[float] = pd.concat(effects, axis=1).mean(axis=1, skipna=False).dropna()
    return shared


def _image_evidence(
    claim: Claim, pairs: Sequence[tuple[pd.DataFrame, ...]], runs: Sequence[Run], names: str, count: int
) -> Evidence:
    """The mean effect on each test image, bootstrapped over the patients of the images that all trials share."""
    scores = [_image_scores(side, runs, claim.metric) for pair in pairs for side in pair]
    together = pd.concat(scores, axis=1, join="inner").dropna()
    if len(together) < MIN_IMAGES:
        few = f"{names}; {len(together)} test images with predictions, fewer than {MIN_IMAGES}"
        return Evidence(NOTHING.estimate, few, count, UNDECIDED)
    values = together.to_numpy()  # (N, 2 x pairs), first and second in turn
    effect = gain(values[:, 0::2], values[:, 1::2], claim.metric).mean(axis=1)  # (N,)
    patients = runs[0].patient_names(together.index.to_series()).factorize()[0]  # all runs are on one set of images
    weights = statistics.bootstrap_weights(patients, BOOTSTRAPS)
    seeds = min(side["seed"].nunique() for pair in pairs for side in pair)
    basis = (
        f"{names}; {counted(seeds, 'seed')}, paired bootstrap over the "
        f"{count_patients(patients)} patients of {len(effect)} test images: what another seed would give is "
        "not in the interval"
    )
    p_value = statistics.bootstrap_p(effect, weights, BORDERS[claim.relation])
    return Evidence(statistics.bootstrap_mean(effect, weights), basis, count, p_value=p_value)


def _image_scores(side: pd.DataFrame, runs: Sequence[Run], metric: str) -> "pd.Series[float]":
    """Each test image's mean score (1 right, 0 wrong; or its loss) over the trials of a row, by image id."""
    by_name = dict(zip(run_labels(runs), runs, strict=True))
    found = []
    for trial, name in zip(side.index.tolist(), side["run"], strict=True):
        run = by_name[name]
        frame = run.predictions(trial)
        ids = frame.loc[frame["dataset"] == "test", "image_id"].sort_values(kind="stable")
        images = scored_images(run, trial)
        losses = statistics.image_losses(images.labels, images.probabilities)
        score = images.right.astype(float) if metric == "test_accuracy" else losses
        found.append(pd.Series(score, index=pd.Index(ids, name="image_id")).groupby(level=0).first())
    return pd.concat(found, axis=1).mean(axis=1)


def search_evidence(groups: SearchGroups, relation: str, runs: Sequence[Run]) -> Evidence:
    """Two groups of a search's trials by validation accuracy; every other hyperparameter varies in both."""
    bearing = [run for run in runs if groups.hyperparameter in run.trials and not run.is_replay]
    parts: list[pd.DataFrame] = []
    for run in bearing:
        ended = run.trials[
            run.trials["status"].isin([FINISHED, STOPPED, DIVERGED]) & run.trials["val_accuracy"].notna()
        ]
        parts.append(ended)
    first, second = (_select(parts, query) for query in (groups.first, groups.second))
    count = len(first) + len(second)
    basis = f"search trials with {groups.first} ({len(first)}) against {groups.second} ({len(second)})"
    if count == 0:
        return NOTHING
    if min(len(first), len(second)) < MIN_TRIALS:
        return Evidence(NOTHING.estimate, f"{basis}: fewer than {MIN_TRIALS} in a group", count, UNDECIDED)
    basis += "; Welch's interval. The other hyperparameters vary, and a searcher and ASHA chose the trials"
    p_value = statistics.mean_difference_p(first, second, BORDERS[relation])
    return Evidence(statistics.mean_difference(first, second), basis, count, p_value=p_value)


def _select(parts: Sequence[pd.DataFrame], query: str) -> np.ndarray[Any, Any]:
    """The validation accuracies of the trials that a query selects; none where a column of it is missing."""
    found: list[float] = []
    for part in parts:
        try:
            found += part.query(query)["val_accuracy"].dropna().tolist()
        except pd.errors.UndefinedVariableError:
            continue
    return np.array(found)
