"""The block of all trials, which the reader of the report sorts and filters."""

from collections.abc import Sequence
from typing import Any

from analysis.export import headings
from analysis.figures.scales import varying
from analysis.load import TEST_SCORES, VALIDATION_SCORES, Run
from analysis.page.blocks import Block, Part, is_absent, script_json


def all_trials_block(runs: Sequence[Run]) -> Block:
    """All trials of each run, as JSON for the page's own table."""
    caption = "A click on a heading sorts. Filter by words: cnn, status=finished, augment=strong."
    parts = (Part(run.name, f"trials-{n}", trials=script_json(trial_rows(run))) for n, run in enumerate(runs))
    return Block("All trials", caption, tuple(parts))


def trial_rows(run: Run) -> dict[str, Any]:
    """All trials for JSON, values rounded: `columns`, `labels`, `kinds` (number, text or trial) and `rows`."""
    scores = dict.fromkeys((run.metric, *VALIDATION_SCORES))
    names = ["status", "epochs", "epoch", *scores, "parameters"]
    names += [name for name in TEST_SCORES if run.trials[name].notna().any()]
    names += varying(run.trials, run.hyperparameters)
    if run.is_replay:
        names.insert(0, "row")
    if run.trials["confirms"].notna().any():
        names.insert(0, "confirms")
    frame = run.trials[names].reset_index()
    columns = {str(name): [_rounded(value) for value in frame[name]] for name in frame.columns}
    kinds = ["number" if any(isinstance(v, int | float) for v in values) else "text" for values in columns.values()]
    kinds[0] = "trial"
    return {
        "columns": list(columns),
        "labels": headings(list(columns)),
        "kinds": kinds,
        "rows": [list(row) for row in zip(*columns.values(), strict=True)],
    }


def _rounded(value: Any) -> Any:
    if is_absent(value):
        return None
    if isinstance(value, str | bool):
        return str(value)
    number = float(value)
    return int(number) if number == int(number) else float(f"{number:.5g}")
