"""One self-contained HTML page of one or several runs: `python -m analysis.report RUN [RUN2 ...]`.

Nothing is fetched when the page is opened: Plotly, data, pictures and styles are inside it. What comes
from a run reaches the page through Jinja's escaping or as JSON, never as markup.
"""

import argparse
import datetime
import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import figures, style
from analysis.answer import answer
from analysis.claims import ACCURACY_MARGIN, bearing_runs
from analysis.command import exit_code
from analysis.export import cell_text, folded, headings
from analysis.load import Run, load
from analysis.panels import (
    MISTAKES_CAPTION,
    NOT_SCORED,
    RUN_PANELS,
    TRIAL_PANELS,
    heading,
    mistakes,
    model_layers,
    parameters_of,
)
from analysis.replay import REPORT_TABLES
from analysis.scored import Scored, scored_winner
from analysis.selection import model_scores
from analysis.tables import TABLES, default_tables, make_table
from search.record import PACKED, RunFolder, trial_name

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

ASSETS = Path(__file__).with_name("assets")
REPORT_NAME = "report.html"


@dataclass(frozen=True)
class Cell:
    """A table's cell; `kind` is its class in the page's style, `chip` that of a coloured label in it."""

    text: str
    kind: str = ""
    chip: str = ""


@dataclass(frozen=True)
class Table:
    """A table ready for the page."""

    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Part:
    """What a block shows of one run: one of a plot, a table, all trials, pictures, a text, or why there is nothing.

    Attributes:
        label: `Figure 3: `, filled in when the page is put together.
        plot, trials: JSON.
        note: a line under a table.
    """

    run: str
    key: str = ""
    label: str = ""
    reason: str = ""
    plot: str = ""
    height: int = 320
    table: Table | None = None
    trials: str = ""
    gallery: tuple[figures.Mistake, ...] = ()
    text: str = ""
    note: str = ""


@dataclass(frozen=True)
class Block:
    """A figure, table or text, of each run; the runs stand side by side.

    Attributes:
        width: of a page with room for it: `full`, `half` or `third`.
        closed: whether the reader opens it by a click.
    """

    title: str
    caption: str
    parts: tuple[Part, ...]
    width: str = "full"
    closed: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page; `short` is its name in the contents."""

    key: str
    short: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


def write_report(runs: Sequence[Run], path: str) -> str:
    """Write the report of some runs to a file, on a disk or in a bucket; returns its path.

    Raises:
        ValueError: there is no run.
        OSError: the file cannot be written.
    """
    folder, _, name = path.replace("\\", "/").rpartition("/")
    RunFolder(folder or ".").write(report_html(runs).encode(), name)
    return path


def report_html(runs: Sequence[Run]) -> str:
    """The report of some runs as one HTML page.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError("A report is about one run or more; got none. Give the folder of a run.")
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    shown = _numbered([section for section in sections(runs) if section.blocks])
    page = _template().render(
        title=_title(runs),
        subtitle=_subtitle(runs),
        answers=[answer(run) for run in runs],
        sections=[_safe_json(section) for section in shown],
        written=datetime.datetime.now(datetime.UTC).strftime("%d %B %Y, %H:%M UTC"),
        light=Markup(style.variables(style.LIGHT)),
        dark=Markup(style.variables(style.DARK)),
        css=Markup(_asset("page.css")),
        script=Markup(_asset("report.js")),
        plotly=Markup(get_plotlyjs()),
        templates=Markup(script_json({name: style.template(theme) for name, theme in style.THEMES.items()})),
    )
    return str(page)


def sections(runs: Sequence[Run]) -> list[Section]:
    """The page's sections, empty ones included, from the answer to how it was made."""
    return [
        Section("compare", "Runs", "The runs side by side", "", tuple(_comparison(runs))),
        Section(
            "winner",
            "Winner",
            "The model to pick",
            "Chosen by validation; everything measured on test images was measured after the choice.",
            (*_winner_blocks(runs), *_table_blocks(runs, "winner")),
        ),
        Section(
            "space",
            "Hyperparameters",
            "What each hyperparameter did",
            "Over all trials with a validation value, those stopped early included.",
            (*_run_blocks(runs, "space"), *_table_blocks(runs, "space")),
        ),
        Section(
            "search",
            "Search",
            "How the search went",
            "What was spent, what was stopped early, what failed.",
            (*_run_blocks(runs, "search"), *_table_blocks(runs, "search")),
        ),
        Section(
            "trials",
            "Trials",
            "The trials",
            "Ranked by validation; test results stand beside, with their intervals.",
            (*_run_blocks(runs, "trials"), *_table_blocks(runs, "trials"), _all_trials(runs)),
        ),
        Section(
            "published",
            "Published",
            "The published tables, run again",
            "Each row of the report beside what was measured here.",
            tuple(_published_blocks(runs)),
        ),
        Section(
            "claims",
            "Claims",
            "What of the report holds",
            "Every statement of the report, tested on the trials that bear on it. Too few trials leave it undecided.",
            tuple(_claim_blocks(runs)),
        ),
        Section(
            "data",
            "Data",
            "The images",
            "Counted from the run's own split.",
            (*_run_blocks(runs, "data"), *_table_blocks(runs, "data")),
        ),
        Section("made", "Made with", "How this was made", "Everything needed to run it again.", tuple(_origin(runs))),
    ]


def table_of(frame: "pd.DataFrame", texts: Iterable[str] = ()) -> Table:
    """A frame as a table for the page: numbers to the right and written as people read them.

    Args:
        frame: its index is not shown.
        texts: columns of prose, which may wrap.
    """
    import pandas as pd

    names = [str(name) for name in frame.columns]
    numeric = [pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in frame.dtypes]
    kinds = ["text" if name in set(texts) else "number" * number for name, number in zip(names, numeric, strict=True)]
    head = tuple(Cell(title, kind) for title, kind in zip(headings(names), kinds, strict=True))
    rows = tuple(
        tuple(_cell(value, name, kind) for value, name, kind in zip(row, names, kinds, strict=True))
        for row in frame.itertuples(index=False, name=None)
    )
    return Table(head, rows)


def _cell(value: Any, name: str, kind: str) -> Cell:
    if name in _NAMES and not _is_absent(value):
        return Cell(trial_name(int(value)), kind)
    text = cell_text(value)
    return Cell(text, kind, text.replace(" ", "-") if name == "verdict" else "")


_NAMES = ("trial", "first", "second")  # columns of trial numbers, which are names and not amounts


def _is_absent(value: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _part(run: Run, key: str, drawn: "go.Figure | str") -> Part:
    if isinstance(drawn, str):
        return Part(run.name, reason=drawn)
    return Part(run.name, key, plot=plot_json(drawn), height=int(drawn.layout.height or 320))


def plot_json(drawn: "go.Figure") -> str:
    """A figure's data and layout as JSON for a script element; the page brings the template."""
    from plotly.io.json import to_json_plotly

    content = drawn.to_dict()
    content["layout"].pop("template", None)
    return _escaped(str(to_json_plotly(content)))


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element."""
    return _escaped(json.dumps(value, separators=(",", ":"), allow_nan=False))


def _escaped(content: str) -> str:
    # A string in the JSON may hold </script> or <!--, which would end the element early.
    return content.replace("<", "\\u003c")


def _run_blocks(runs: Sequence[Run], section: str) -> list[Block]:
    return [
        Block(
            panel.title,
            panel.caption,
            tuple(_part(run, f"{panel.key}-{n}", panel.draw(run, run.trials)) for n, run in enumerate(runs)),
            "full" if len(runs) > 1 else panel.width,
        )
        for panel in RUN_PANELS
        if panel.section == section
    ]


def _table_blocks(runs: Sequence[Run], section: str) -> list[Block]:
    return [
        Block(
            TABLES[shown.name].title,
            shown.caption,
            tuple(_table_part(run, make_table([run], shown.name), shown) for run in runs),
            closed=shown.closed,
        )
        for shown in _SHOWN_TABLES
        if shown.section == section
    ]


@dataclass(frozen=True)
class _ShownTable:
    """A table of `analysis.tables` on the page.

    Attributes:
        nothing: what stands there in place of an empty one.
        texts: columns of prose, which may wrap.
        closed: whether the reader opens it by a click.
    """

    name: str
    section: str
    caption: str
    nothing: str = "Nothing to list."
    texts: tuple[str, ...] = ()
    closed: bool = False


_SHOWN_TABLES = (
    _ShownTable(
        "selection",
        "winner",
        "The same finished trials, chosen by less: from the best by validation accuracy to the exported model. Every "
        "step chooses by validation alone; p of McNemar's test compares a step's mistakes with those of the step "
        "before it, on the same images.",
        NOT_SCORED,
        texts=("selection",),
    ),
    _ShownTable(
        "ranking",
        "trials",
        "In brackets 95 % intervals: Wilson for accuracy, resampled images for the others. Two trials whose "
        "intervals overlap widely cannot be told apart by this test set.",
        "No trial has a validation value yet.",
    ),
    _ShownTable(
        "comparison",
        "trials",
        "Differences are the first minus the second, on the same images; p of McNemar's and DeLong's tests.",
        "Fewer than two trials were scored on test images.",
    ),
    _ShownTable("evaluations", "trials", "Validation, test and outside sets.", NOT_SCORED, closed=True),
    _ShownTable(
        "isolation", "space", "What the best trial with each value reached.", "No hyperparameter differs.", closed=True
    ),
    _ShownTable(
        "effects",
        "space",
        "Means over pairs of finished trials that differ in nothing else, in brackets Student's 95 % intervals.",
        "No two finished trials differ in one hyperparameter only; a grid has such pairs.",
        closed=True,
    ),
    _ShownTable("early_stopping", "search", "Epochs that were not trained because a trial ended before its time."),
    _ShownTable(
        "failures",
        "search",
        "With the reason that was recorded.",
        "None failed, diverged or lost its process.",
        texts=("reason",),
    ),
    _ShownTable("savings", "search", "In hours of all trial processes together.", texts=("cost", "basis")),
    _ShownTable("cost", "search", "By backbone and ending.", closed=True),
    _ShownTable("data", "data", "Beside the report's own counts, where it prints them."),
)


MOST_ROWS = 50  # of a table on the page; ten thousand would be most of the page's size


def _table_part(run: Run, frame: "pd.DataFrame", shown: _ShownTable) -> Part:
    if frame.empty:
        return Part(run.name, reason=shown.nothing)
    same = [name for name in run.hyperparameters if name in frame and run.trials[name].nunique(dropna=False) < 2]
    note = f"The first {MOST_ROWS} of {len(frame):,} rows; python -m analysis.tables RUN --table {shown.name} has all."
    return Part(
        run.name,
        table=table_of(shown_columns(frame.drop(columns=same)[:MOST_ROWS]), shown.texts),
        note=note if len(frame) > MOST_ROWS else "",
    )


def shown_columns(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame as the pages show it: intervals folded, and no column without a value (DeLong's test has none with
    three classes).
    """
    return folded(frame).dropna(axis="columns", how="all")


def _published_blocks(runs: Sequence[Run]) -> list[Block]:
    """The report's tables that some trial of the runs replays."""
    replayed = [name for name in default_tables(runs) if name in REPORT_TABLES]
    return [
        Block(
            TABLES[name].title,
            "Published, measured and their difference. Measured is the mean over repeats; in brackets where one more "
            "run with another seed would fall (95 %).",
            (Part("", table=table_of(shown_columns(make_table(runs, name)))),),
        )
        for name in replayed
    ]


def _claim_blocks(runs: Sequence[Run]) -> list[Block]:
    if not any(bearing_runs(runs, classes) for classes in (2, 3)):
        return []
    caption = (
        "The effect is in units of its measure, with its 95 % interval; the report's own effect stands beside. "
        "The basis says what was compared, and how many trials bear on it. That something does not help, or "
        f"suffices, is judged with a margin of {ACCURACY_MARGIN}."
    )
    return [Block(TABLES["claims"].title, caption, (Part("", table=table_of(claim_rows(runs), CLAIM_TEXTS)),))]


CLAIM_TEXTS = ("sentence", "measure", "basis")


def claim_rows(runs: Sequence[Run]) -> "pd.DataFrame":
    """The verdicts on the report's statements, those that are decided first, as the pages show them."""
    frame = shown_columns(make_table(runs, "claims"))
    pairs = zip(frame["sentence"], frame["place"], strict=True)
    frame["sentence"] = [f"{str(sentence).rstrip('.')} ({place})." for sentence, place in pairs]
    shown = ("sentence", "verdict", "effect", "published", "measure", "trials", "basis")
    frame = frame[[name for name in shown if name in frame]]
    return frame.sort_values("verdict", key=lambda verdicts: verdicts == "undecided", kind="stable")


def _winner_blocks(runs: Sequence[Run]) -> list[Block]:
    chosen = [(run, scored_winner(run)) for run in runs]
    if all(scored is None for _, scored in chosen):
        return []
    blocks = []
    for panel in TRIAL_PANELS:
        parts = [
            _part(run, f"{panel.key}-{n}", _NO_WINNER if scored is None else panel.draw(scored))
            for n, (run, scored) in enumerate(chosen)
        ]
        blocks.append(Block(panel.title, panel.caption, tuple(parts), "full" if len(runs) > 1 else panel.width))
    results = tuple(_for_winner(run, scored, _results) for run, scored in chosen)
    caption = "The exported model on every set of images, with 95 % intervals: Wilson's for accuracy, resampled images "
    caption += "for the others."
    blocks.insert(0, Block("Results", caption, results))
    models = [_for_winner(run, scored, _architecture) for run, scored in chosen]
    blocks.append(Block("Architecture", "Layer by layer, as in the report's annex.", tuple(models), "half"))
    values = [_for_winner(run, scored, _hyperparameters) for run, scored in chosen]
    caption = "Those of the trial, of the best one where the model averages several, and its own scores."
    blocks.append(Block("Hyperparameters", caption, tuple(values), "half"))
    pictures = tuple(_for_winner(run, scored, _pictures) for run, scored in chosen)
    return [*blocks, Block("Its mistakes", MISTAKES_CAPTION, pictures)]


_NO_WINNER = "No trial has finished."


def _for_winner(run: Run, scored: Scored | None, make: Callable[[Scored], Part]) -> Part:
    return Part(run.name, reason=_NO_WINNER) if scored is None else make(scored)


def _results(scored: Scored) -> Part:
    """Every set of images that the model was scored on, with its intervals."""
    if not scored.evaluations:
        return Part(scored.run.name, reason=NOT_SCORED)
    return Part(scored.run.name, table=table_of(shown_columns(model_scores(scored))), note=f"{scored.what}.")


def _architecture(scored: Scored) -> Part:
    layers = figures.summary(model_layers(scored.run, scored.trial))
    return Part(scored.run.name, table=table_of(layers))


def _hyperparameters(scored: Scored) -> Part:
    import pandas as pd

    run, trial = scored.run, scored.trial
    row = run.trials.loc[trial]
    scores = ("val_loss", "val_accuracy", "val_auc", "test_loss", "test_accuracy", "test_auc")
    pairs = list(parameters_of(run, trial).items())
    pairs += [("seed", str(row["seed"])), ("epoch", row["epoch"])]
    pairs += [(name, row[name]) for name in dict.fromkeys((run.metric, *scores)) if not _is_absent(row.get(name))]
    texts = [(style.label(name), cell_text(value)) for name, value in pairs]
    return Part(run.name, table=table_of(pd.DataFrame(texts, columns=[heading(run, trial), "value"])))


def _pictures(scored: Scored) -> Part:
    found, name = mistakes(scored), scored.run.name
    return Part(name, reason=found) if isinstance(found, str) else Part(name, gallery=tuple(found))


def _all_trials(runs: Sequence[Run]) -> Block:
    caption = "A click on a heading sorts. Filter by words: cnn, status=finished, augment=strong."
    parts = (Part(run.name, f"trials-{n}", trials=script_json(trial_rows(run))) for n, run in enumerate(runs))
    return Block("All trials", caption, tuple(parts))


def trial_rows(run: Run) -> dict[str, Any]:
    """All trials, values rounded, fit for JSON: `columns`, `labels`, `kinds` (number, text, trial) and `rows`."""
    scores = dict.fromkeys((run.metric, "val_loss", "val_accuracy", "val_auc"))
    names = ["status", "epochs", "epoch", *scores, "parameters"]
    names += [name for name in ("test_accuracy", "test_auc") if run.trials[name].notna().any()]
    names += figures.varying(run.trials, run.hyperparameters)
    if run.trials["row"].ne("").any():
        names.insert(0, "row")
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
    if _is_absent(value):
        return None
    if isinstance(value, str | bool):
        return str(value)
    number = float(value)
    return int(number) if number == int(number) else float(f"{number:.5g}")


def _comparison(runs: Sequence[Run]) -> list[Block]:
    if len(runs) < 2:
        return []
    steps = {f"{run.name}": figures.best_so_far(run.curves, run.metric) for run in runs if len(run.curves)}
    metrics = {run.metric for run in runs}
    if len(metrics) > 1 or not steps:
        return []
    drawn = figures.draw_best_so_far(steps, runs[0].metric)
    part = replace(_part(runs[0], "best-all", drawn), run="all runs")
    return [Block("Best so far, all runs", "The best validation value found, against epochs spent.", (part,))]


def _origin(runs: Sequence[Run]) -> list[Block]:
    import pandas as pd

    parts = []
    for run in runs:
        told = run.record.environment
        packages = ", ".join(f"{name} {version}" for name, version in told.get("packages", {}).items())
        created = datetime.datetime.fromtimestamp(run.record.created, datetime.UTC)
        pairs = [
            ("command", run.record.command),
            ("begun", created.strftime("%d %B %Y, %H:%M UTC")),
            ("data fingerprint", run.record.data.get("fingerprint", "")),
            ("set aside", f"{run.record.data.get('set_aside', 0)} files that could not be used"),
            ("commit", told.get("commit", "") or "not recorded"),
            ("machine", f"{told.get('processor', '')}, {told.get('cpus', '?')} CPUs, {told.get('platform', '')}"),
            ("packages", f"Python {told.get('python', '')}, {packages}"),
        ]
        frame = pd.DataFrame([(name, str(value)) for name, value in pairs], columns=["what", "value"])
        parts.append(Part(run.name, table=table_of(frame, texts=("value",))))
    settings = tuple(Part(run.name, text=json.dumps(run.record.config, indent=1)) for run in runs)
    return [
        Block("Origin", "What ran, on which data, with what.", tuple(parts)),
        Block("All settings", "", settings),
    ]


def _numbered(shown: Sequence[Section]) -> list[Section]:
    """The sections with their figures and tables counted through."""
    counts = {"Figure": 0, "Table": 0}
    numbered = []
    for section in shown:
        blocks = []
        for block in section.blocks:
            kind = (
                "Figure" if any(p.plot for p in block.parts) else "Table" if any(p.table for p in block.parts) else ""
            )
            if kind:
                counts[kind] += 1
                label = f"{kind} {counts[kind]}: "
                block = replace(block, parts=tuple(replace(part, label=label) for part in block.parts))
                if len(block.parts) > 1:
                    block = replace(block, title=f"{label}{block.title}")
            blocks.append(block)
        numbered.append(replace(section, blocks=tuple(blocks)))
    return numbered


def _safe_json(section: Section) -> Section:
    """The section with its JSON marked as safe; `_escaped` has made it so."""
    from markupsafe import Markup

    blocks = tuple(
        replace(
            block,
            parts=tuple(replace(part, plot=Markup(part.plot), trials=Markup(part.trials)) for part in block.parts),
        )
        for block in section.blocks
    )
    return replace(section, blocks=blocks)


def _title(runs: Sequence[Run]) -> str:
    return ", ".join(run.name for run in runs)


def _subtitle(runs: Sequence[Run]) -> str:
    questions = dict.fromkeys(str(run.record.config.get("space", {}).get("question", "")) for run in runs)
    return " ".join(question for question in questions if question) or "A hyperparameter search."


@functools.cache
def _template() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(ASSETS)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a report from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, its URL in a bucket, or a packed one")
    parser.add_argument("--out", help=f"the file to write; by default {REPORT_NAME} in, or beside, the first run")
    given = parser.parse_args(arguments)

    def write() -> None:
        runs = [load(path) for path in given.runs]
        print(f"Written: {write_report(runs, given.out or _default_path(runs[0].folder))}")

    return exit_code(write)


def _default_path(folder: RunFolder) -> str:
    """The page in a run's folder; of a packed run, beside its file."""
    return f"{folder.url.removesuffix(PACKED)}.html" if folder.is_packed else f"{folder.url}/{REPORT_NAME}"


if __name__ == "__main__":
    sys.exit(main())
