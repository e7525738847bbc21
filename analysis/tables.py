"""Tables of one or several runs, pure: frames in, a frame out. `python -m analysis.tables RUN` prints or writes them.

`make_table(runs, NAME)` gathers what a table needs; `TABLES` lists them all. Where a table shows several runs,
its first column is `run`.
"""

import argparse
import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.command import CommandError, exit_code
from analysis.effects import effects_table
from analysis.export import EXTENSIONS, FORMATS, LANGUAGES, latex_document, to_text
from analysis.load import Run, load, run_labels
from analysis.replay import REPORT_TABLES, published_counts, report_table
from analysis.savings import savings_table
from analysis.scored import images_of
from analysis.selection import selection_table, winner_table
from search.record import DIVERGED, FAILED, FINISHED, STOPPED, lower_is_better

# Intervals that need every image's probability are made for this many trials of the ranking.
TOP = 20
COMPARED = 10  # trials that the comparison sets against the best one
BOOTSTRAPS = 1000
BINS = 10  # of a hyperparameter with more distinct numbers than that


def make_table(runs: Sequence[Run], name: str, **options: Any) -> pd.DataFrame:
    """One table of one or several runs.

    Args:
        runs: at least one.
        name: of `TABLES`.
        **options: of that table's function, for example `top=50` of "ranking".

    Raises:
        ValueError: there is no such table, or no run.
    """
    if name not in TABLES:
        raise ValueError(f"There is no table called {name!r}; there are {', '.join(TABLES)}.")
    if not runs:
        raise ValueError("A table needs at least one run; received none. Load one: analysis.load(PATH).")
    return TABLES[name].make(runs, **options)


def all_trials(runs: Sequence[Run]) -> pd.DataFrame:
    """The trials of all runs, with the column `run` in front; indexed by trial, so not uniquely."""
    frames = []
    for label, run in zip(run_labels(runs), runs, strict=True):
        frame = run.trials.copy()
        frame.insert(0, "run", label)
        frames.append(frame)
    return pd.concat(frames)


def confusions_on_test(runs: Sequence[Run]) -> dict[tuple[str, int], Any]:
    """Confusion matrices on the test set by run and trial; rows are true classes."""
    found: dict[tuple[str, int], Any] = {}
    for label, run in zip(run_labels(runs), runs, strict=True):
        test = run.evaluations[run.evaluations["dataset"] == "test"]
        found |= {(label, trial): matrix for trial, matrix in zip(test["trial"], test["confusion"], strict=True)}
    return found


def ranking(run: Run, top: int = TOP) -> pd.DataFrame:
    """All trials with a score, best first by validation: finished ones, which can win, before the others.

    Test accuracy, sensitivity and specificity have Wilson intervals; AUC and balanced accuracy have bootstrap
    intervals over the test images, made for the `top` first trials that are evaluated.
    """
    trials = run.trials[run.trials[run.metric].notna()]
    # Stable, so that of equals the lower number is first, as the search chooses its winner.
    order = trials.assign(unfinished=trials["status"] != FINISHED).sort_values(
        ["unfinished", run.metric], ascending=[True, lower_is_better(run.metric)], kind="stable"
    )
    frame = pd.DataFrame({"rank": np.arange(1, len(order) + 1), "trial": order.index}, index=order.index)
    frame = frame.join(order[["status", "epoch", "epochs", "parameters"]]).join(order[_validation_columns(run)])
    frame = frame.join(_wilson_columns(run.evaluations, len(run.classes)))
    evaluated = [int(trial) for trial in frame.index[frame["test_accuracy"].notna()]]
    frame = frame.join(_image_columns(run, evaluated[:top]))
    return pd.concat([frame, order[[*run.hyperparameters]]], axis=1).reset_index(drop=True)


def _validation_columns(run: Run) -> list[str]:
    return list(dict.fromkeys([run.metric, "val_loss", "val_accuracy", "val_balanced_accuracy", "val_auc"]))


def _wilson_columns(evaluations: pd.DataFrame, classes: int) -> pd.DataFrame:
    """Test proportions with their Wilson intervals, indexed by trial."""
    test = evaluations[evaluations["dataset"] == "test"].drop_duplicates("trial", keep="last").set_index("trial")
    shape = (len(test), classes, classes)
    matrices = np.array(list(test["confusion"]), np.float64).reshape(shape)  # (T, K, K)
    right, truth = matrices.diagonal(axis1=1, axis2=2), matrices.sum(axis=2)
    shares = {"accuracy": (right.sum(axis=1), truth.sum(axis=1))}
    if classes == 2:
        shares |= {"sensitivity": (right[:, 1], truth[:, 1]), "specificity": (right[:, 0], truth[:, 0])}
    columns: dict[str, Any] = {}
    for name, (successes, count) in shares.items():
        low, high = statistics.wilson_interval(successes, count)
        columns |= {f"test_{name}": test[f"{name}"], f"test_{name}_low": low, f"test_{name}_high": high}
    return pd.DataFrame(columns, index=test.index)


def _image_columns(run: Run, chosen: Sequence[int]) -> pd.DataFrame:
    """Bootstrap intervals and calibration of the chosen trials on the test images, indexed by trial."""
    names = [f"test_{name}{end}" for name in ("balanced_accuracy", "auc") for end in ("", "_low", "_high")]
    lines: dict[int, list[float]] = {}
    for trial in chosen:
        labels, probabilities = image_probabilities(run, trial)
        if not len(labels):
            continue
        weights = resamples(len(labels))
        balanced = statistics.bootstrap_balanced_accuracy(labels, labels == probabilities.argmax(axis=1), weights)
        auc = statistics.bootstrap_auc(labels, probabilities, weights)
        bins = statistics.reliability(*statistics.predicted_event(labels, probabilities))
        lines[trial] = [balanced.value, balanced.low, balanced.high, auc.value, auc.low, auc.high]
        lines[trial] += [statistics.expected_calibration_error(bins), statistics.brier_score(labels, probabilities)]
    return pd.DataFrame.from_dict(lines, orient="index", columns=[*names, "test_ece", "test_brier"], dtype="float64")


def image_probabilities(
    run: Run, trial: int, dataset: str = "test"
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A trial's labels, int64 (N,), and probabilities, float32 (N, K), sorted by image; N is 0 where it has none."""
    return images_of(run.predictions(trial), dataset, run.classes)


@functools.lru_cache(maxsize=4)
def resamples(images: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The same `BOOTSTRAPS` resamples for every trial on as many images: float32 (BOOTSTRAPS, images)."""
    return statistics.bootstrap_weights(images, BOOTSTRAPS)


def comparison(run: Run, trials: Sequence[int] | None = None) -> pd.DataFrame:
    """Pairs of trials on the same test images: the first given (or best by validation) against each other one.

    Differences are first minus second. Accuracy has a paired bootstrap interval and McNemar's test, AUC
    (two classes) DeLong's interval and test. The p values are not corrected for the number of pairs.
    """
    chosen = _compared(run) if trials is None else list(trials)
    lines = [_compare(run, chosen[0], other) for other in chosen[1:]]
    return pd.DataFrame([line for line in lines if line], columns=[*_COMPARISON])


_COMPARISON = (
    "first",
    "second",
    "images",
    "accuracy_difference",
    "accuracy_difference_low",
    "accuracy_difference_high",
    "only_first_right",
    "only_second_right",
    "mcnemar_p",
    "auc_difference",
    "auc_difference_low",
    "auc_difference_high",
    "delong_p",
)


def _compared(run: Run) -> list[int]:
    finished = run.trials[(run.trials["status"] == FINISHED) & run.trials["test_accuracy"].notna()]
    best = finished.sort_values(run.metric, ascending=lower_is_better(run.metric), kind="stable")
    return [int(trial) for trial in best.index[: COMPARED + 1]]


def _compare(run: Run, first: int, second: int) -> dict[str, Any]:
    labels, a = image_probabilities(run, first)
    others, b = image_probabilities(run, second)
    if not len(labels) or len(labels) != len(others):
        return {}
    right_a, right_b = labels == a.argmax(axis=1), labels == b.argmax(axis=1)
    accuracy = statistics.bootstrap_mean(right_a.astype(float) - right_b, resamples(len(labels)))
    test = statistics.mcnemar(right_a, right_b)
    values: list[Any] = [first, second, len(labels), accuracy.value, accuracy.low, accuracy.high]
    values += [test.only_first, test.only_second, test.p_value]
    if len(run.classes) == 2:
        auc = statistics.delong_comparison(labels == 1, a[:, 1], b[:, 1])
        values += [auc.difference.value, auc.difference.low, auc.difference.high, auc.p_value]
    else:
        values += [np.nan] * 4
    return dict(zip(_COMPARISON, values, strict=True))


def evaluations_table(run: Run) -> pd.DataFrame:
    """Every evaluation, outside test sets too, accuracy with its Wilson interval; of replays, with row and repeat."""
    frame = run.evaluations.drop(columns="confusion")
    low, high = statistics.wilson_interval(frame["accuracy"] * frame["images"], frame["images"])
    place = list(frame.columns).index("accuracy") + 1
    frame.insert(place, "accuracy_low", low)
    frame.insert(place + 1, "accuracy_high", high)
    if (run.trials["row"] != "").any() or run.trials["repeat"].any():
        for place, name in enumerate(("row", "repeat"), start=1):
            frame.insert(place, name, frame["trial"].map(run.trials[name]))
    return frame


def isolation_table(trials: pd.DataFrame, hyperparameter: str, metric: str) -> pd.DataFrame:
    """The best validation for each value of one hyperparameter, every other tuned.

    `best` is the metric of the best trial with that value, `best_trial` its number, `test_accuracy` what it has
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
            # Of the best trial, or empty: `first` of a group would pass over NaN.
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
    """The values themselves, or, of numbers with more than `BINS` distinct ones, the interval that each lies in.

    Bins hold a factor of ten over two where numbers are positive and span a factor of 100, else a tenth of the trials.
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


def early_stopping(trials: pd.DataFrame) -> pd.DataFrame:
    """Epochs spent and saved by how trials ended and after how many epochs; the last row sums up.

    Saved are the epochs of `max_epochs` that a trial ended without; a failed or unfinished trial saves none.
    """
    ended_well = trials["status"].isin([FINISHED, STOPPED, DIVERGED])
    saved = (trials["max_epochs"] - trials["epochs"]).where(ended_well, 0)
    frame = trials.assign(saved=saved).groupby(["status", "epochs"], as_index=False)
    table = frame.agg(trials=("name", "size"), epochs_spent=("epochs", "sum"), epochs_saved=("saved", "sum"))
    # as_index turns the grouping column `epochs` into the ledger's own: after how many epochs they ended.
    table = table.rename(columns={"epochs": "ended_after"})
    total = {"status": "total", **table[["trials", "epochs_spent", "epochs_saved"]].sum()}
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True)
    planned = table["epochs_spent"] + table["epochs_saved"]
    table["share_saved"] = table["epochs_saved"].astype(float) / planned.where(planned > 0).astype(float)
    counts = ("trials", "epochs_spent", "epochs_saved")
    return table.astype({"ended_after": "Int64"} | dict.fromkeys(counts, "int64"))


def failures(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials that failed or diverged, or whose process was lost on the way, each with its reason."""
    troubled = trials[trials["status"].isin([FAILED, DIVERGED]) | (trials["retries"] > 0)]
    columns = ["status", "reason", "epochs", "retries", "host", "memory_mb"]
    extra = [name for name in ("backbone", "learning_rate", "batch_size", "row") if name in troubled]
    return troubled[[*columns, *extra]].reset_index()


def cost(trials: pd.DataFrame) -> pd.DataFrame:
    """What trials cost, by backbone and status: process hours, an epoch's time, most memory; the last row sums up."""
    keyed = trials.assign(backbone=trials.get("backbone", "")).fillna({"backbone": ""})
    groups = keyed.groupby(["backbone", "status"], as_index=False)
    table = groups.agg(
        trials=("name", "size"), epochs=("epochs", "sum"), seconds=("seconds", "sum"), memory_mb=("memory_mb", "max")
    )
    total = {"backbone": "", "status": "total", **table[["trials", "epochs", "seconds"]].sum()}
    total["memory_mb"] = table["memory_mb"].max()
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True).astype({"trials": "int64", "epochs": "int64"})
    seconds = table.pop("seconds")
    table.insert(4, "process_hours", seconds / 3600)
    table.insert(5, "share", seconds / seconds.iloc[-1] if seconds.iloc[-1] else np.nan)
    table.insert(6, "seconds_per_epoch", seconds / table["epochs"].where(table["epochs"] > 0))
    return table


def calibration(run: Run, top: int = TOP) -> pd.DataFrame:
    """How far probabilities can be trusted: the `top` evaluated trials on validation and test.

    `confidence` is the mean probability of the predicted class; above `accuracy` a trial is too sure of itself.
    """
    lines = []
    for trial in _compared(run)[:top]:
        for dataset in ("validation", "test"):
            labels, probabilities = image_probabilities(run, trial, dataset)
            if not len(labels):
                continue
            bins = statistics.reliability(*statistics.predicted_event(labels, probabilities))
            lines.append(
                {
                    "trial": trial,
                    "dataset": dataset,
                    "images": len(labels),
                    "accuracy": float((labels == probabilities.argmax(axis=1)).mean()),
                    "confidence": float(probabilities.max(axis=1).mean()),
                    "ece": statistics.expected_calibration_error(bins),
                    "brier": statistics.brier_score(labels, probabilities),
                    "loss": float(statistics.image_losses(labels, probabilities).mean()),
                }
            )
    return pd.DataFrame(lines, columns=["trial", "dataset", "images", *_CALIBRATION])


_CALIBRATION = ("accuracy", "confidence", "ece", "brier", "loss")


def data_counts(counts: Mapping[str, Sequence[int]], classes: Sequence[str]) -> pd.DataFrame:
    """Images a split and class, as counts and shares, beside the report's own (its figures 1 to 3).

    Args:
        counts: images of each class by split.
        classes: their names.
    """
    lines = [
        {"split": split, "class": name, "images": int(images)}
        for split, numbers in counts.items()
        for name, images in zip(classes, numbers, strict=True)
    ]
    frame = pd.DataFrame(lines, columns=["split", "class", "images"])
    frame["share_of_split"] = frame["images"] / frame.groupby("split")["images"].transform("sum")
    frame["share_of_all"] = frame["images"] / frame["images"].sum()
    published = published_counts(len(classes))
    frame = frame.merge(published, on=["split", "class"], how="left")
    frame["difference"] = frame["images"] - frame["published"]
    return frame


def split_counts(counts: Mapping[str, Sequence[int]], classes: Sequence[str]) -> pd.DataFrame:
    """Images a split, as counts and shares, beside the report's own (its figure 4)."""
    table = data_counts(counts, classes)
    frame = table.groupby("split", sort=False, as_index=False)[["images", "share_of_all"]].sum()
    sums = table.groupby("split")["published"].sum(min_count=len(classes))
    frame["published"] = frame["split"].map(sums)
    frame["published_share"] = frame["published"] / frame["published"].sum()
    frame["difference"] = frame["images"] - frame["published"]
    return frame


def image_counts(run: Run) -> dict[str, list[int]]:
    """Images of each class by split: counted in the manifest, or, where that is missing, as recorded."""
    order = ("train", "validation", "test")
    if not len(run.manifest):
        return {name: list(run.record.data.get("counts", {}).get(name, [])) for name in order}
    found = run.manifest.groupby(["split", "label"]).size()
    labels = range(len(run.classes))
    return {name: [int(found.get((name, label), 0)) for label in labels] for name in order}


@dataclass(frozen=True)
class Table:
    """A table that can be asked for by name.

    Attributes:
        title, title_fr: what it shows, in one line.
        make: from runs and options to the table.
    """

    title: str
    title_fr: str
    make: Callable[..., pd.DataFrame]

    def heading(self, language: str) -> str:
        """The title in one of `analysis.export.LANGUAGES`."""
        return self.title_fr if language == "fr" else self.title


def _each(make: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """A table of one run, made for several: one below the other, with the column `run` when there is more than one."""

    def stacked(runs: Sequence[Run], **options: Any) -> pd.DataFrame:
        frames = [make(run, **options) for run in runs]
        if len(runs) == 1:
            return frames[0]
        for label, frame in zip(run_labels(runs), frames, strict=True):
            frame.insert(0, "run", label)
        return pd.concat(frames, ignore_index=True)

    return stacked


def _replay(name: str) -> Callable[[Sequence[Run]], pd.DataFrame]:
    return lambda runs: report_table(name, all_trials(runs), confusions_on_test(runs))


def _claims(runs: Sequence[Run]) -> pd.DataFrame:
    from analysis.claims import claims_table

    return claims_table(runs)


# French ones are the headings of the report's sections 3.1 to 3.4 and the captions of its figures.
_REPORT_TITLES = {
    "table1": ("Table 1 of the report: CNN, 2 classes", "Tableau 1 du rapport : modèle CNN à 2 classes"),
    "table2": ("Table 2 of the report: CNN, 3 classes", "Tableau 2 du rapport : modèle CNN à 3 classes"),
    "table3": ("Table 3 of the report: VGG16, 2 classes", "Tableau 3 du rapport : modèle VGG16 N à 2 classes"),
    "table4": ("Table 4 of the report: ResNet, 2 classes", "Tableau 4 du rapport : modèle ResNet N à 2 classes"),
    "report2": ("The report's two-class CNNs, run again", "Les modèles CNN à 2 classes du rapport, réentraînés"),
    "report3": ("The report's three-class CNNs, run again", "Les modèles CNN à 3 classes du rapport, réentraînés"),
    "report_transfer": (
        "The report's pretrained networks, run again",
        "Les modèles du rapport à l'aide du transfert learning, réentraînés",
    ),
}

TABLES: Mapping[str, Table] = {
    **{name: Table(*titles, _replay(name)) for name, titles in _REPORT_TITLES.items()},
    "data": Table(
        "Images by split and class (figures 1 to 3 of the report)",
        "Distribution des échantillons selon la classe (figures 1 à 3 du rapport)",
        _each(lambda run: data_counts(image_counts(run), run.classes)),
    ),
    "splits": Table(
        "Images by split (figure 4 of the report)",
        "Distribution de l'échantillon selon les groupes (figure 4 du rapport)",
        _each(lambda run: split_counts(image_counts(run), run.classes)),
    ),
    "ranking": Table(
        "Trials, best by validation first, with 95 % intervals on the test set",
        "Les essais, du meilleur au moins bon en validation, avec IC à 95 % sur le test",
        _each(ranking),
    ),
    "winner": Table(
        "The model that the search exported, with 95 % intervals",
        "Le modèle retenu par la recherche, avec IC à 95 %",
        _each(winner_table),
    ),
    "selection": Table(
        "What each step of the choice gives, on images it did not see",
        "Apport de chaque étape du choix, sur des images non vues",
        _each(selection_table),
    ),
    "comparison": Table(
        "The best trial against the next ones, on the same test images",
        "Le meilleur essai contre les suivants, sur les mêmes images de test",
        _each(comparison),
    ),
    "evaluations": Table(
        "Every evaluation, outside test sets too",
        "Toutes les évaluations, jeux de test externes compris",
        _each(evaluations_table),
    ),
    "calibration": Table(
        "How far the probabilities can be trusted", "Confiance à accorder aux probabilités", _each(calibration)
    ),
    "isolation": Table(
        "Best validation for each value of a hyperparameter, every other tuned",
        "Meilleure validation pour chaque valeur d'un hyperparamètre, les autres étant optimisés",
        _each(isolation),
    ),
    "effects": Table(
        "What each value gives, every other hyperparameter being equal",
        "Apport de chaque valeur, les autres hyperparamètres étant égaux",
        _each(effects_table),
    ),
    "early_stopping": Table(
        "Epochs spent and saved", "Epochs passées et épargnées", _each(lambda run: early_stopping(run.trials))
    ),
    "failures": Table(
        "Trials that failed, diverged or lost their process",
        "Essais échoués, divergents ou dont le processus est mort",
        _each(lambda run: failures(run.trials)),
    ),
    "cost": Table("Process hours", "Heures de processus", _each(lambda run: cost(run.trials))),
    "savings": Table(
        "What the search cost, and what it would have cost without early stopping, features and sharing",
        "Coût de la recherche, et ce qu'il aurait été sans arrêt précoce, caractéristiques ni partage",
        _each(savings_table),
    ),
    "claims": Table("The report's statements, tested", "Les énoncés du rapport, mis à l'épreuve", _claims),
}


def default_tables(runs: Sequence[Run]) -> list[str]:
    """The tables that say something about the runs: of the report's, those that some trial replays."""
    rows = {row.split("/")[0] for run in runs for row in run.trials["row"] if row}
    return [name for name in TABLES if name in rows or name not in REPORT_TABLES]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or write the tables of runs from the command line."""
    given = _parser().parse_args(arguments)
    return exit_code(lambda: _show_tables(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.tables",
        description="The tables of one or several runs, printed as Markdown or written to a folder.",
        epilog="Tables: " + ", ".join(TABLES),
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder or URL, or a file of search.pack")
    parser.add_argument("--format", choices=FORMATS, default="markdown", help="default: markdown")
    parser.add_argument("--out", metavar="FOLDER", help="write one file a table there, instead of printing")
    parser.add_argument(
        "--lang", choices=LANGUAGES, default="en", help="of titles and headings; fr as the report prints them"
    )
    parser.add_argument("--table", metavar="NAME", action="append", choices=[*TABLES], help="only this one; repeatable")
    parser.add_argument(
        "--columns", metavar="A,B,...", type=lambda text: text.split(","), help="only these, by their names in CSV"
    )
    parser.add_argument(
        "--where", metavar="COLUMN=VALUE", action="append", default=[], help="only rows with that value; repeatable"
    )
    return parser


def _show_tables(given: argparse.Namespace) -> None:
    runs = [load(url) for url in given.runs]
    texts = _texts(runs, given, titled=True)
    for run in runs:
        for problem in run.problems:
            print(f"{run.name}: {problem}", file=sys.stderr)
    if given.out is None:
        print("\n".join(texts.values()), end="")
        return
    write_tables(texts, given.format, given.out)
    print(f"Wrote {len(texts)} tables to {given.out}")


def printed(arguments: Sequence[str]) -> str:
    """What the command prints for these arguments, without the tables' titles.

    Raises:
        CommandError: a table has no such column.
        RecordError: a run cannot be read.
        SystemExit: wrong arguments, as argparse tells them.
    """
    given = _parser().parse_args(arguments)
    return "\n".join(_texts([load(url) for url in given.runs], given, titled=False).values())


def _texts(runs: Sequence[Run], given: argparse.Namespace, titled: bool) -> dict[str, str]:
    """Every table that is asked for as text, by name."""
    return {
        name: to_text(
            chosen_columns(chosen_rows(make_table(runs, name), given.where), given.columns),
            given.format,
            TABLES[name].heading(given.lang) if titled else "",
            given.lang,
            name,
        )
        for name in given.table or default_tables(runs)
    }


def chosen_rows(table: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """The rows of a table that meet all conditions, each `COLUMN=VALUE` with the value as CSV has it.

    Raises:
        CommandError: a condition is none, or the table has no such column.
    """
    for condition in conditions:
        name, equals, value = condition.partition("=")
        if not equals:
            raise CommandError(f"--where takes COLUMN=VALUE, such as dataset=test; got {condition!r}.")
        _check_column(table, name)
        table = table[table[name].map(str) == value]
    return table


def chosen_columns(table: pd.DataFrame, names: Sequence[str] | None) -> pd.DataFrame:
    """Some columns of a table in the order in which they are named, each with its interval; all where none is named.

    Raises:
        CommandError: the table has no such column.
    """
    if names is None:
        return table
    for name in names:
        _check_column(table, name)
    wanted = [each for name in names for each in (name, f"{name}_low", f"{name}_high") if each in table]
    return table[wanted]


def _check_column(table: pd.DataFrame, name: str) -> None:
    if name not in table:
        raise CommandError(f"The table has no column {name!r}; it has {', '.join(map(str, table))}.")


def write_tables(texts: Mapping[str, str], format_name: str, out: str) -> None:
    """Write tables to a folder, one file each; with LaTeX also `all.tex`, which shows them all."""
    os.makedirs(out, exist_ok=True)
    files = {f"{name}.{EXTENSIONS[format_name]}": text for name, text in texts.items()}
    if format_name == "latex":
        files["all.tex"] = latex_document(list(texts))
    for name, text in files.items():
        with open(os.path.join(out, name), "w", encoding="utf-8", newline="") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main())
