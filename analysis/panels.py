"""The figures as panels with title and caption: the report and the app show the same ones.

A panel that has nothing to show says why in words, so that no page carries an empty chart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from analysis import figures, style
from analysis.load import Run
from analysis.scored import Scored
from search.record import lower_is_better, trial_name

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    Drawn: TypeAlias = "go.Figure | str"  # a figure, or the reason why there is none


@dataclass(frozen=True)
class RunPanel:
    """A figure of many trials.

    Attributes:
        section: where the report shows it.
        draw: from a run and those of its trials that are chosen.
        width: of a page with room for it: `full`, `half` or `third`.
    """

    key: str
    section: str
    title: str
    caption: str
    draw: "Callable[[Run, pd.DataFrame], Drawn]"
    width: str = "full"


@dataclass(frozen=True)
class TrialPanel:
    """A figure of one model; the learning curve of one that averages several trials is its best member's."""

    key: str
    title: str
    caption: str
    draw: "Callable[[Scored], Drawn]"
    width: str = "full"


def best_trials(run: Run, count: int) -> list[int]:
    """The numbers of the best trials by validation, whether finished or not."""
    known = run.trials[run.metric].dropna()
    return [int(t) for t in known.sort_values(ascending=lower_is_better(run.metric), kind="stable").index[:count]]


def parameters_of(run: Run, trial: int) -> dict[str, Any]:
    """A trial's hyperparameters by name, absent ones left out."""
    row = run.trials.loc[trial, list(run.hyperparameters)]
    return {str(name): value for name, value in row.items() if value is not None and value == value}


def model_layers(run: Run, trial: int) -> list[figures.Layer]:
    """The layers of a trial's model."""
    data = run.record.config.get("data", {})
    size, channels = int(data.get("size", 224)), int(data.get("channels", 1))
    total = int(run.trials["parameters"][trial]) or None
    return figures.layers_of(parameters_of(run, trial), (size, size, channels), len(run.classes), total)


def mistakes(scored: Scored) -> "list[figures.Mistake] | str":
    """The images that a model got wrong, the surest first, the exported one's with pictures; or why there are none."""
    dataset = next(iter(scored.evaluations), "")
    predictions = scored.predictions(dataset)
    if predictions.empty:
        return NOT_SCORED
    stored = figures.gallery(scored.run.folder) if scored.is_chosen else []
    return stored or figures.mistakes(predictions, scored.run.classes, most=8) or "No image was misclassified."


def _learning_curve(scored: Scored) -> "Drawn":
    curve = figures.learning_curve(scored.run.trials, scored.run.curves, scored.trial)
    return "No epoch of this trial is recorded." if curve.points.empty else figures.draw_learning_curve(curve)


def _confusion(scored: Scored) -> "Drawn":
    for dataset in scored.evaluations:
        return figures.draw_confusion(figures.confusion(scored.confusion(dataset), scored.run.classes))
    return NOT_SCORED


def _of_predictions(draw: "Callable[[Run, pd.DataFrame], Drawn]") -> "Callable[[Scored], Drawn]":
    """A panel of the predictions on the test set, or on whatever else there is."""

    def panel(scored: Scored) -> "Drawn":
        predictions = scored.predictions(next(iter(scored.evaluations), ""))
        return NOT_SCORED if predictions.empty else draw(scored.run, predictions)

    return panel


def _roc(run: Run, predictions: "pd.DataFrame") -> "Drawn":
    bands = figures.roc_bands(predictions, run.classes)
    return figures.draw_roc(bands) if bands else _ONE_CLASS


def _precision(run: Run, predictions: "pd.DataFrame") -> "Drawn":
    bands = figures.precision_bands(predictions, run.classes)
    return figures.draw_precision(bands) if bands else _ONE_CLASS


def _calibration(run: Run, predictions: "pd.DataFrame") -> "Drawn":
    found = figures.calibration(predictions, run.classes)
    return "The probabilities are not numbers." if found is None else figures.draw_calibration(found)


def _best_so_far(run: Run, trials: "pd.DataFrame") -> "Drawn":
    steps = figures.best_so_far(_curves(run, trials), run.metric)
    return _NO_EPOCH if steps.empty else figures.draw_best_so_far({run.name: steps}, run.metric)


def _rungs(run: Run, trials: "pd.DataFrame") -> "Drawn":
    found = figures.rungs(_curves(run, trials), run.metric, run.record.config.get("search", {}))
    return (
        "Without ASHA, or before its first rung: no trial was stopped by comparison."
        if found is None
        else (figures.draw_rungs(found))
    )


def _timeline(run: Run, trials: "pd.DataFrame") -> "Drawn":
    spans = figures.timeline(trials, _curves(run, trials))
    return _NO_EPOCH if spans.empty else figures.draw_timeline(spans)


def _best_curves(run: Run, trials: "pd.DataFrame") -> "Drawn":
    chosen = [trial for trial in best_trials(run, len(run.trials)) if trial in trials.index][:6]
    found = figures.curve_grid(run.trials, run.curves, chosen)
    return figures.draw_curve_grid(found) if found else _NO_EPOCH


def _importance(run: Run, trials: "pd.DataFrame") -> "Drawn":
    found = figures.importance(trials, run.metric, run.hyperparameters)
    return _FEW if found.empty else figures.draw_importance(found)


def _slices(run: Run, trials: "pd.DataFrame") -> "Drawn":
    found = figures.slices(trials, run.metric, run.hyperparameters)
    return figures.draw_slices(found) if found.scales else _FEW


def _parallel(run: Run, trials: "pd.DataFrame") -> "Drawn":
    scales = figures.parallel_scales(trials, run.metric, run.hyperparameters)
    return figures.draw_parallel(scales) if len(scales) > 1 else _FEW


def _contour(run: Run, trials: "pd.DataFrame") -> "Drawn":
    pair = contour_pair(trials, run.metric, run.hyperparameters)
    return _FEW if pair is None else figures.draw_contour(figures.contour(trials, run.metric, *pair))


def _size(run: Run, trials: "pd.DataFrame") -> "Drawn":
    found = figures.size_and_score(trials, "val_accuracy")
    return _NO_EPOCH if found.empty else figures.draw_size_and_score(found, "val_accuracy")


def _data(run: Run, _: "pd.DataFrame") -> "Drawn":
    counts = figures.split_counts(run.record.data.get("counts", {}), run.classes)
    return "The run's record holds no counts." if counts.empty else figures.draw_split_counts(counts)


def contour_pair(trials: "pd.DataFrame", metric: str, parameters: Sequence[str]) -> tuple[str, str] | None:
    """The two most important hyperparameters that enough trials have; `None` with fewer than two."""
    ranked = figures.importance(trials, metric, parameters)["parameter"]
    # A parameter that belongs to one backbone only would leave most of the surface empty.
    common = [str(name) for name in ranked if trials[name].notna().mean() > 0.5]
    return (common[0], common[1]) if len(common) > 1 else None


def _curves(run: Run, trials: "pd.DataFrame") -> "pd.DataFrame":
    if len(trials) == len(run.trials):
        return run.curves
    return run.curves[run.curves["trial"].isin(trials.index)]


def restyle(drawn: "Drawn", theme: style.Theme) -> "Drawn":
    """The same panel in a theme."""
    return drawn if isinstance(drawn, str) else style.restyled(drawn, theme)


def heading(run: Run, trial: int) -> str:
    """A trial's heading: `trial 0007`, with the published row that it replays."""
    row = str(run.trials["row"][trial] or "")
    return f"trial {trial_name(trial)}" + (f" ({row})" if row else "")


NOT_SCORED = "There are no predictions: only finished trials are scored, once the search has ended."
MISTAKES_CAPTION = (
    "The surest ones first. Where there is a second picture, Grad-CAM is laid over the X-ray: warm is what spoke "
    "for the predicted class; of a mean of several trials, to its best member."
)
_ONE_CLASS = "The images are all of one class, or the probabilities are not numbers."
_NO_EPOCH = "No epoch is recorded yet."
_FEW = "Too few trials, or none that differ: at least eight with a validation value are needed."

TRIAL_PANELS = (
    TrialPanel(
        "curve",
        "Learning curves",
        "Training blue, validation orange. The ring marks the epoch that the trial is judged by; "
        "a dotted line, where there is one, the epoch after which it was stopped.",
        _learning_curve,
    ),
    TrialPanel(
        "confusion",
        "Confusion",
        "Test images, or validation images where there is no test: rows are true classes.",
        _confusion,
    ),
    TrialPanel(
        "roc",
        "ROC",
        "Areas in the legend; bands hold 95 % of 400 resamples of the images.",
        _of_predictions(_roc),
        "third",
    ),
    TrialPanel(
        "precision",
        "Precision and recall",
        "Average precision in the legend; dotted lines are what a guess would reach.",
        _of_predictions(_precision),
        "third",
    ),
    TrialPanel(
        "calibration",
        "Calibration",
        "How often what was predicted with some probability came true, with Wilson intervals; larger points hold "
        "more images. On the dotted line a model is as sure as it should be.",
        _of_predictions(_calibration),
        "third",
    ),
)

RUN_PANELS = (
    RunPanel(
        "best",
        "search",
        "Best so far",
        "The best validation value found, against the epochs that all trials have spent together.",
        _best_so_far,
        width="half",
    ),
    RunPanel(
        "rungs",
        "search",
        "ASHA's rungs",
        "At each rung a trial waits until it is among the best of those that came there; then it goes on.",
        _rungs,
        width="half",
    ),
    RunPanel("grid", "search", "The best trials' losses", "Training blue, validation orange; one scale.", _best_curves),
    RunPanel(
        "timeline",
        "search",
        "Who worked when",
        "A lane a worker process, a bar a trial, or a part of one that waited at a rung.",
        _timeline,
    ),
    RunPanel(
        "importance",
        "space",
        "Importance",
        "How much each hyperparameter sets the best trials, a tenth or five, apart from all (PED-ANOVA).",
        _importance,
        width="half",
    ),
    RunPanel(
        "contour",
        "space",
        "The two that matter most",
        "Mean of nearby trials; white where none is near. Points are trials.",
        _contour,
        width="half",
    ),
    RunPanel(
        "slices",
        "space",
        "One at a time",
        "Points are trials, 200 of them at the most; dashes are medians, the ring is the best trial.",
        _slices,
    ),
    RunPanel(
        "parallel",
        "space",
        "All together",
        "A line a trial, the best ones orange. Draw a box across an axis to keep the lines that pass through it, "
        "across another to narrow them further; "
        "a double click brings all back.",
        _parallel,
    ),
    RunPanel(
        "size",
        "trials",
        "Accuracy against size",
        "The stairs join the trials that no smaller trial beats (the Pareto front).",
        _size,
    ),
    RunPanel("data", "data", "The report's figures 1 to 4", "Images by class and split.", _data),
)
