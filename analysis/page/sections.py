"""The sections of the report, from the answer to how it was made."""

from collections.abc import Sequence
from dataclasses import replace

from analysis.figures.course import best_so_far, draw_best_so_far
from analysis.figures.panels import RUN_PANELS
from analysis.load import Run
from analysis.page.blocks import Block, Section, figure_part
from analysis.page.origin import origin_blocks
from analysis.page.tables import table_blocks
from analysis.page.trials import all_trials_block
from analysis.page.winner import winner_blocks


def sections(runs: Sequence[Run]) -> list[Section]:
    """The page's sections, empty ones included, from the answer to how it was made.

    Where all runs replay rows of the report, what was found of them comes first.
    """
    search, report = _search_sections(runs), _report_sections(runs)
    found = (*report, *search) if all(run.is_replay for run in runs) else (*search, *report)
    return [
        Section("compare", "Runs", "The runs side by side", "", tuple(_comparison(runs))),
        *found,
        Section(
            "data",
            "Data",
            "The images",
            "Counted from the run's own split, of several from the first.",
            _shown(runs, "data"),
        ),
        Section(
            "made",
            "Made with",
            "How this was made",
            "Everything needed to run it again.",
            (*origin_blocks(runs), *table_blocks(runs, "made")),
        ),
    ]


def _search_sections(runs: Sequence[Run]) -> tuple[Section, ...]:
    return (
        Section(
            "winner",
            "Winner",
            "The model to pick",
            "Chosen by validation; everything measured on test images was measured after the choice.",
            (*winner_blocks(runs), *table_blocks(runs, "winner")),
        ),
        Section(
            "space",
            "Hyperparameters",
            "What each hyperparameter did",
            "Over all trials with a validation value, those stopped early included.",
            _shown(runs, "space"),
        ),
        Section(
            "search",
            "Search",
            "How the search went",
            "What was spent, what was stopped early, what failed.",
            _shown(runs, "search"),
        ),
        Section(
            "trials",
            "Trials",
            "The trials",
            "Ranked by validation; test results stand beside, with their intervals.",
            (*_shown(runs, "trials"), all_trials_block(runs)),
        ),
    )


def _report_sections(runs: Sequence[Run]) -> tuple[Section, ...]:
    return (
        Section(
            "published",
            "Published",
            "The published models, run again",
            "Each row of the report beside what was measured here.",
            (*table_blocks(runs, "published"), *_panel_blocks(runs, "published")),
        ),
        Section(
            "claims",
            "Claims",
            "What of the report holds",
            "Every claim of the report, tested on the trials that bear on it. Too few trials leave it undecided.",
            _shown(runs, "claims"),
        ),
    )


def _shown(runs: Sequence[Run], section: str) -> tuple[Block, ...]:
    """The panels and tables whose entries name the section."""
    return (*_panel_blocks(runs, section), *table_blocks(runs, section))


def _panel_blocks(runs: Sequence[Run], section: str) -> list[Block]:
    return [
        Block(
            panel.title,
            panel.caption,
            tuple(figure_part(run, f"{panel.key}-{n}", panel.draw(run, run.trials)) for n, run in enumerate(runs)),
            "full" if len(runs) > 1 else panel.width,
        )
        for panel in RUN_PANELS
        if panel.section == section and any(panel.fits(run) for run in runs)
    ]


def _comparison(runs: Sequence[Run]) -> list[Block]:
    if len(runs) < 2:
        return []
    steps = {f"{run.name}": best_so_far(run.curves, run.metric) for run in runs if len(run.curves)}
    metrics = {run.metric for run in runs}
    if len(metrics) > 1 or not steps:
        return []
    drawn = draw_best_so_far(steps, runs[0].metric)
    part = replace(figure_part(runs[0], "best-all", drawn), run="all runs")
    return [Block("Best so far, all runs", "The best validation value found, against epochs spent.", (part,))]
