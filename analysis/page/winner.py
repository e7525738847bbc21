"""The blocks about the model that a search exported: its results, its figures, its layers and its mistakes."""

from collections.abc import Callable, Sequence

from analysis import style
from analysis.export import cell_text
from analysis.figures.architecture import summary
from analysis.figures.panel import TrialPanel
from analysis.figures.panels import TRIAL_PANELS
from analysis.frames import parameters_of
from analysis.load import TEST_SCORES, VALIDATION_SCORES, Run
from analysis.page.blocks import Block, Part, figure_part, is_absent, shown_columns, table_of
from analysis.page.model import MISTAKES_CAPTION, heading, model_layers, shown_mistakes
from analysis.scored import NOT_SCORED, OF_FINDINGS, Scored, scored_winner
from analysis.tables.findings import mean_scores
from analysis.tables.selection import model_scores

_NO_WINNER = "No trial has finished."

_OF_CLASSES = (
    "with 95 % intervals: Wilson's for accuracy, resampled patients for the others. Sensitivity and specificity are "
    "those at a probability of 0.5."
)
_OF_MEANS = "means over the findings that some of its images show and some do not."


def winner_blocks(runs: Sequence[Run]) -> list[Block]:
    """The model to pick of each run; no blocks while no run has a finished trial."""
    chosen = [(run, scored_winner(run)) for run in runs]
    if all(scored is None for _, scored in chosen):
        return []

    def block(title: str, caption: str, make: Callable[[Scored], Part], width: str = "full") -> Block:
        return Block(title, caption, tuple(_for_winner(run, scored, make) for run, scored in chosen), width)

    blocks = [
        block(
            "Results",
            "The exported model on every set of images, "
            + (_OF_MEANS if all(run.record.is_multilabel for run in runs) else _OF_CLASSES),
            _results,
        ),
        *(_panel_block(panel, chosen) for panel in TRIAL_PANELS),
        block("Architecture", "Layer by layer, as in the report's annex.", _architecture, "half"),
        block(
            "Hyperparameters",
            "Those of the trial, of the best one where the model averages several, and its own scores.",
            _hyperparameters,
            "half",
        ),
        block("Its mistakes", MISTAKES_CAPTION, _pictures),
    ]
    return [each for each in blocks if any(part.reason != OF_FINDINGS for part in each.parts)]


def _panel_block(panel: TrialPanel, chosen: Sequence[tuple[Run, Scored | None]]) -> Block:
    parts = [
        figure_part(run, f"{panel.key}-{place}", _NO_WINNER if scored is None else panel.draw(scored))
        for place, (run, scored) in enumerate(chosen)
    ]
    return Block(panel.title, panel.caption, tuple(parts), "full" if len(chosen) > 1 else panel.width)


def _for_winner(run: Run, scored: Scored | None, make: Callable[[Scored], Part]) -> Part:
    return Part(run.name, reason=_NO_WINNER) if scored is None else make(scored)


def _results(scored: Scored) -> Part:
    """Every set of images that the model was scored on, with its intervals."""
    if not scored.evaluations:
        return Part(scored.run.name, reason=NOT_SCORED)
    if scored.run.record.is_multilabel:
        return Part(scored.run.name, table=table_of(shown_columns(mean_scores(scored))), note=f"{scored.what}.")
    return Part(scored.run.name, table=table_of(shown_columns(model_scores(scored))), note=f"{scored.what}.")


def _architecture(scored: Scored) -> Part:
    layers = summary(model_layers(scored.run, scored.trial))
    return Part(scored.run.name, table=table_of(layers))


def _hyperparameters(scored: Scored) -> Part:
    import pandas as pd

    run, trial = scored.run, scored.trial
    row = run.trials.loc[trial]
    pairs = list(parameters_of(run, trial).items())
    pairs += [("seed", str(row["seed"])), ("epoch", row["epoch"])]
    scores = dict.fromkeys((run.metric, *VALIDATION_SCORES, *TEST_SCORES))
    pairs += [(name, row[name]) for name in scores if not is_absent(row.get(name))]
    texts = [(style.label(name), cell_text(value)) for name, value in pairs]
    return Part(run.name, table=table_of(pd.DataFrame(texts, columns=[heading(run, trial), "value"])))


def _pictures(scored: Scored) -> Part:
    found, name = shown_mistakes(scored), scored.run.name
    return Part(name, reason=found) if isinstance(found, str) else Part(name, gallery=tuple(found))
