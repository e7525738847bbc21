"""One hyperparameter at a time, as the report did, against joint searches with the same budget of epochs.

`python -m benchmarks.joint_search --root FOLDER`; on the full set and 2 cores about two hours. Each search's folder is
kept in `build/joint_search/`: an interrupted benchmark resumes, or with fewer `--repeats` uses what is there.

All search the shipped space plain2 on images of 64 x 64 pixels; a repeat is a seed. One at a time: every value of one
parameter is trained with the others as they are, the best is kept, and the next parameter follows; 20 trainings in
all, as many as the report's. A joint search has so many trials that halving would spend the same epochs. ASHA promotes
more where trials get better, so each search is read as it stood when the budget was spent. Of the trials that had ended
by then, each way's best by validation is scored on the test set, once. The picture needs Chrome or Chromium (plotly's
kaleido).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import harness
from benchmarks.checkout import ROOT
from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Options, Quantity, Target
from benchmarks.searches import data_words, fixed_words, kept_search, listed_words, run_command
from search.plan.scheduler import build_scheduler
from search.plan.words import load_settings
from search.record import FINISHED, TEST, WAITING, Evaluation, RunFolder, TrialRecord, rank

SEEDS = 5
EPOCHS, SIZE = 10, 64  # the report trained 10 epochs
QUICK_EPOCHS, QUICK_SIZE = 2, 32
METRIC = "val_auc"
PICTURE = "joint_search.svg"

# In the order in which the report's tables vary them. Each first value is the one to begin with.
SWEEPS: dict[str, tuple[object, ...]] = {
    "learning_rate": (1e-3, 1e-2, 3e-4, 1e-4, 1e-5),
    "batch_size": (32, 16, 64),
    "layers": (1, 2, 3),
    "dense": ([16], [], [8], [16, 8]),
    "augment": ("none", "report", "strong"),
    "batch_norm": ("none", "block", "flatten", "block+flatten"),
    "class_weights": ("none", "balanced"),
    "filters": (8, 4),
    "kernel": (3, 2),
}
SPACE = "plain2"
FIXED: dict[str, object] = {"dropout": 0.2}
ONE_AT_A_TIME = "one at a time"
JOINT = {"random": ("random", "none"), "ASHA + random": ("random", "asha"), "ASHA + TPE": ("tpe", "asha")}


@dataclass(frozen=True)
class Outcome:
    """The result of one way with one seed.

    Attributes:
        course: the best METRIC that a trial which came to its end had, after each epoch of the search: float64 (E,).
        best: METRIC of the trial that is chosen when the budget is spent.
        trials: how many had begun by then.
        all_epochs: what the search spent when it was left to its end.
        test: the chosen trial's scores on the test set.
    """

    course: NDArray[np.float64]
    best: float
    trials: int
    all_epochs: int
    test: Evaluation


def measure(options: Options, machine: Machine) -> Measurement:
    """Every way with every seed, and the picture of their courses."""
    picture = harness.picture_path(options, PICTURE)
    draw({}, picture)  # without a browser to draw with, this fails now and not in two hours
    store = ROOT / "build" / "joint_search" / _store_name(options)
    found: dict[str, list[Outcome]] = {way: [] for way in (ONE_AT_A_TIME, *JOINT)}
    for seed in range(
        options.repeats
    ):  # seed after seed: an interrupted session has whole seeds, enough for fewer repeats
        for way, outcomes in found.items():
            outcomes.append(_search(way, seed, options, store))
    draw({way: [each.course for each in outcomes] for way, outcomes in found.items()}, picture)
    return summarize(found, options)


def summarize(found: Mapping[str, Sequence[Outcome]], options: Options) -> Measurement:
    """The measurement that the outcomes of every way make, one a seed."""
    epochs, size = _sizes(options)

    def quantity(way: str, what: str) -> Quantity:
        values = {
            "epochs": [float(len(each.course)) for each in found[way]],
            "epochs to the end": [float(each.all_epochs) for each in found[way]],
            f"best {METRIC}": [100 * each.best for each in found[way]],
            f"best {METRIC} at half the budget": [100 * each.course[: budget(epochs) // 2][-1] for each in found[way]],
            "test AUC": [100 * (each.test.auc or 0.0) for each in found[way]],
            "test balanced accuracy": [100 * each.test.balanced_accuracy for each in found[way]],
        }[what]
        return Quantity(f"{what}, {way}", "epochs" if what.startswith("epochs") else "%", tuple(values))

    ours = "ASHA + TPE"
    ahead = tuple(100 * (a.best - b.best) for a, b in zip(found[ours], found[ONE_AT_A_TIME], strict=True))
    whats = (
        f"best {METRIC}",
        f"best {METRIC} at half the budget",
        "test AUC",
        "test balanced accuracy",
        "epochs to the end",
    )
    trials = {way: f"{np.median([each.trials for each in own]):g} trials of {way}" for way, own in found.items()}
    return Measurement(
        question="What does a joint search find that tuning one hyperparameter at a time does not, for as many epochs?",
        setting=f"Space plain2 at {size} x {size}, up to {epochs} epochs a trial, {options.repeats} seeds (repeats): "
        f"{', '.join(trials.values())}. Dropout is {FIXED['dropout']} where one is varied at a time. Of the "
        f"trials that had come to their end when {budget(epochs)} epochs were spent, each way's best by {METRIC} is "
        "scored on the test set.",
        comparisons=tuple(
            Comparison(quantity(way, "epochs"), quantity(ONE_AT_A_TIME, "epochs"), Bound(1.1)) for way in JOINT
        ),
        targets=(
            Target(Quantity(f"{ours} ahead of {ONE_AT_A_TIME}, best {METRIC}", "points", ahead), Bound(0, False)),
        ),
        others=tuple(quantity(way, what) for what in whats for way in found),
        limited_by="what validation can tell: its AUC is near its ceiling for every way.",
        physical_limit="an AUC of 100 %.",
        picture=PICTURE,
        notes=("The searches are kept: the time below is that of the last session alone.",),
    )


def moment_of(trials: Sequence[TrialRecord], epochs: int) -> float:
    """The time at which a search had trained so many epochs in all, or all of its epochs."""
    return sorted(epoch.time for trial in trials for epoch in trial.epochs)[:epochs][-1]


def as_of(trial: TrialRecord, moment: float) -> TrialRecord:
    """A trial as it stood then."""
    kept = [epoch for epoch in trial.epochs if epoch.time <= moment]
    return trial if len(kept) == len(trial.epochs) else replace(trial, epochs=kept, status=WAITING)


def best_so_far(trials: Sequence[TrialRecord]) -> NDArray[np.float64]:
    """The best METRIC after each epoch of a search, in the order in which they ended: float64 (E,).

    Only trials that came to their end count, as only they can be chosen; 0 before the first epoch of one.
    """
    epochs = [(epoch, trial.status == FINISHED) for trial in trials for epoch in trial.epochs]
    ordered = sorted(epochs, key=lambda entry: entry[0].time)
    values = [(getattr(epoch, METRIC) or 0.0) if ended else 0.0 for epoch, ended in ordered]
    return np.maximum.accumulate(np.array(values, np.float64))


def draw(courses: Mapping[str, Sequence[NDArray[np.float64]]], path: Path) -> None:
    """Draw by how much each way's best so far is short of 1, median and range over seeds, as a small SVG."""
    import plotly.graph_objects as go

    figure = go.Figure()
    colors = ("120,120,120", "31,95,168", "42,157,111", "224,123,34")  # red, green, blue
    for color, (way, each) in zip(colors, courses.items(), strict=False):
        length = min(map(len, each))
        values = 1 - np.array([course[:length] for course in each])  # (seeds, E)
        values[values == 1] = np.nan  # nothing to be chosen yet
        spent = list(range(1, length + 1))
        low, high = values.min(axis=0), values.max(axis=0)
        band = {"mode": "lines", "line": {"width": 0}, "showlegend": False}
        figure.add_scatter(x=spent, y=low, **band)
        figure.add_scatter(x=spent, y=high, fill="tonexty", fillcolor=f"rgba({color},0.12)", **band)
        figure.add_scatter(x=spent, y=np.median(values, axis=0), mode="lines", line_color=f"rgb({color})", name=way)
    figure.update_layout(template="plotly_white", width=800, height=400, margin={"l": 60, "r": 10, "t": 20, "b": 50})
    figure.update_xaxes(title_text="epochs spent")
    figure.update_yaxes(title_text="1 - best validation AUC so far", type="log", dtick="D2")
    figure.write_image(path)


def _sizes(options: Options) -> tuple[int, int]:
    return (QUICK_EPOCHS, QUICK_SIZE) if options.quick else (EPOCHS, SIZE)


def _store_name(options: Options) -> str:
    """A folder for each data set and size, so that kept searches are never mistaken for those of other images."""
    epochs, size = _sizes(options)
    return f"{harness.data_fingerprint(options.root)}-{epochs}-{size}px"


def budget(epochs: int) -> int:
    """Epochs that tuning one at a time takes: all values of the first parameter, and the others' but one."""
    return epochs * (1 + sum(len(values) - 1 for values in SWEEPS.values()))


def num_trials(scheduler: str, epochs: int) -> int:
    """How many trials of up to so many epochs spend the budget."""
    settings = load_settings([f"space={SPACE}", f"search.max_epochs={epochs}", f"search.scheduler={scheduler}"]).search
    number = 1
    while build_scheduler(settings, number + 1).expected_epochs([epochs] * (number + 1)) <= budget(epochs):
        number += 1
    return number


def _search(way: str, seed: int, options: Options, store: Path) -> Outcome:
    folders = _one_at_a_time(seed, options, store) if way == ONE_AT_A_TIME else [_joint(way, seed, options, store)]
    everything = [(trial, folder) for folder in folders for trial in folder.read_trials().values()]
    trials = [trial for trial, _ in everything]
    moment = moment_of(trials, budget(_sizes(options)[0]))
    then = [as_of(trial, moment) for trial in trials]
    best, folder = _best(list(zip(then, (folder for _, folder in everything), strict=True)))
    if best.number not in {entry.trial for entry in folder.read_evaluations()}:
        run_command(["-m", "search.evaluate", folder.url, f"data.cache={store / 'cache'}"])
    test = next(e for e in folder.read_evaluations() if (e.trial, e.dataset) == (best.number, TEST))
    begun, all_epochs = sum(bool(trial.epochs) for trial in then), sum(len(trial.epochs) for trial in trials)
    return Outcome(best_so_far(then), _value(best), begun, all_epochs, test)


def _best(trials: Sequence[tuple[TrialRecord, RunFolder]]) -> tuple[TrialRecord, RunFolder]:
    """The best finished trial of several runs, by METRIC of its best epoch."""
    finished = [(trial, folder) for trial, folder in trials if trial.status == FINISHED and rank([trial], METRIC)]
    return max(finished, key=lambda entry: _value(entry[0]))


def _value(trial: TrialRecord) -> float:
    return trial.scored_value(METRIC) or 0.0


def _words(seed: int, options: Options, store: Path) -> list[str]:
    epochs, size = _sizes(options)
    words = [f"space={SPACE}", f"data.size={size}", f"search.max_epochs={epochs}", f"search.seed={seed}"]
    return [*words, f"search.metric={METRIC}", *data_words(options.root, store / "cache")]


def _joint(way: str, seed: int, options: Options, store: Path) -> RunFolder:
    searcher, scheduler = JOINT[way]
    trials = num_trials(scheduler, _sizes(options)[0])
    words = [f"search.searcher={searcher}", f"search.scheduler={scheduler}", f"search.num_trials={trials}"]
    return kept_search([*_words(seed, options, store), *words], store, f"{searcher}-{scheduler}-{seed}")


def _one_at_a_time(seed: int, options: Options, store: Path) -> list[RunFolder]:
    """A grid over each parameter in turn, the others as they are; no value is trained twice."""
    folders: list[RunFolder] = []
    chosen = {name: values[0] for name, values in SWEEPS.items()} | FIXED
    for place, (name, values) in enumerate(SWEEPS.items()):
        new = values if not folders else [value for value in values if value != chosen[name]]
        words = [*_words(seed, options, store), "search.searcher=grid", "search.scheduler=none"]
        words += [*fixed_words({other: chosen[other] for other in chosen if other != name}), *listed_words({name: new})]
        folders.append(kept_search(words, store, f"one_at_a_time-{seed}-{place}-{name}"))
        best, _ = _best([(trial, folder) for folder in folders for trial in folder.read_trials().values()])
        chosen |= {each: best.parameters[each] for each in chosen}
    return folders


if __name__ == "__main__":
    harness.main(measure, __doc__, repeats=SEEDS)
