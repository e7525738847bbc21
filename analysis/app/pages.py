"""The pages of the app as Dash components; the figures are those of the report.

Names and values go into components as text, which React escapes.
"""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dash import dcc, html

from analysis import figures, style
from analysis.app.filters import Address, brushed_places
from analysis.app.library import Library
from analysis.claims import bearing_runs
from analysis.export import cell_text
from analysis.figures.panel import restyle
from analysis.figures.panels import RUN_PANELS, TRIAL_PANELS
from analysis.frames import best_trials, parameters_of
from analysis.load import TEST_SCORES, VALIDATION_SCORES, Run
from analysis.page.answer import accuracy
from analysis.page.blocks import Cell, PageTable, shown_columns, table_of
from analysis.page.model import MISTAKES_CAPTION, describe_model, heading, model_layers, shown_mistakes
from analysis.page.tables import joint_table
from analysis.scored import Scored, scored_trial, scored_winner
from analysis.tables import TABLES
from analysis.tables.comparison import comparison
from search.record import RecordError, counted, lower_is_better, readable, trial_name

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

PAGES = {
    "/": "Runs",
    "/trials": "Trials",
    "/trial": "One trial",
    "/compare": "Compare",
    "/image": "New image",
    "/claims": "Claims",
}
ROWS = 12  # of the table at a time; the browser draws every cell again at each filter
MOST_COMPARED = 8

Component = Any  # Dash ships no types for its components


def navigation(path: str, address: Address) -> list[Component]:
    """The links to all pages, the current one marked; they keep the run and the trials to compare."""
    kept = Address(run=address.run, compared=address.compared)
    links = []
    for own, name in PAGES.items():
        target = replace(kept, trial=address.trial) if own == "/trial" else kept
        current = {"aria-current": "page"} if own == path else {}
        links.append(_link(name, own, target, **current))
    return links


def runs_page(library: Library) -> list[Component]:
    """All runs: the state and the winner of each."""
    rows, broken = [], []
    for name in library.names():
        try:
            with readable(name):
                rows.append(_run_row(name, library.run(name)))
        except RecordError as error:
            broken.append(_problem(f"{name}: {error}"))
    head = ("run", "status", "trials", "winner", "its validation value", "its test accuracy", "question", "begun (UTC)")
    kinds = ("", "", "number", "", "number", "", "text", "")
    return [html.H1("Runs"), *broken, _scroll(_plain_table(head, rows, kinds), "Runs")]


def _run_row(name: str, run: Run) -> list[Any]:
    """What the list of runs shows of one run; `name` is its folder's."""
    best = scored_winner(run)
    shown = [_link(run.name, "/trials", Address(run=name)), run.status, f"{len(run.trials):,}"]
    value = "" if best is None else f"{run.trials[run.metric][best.trial]:.4f}"
    shown += ["" if best is None else _link(best.what, "/trial", Address(run=name)), value]
    is_told = best is not None and "test" in best.evaluations and not run.record.is_multilabel
    share = accuracy(best, "test") if best is not None and is_told else None
    shown.append("" if share is None else f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]")
    created = datetime.datetime.fromtimestamp(run.record.created, datetime.UTC)
    shown += [str(run.record.config.get("space", {}).get("question", "")), created.strftime("%Y-%m-%d %H:%M")]
    return shown


def trials_page(run: Run, address: Address, theme: style.Theme) -> list[Component]:
    """The page of all trials; callbacks fill the parts with an id again when the filter changes.

    The figures are blank until the browser asks for them, so that the table does not wait for them.
    """
    axes = len(figures.varying(run.trials, run.hyperparameters))
    parallel, slices = _blank(theme, 400, 90 * axes), _blank(theme, 524, 170 * min(axes, 4))
    size, best = _blank(theme, 320), _blank(theme, 320)
    return [
        html.H1(run.name),
        html.P(str(run.record.config.get("space", {}).get("question", "")), className="soft"),
        html.Div(trials_state(run, address), id="trials-state"),
        html.Div(trials_statuses(run, address), id="trials-status", className="controls"),
        html.Div(trials_chips(address), id="trials-chips", className="controls"),
        _graph("brush-parallel", parallel, "Draw a box across an axis to choose trials; all else follows."),
        _graph("brush-slices", slices, "Or draw a box around points."),
        html.Div(
            [
                html.Div(_graph("brush-size", size, "Accuracy against size."), className="half"),
                html.Div(_graph("trials-best", best, "Best so far."), className="half"),
            ],
            className="row",
        ),
        html.Div(trials_table(run, address), id="trials-table"),
        dcc.Store(id="trials-shown"),
    ]


def trials_figures(run: Run, address: Address, theme: style.Theme) -> "list[go.Figure]":
    """The four figures of the page of all trials: parallel coordinates, slices, size, best so far."""
    chosen = address.filter.chosen(run.trials)
    scales = brush_scales(run)
    on_axes = [scale.name for scale in scales]
    # Trials outside a brushed axis are grey; trials that fail another condition are left out.
    others = address.filter.only(set(address.filter.columns) - set(on_axes))
    visible = others.chosen(run.trials)
    shown = scales if len(visible) == len(run.trials) else _kept(scales, run, visible)
    parallel = figures.draw_parallel(shown, brushed_places(address.filter, scales))
    by_key = {panel.key: panel for panel in RUN_PANELS}
    rest = [restyle(by_key[key].draw(run, chosen), theme) for key in ("slices", "size", "best")]
    drawn = [style.restyled(parallel, theme), *(_as_figure(each, theme) for each in rest)]
    for figure in drawn[:3]:
        figure.update_layout(dragmode="select")
    return drawn


def brush_scales(run: Run) -> list[figures.Scale]:
    """The axes of the parallel-coordinates figure, of all trials."""
    return figures.parallel_scales(run.trials, run.metric, run.hyperparameters)


def slice_columns(run: Run, address: Address) -> list[str]:
    """The hyperparameters of the panels of the slices figure, in its order."""
    chosen = address.filter.chosen(run.trials)
    return figures.varying(chosen[chosen[run.metric].notna()], run.hyperparameters)


def trials_state(run: Run, address: Address) -> list[Component]:
    """How many trials are chosen, and the problems of the run."""
    chosen = len(address.filter.chosen(run.trials))
    words = f"{chosen:,} of {counted(len(run.trials), 'trial')}; the run is {run.status}."
    return [html.P(words, role="status"), *(_problem(problem) for problem in run.problems)]


def trials_statuses(run: Run, address: Address) -> list[Component]:
    """The number of trials by status, each a link that shows these alone."""
    counts = run.trials["status"].value_counts()
    links: list[Component] = []
    for status in (status for status in style.STATUS if status in counts):
        only = replace(address, filter=address.filter.with_choice("status", [status]), page=0)
        dot = html.Span(className="dot", style={"background": style.STATUS[status]})
        links.append(dcc.Link([dot, f"{counts[status]:,} {status}"], href=f"/trials{only.query()}"))
    return _spaced(links)


def trials_chips(address: Address) -> list[Component]:
    """The conditions, each a link that removes it."""
    links = []
    for name, words in address.filter.words().items():
        without = replace(address, filter=address.filter.without(name), page=0)
        links.append(_link(f"{words} ×", "/trials", without, className="chip", title="Drop this condition"))
    if links:
        links.append(_link("drop all", "/trials", replace(address, filter=type(address.filter)(), page=0)))
    return _spaced(links)


def trials_table(run: Run, address: Address) -> list[Component]:
    """A page of the chosen trials in the order of the address; headings sort, numbers lead to a trial."""
    names = ["status", "epochs", *dict.fromkeys((run.metric, *VALIDATION_SCORES)), "parameters"]
    names += [name for name in TEST_SCORES if run.trials[name].notna().any()]
    names += figures.varying(run.trials, run.hyperparameters)
    ordered = _sorted(address.filter.chosen(run.trials), address.sort, run.metric)
    last = max(0, (len(ordered) - 1) // ROWS)
    page = min(address.page, last)
    part = ordered.iloc[page * ROWS : (page + 1) * ROWS]
    body = table_of(part[names])
    head = [html.Th("compare"), html.Th(_sort_link("trial", "trial", address))]
    head += [
        html.Th(_sort_link(name, cell.text, address), className=cell.kind)
        for name, cell in zip(names, body.head, strict=True)
    ]
    rows = [
        html.Tr([html.Td(_aside_link(trial, address)), html.Td(_trial_link(trial, address)), *map(_td, cells)])
        for trial, cells in zip(part.index, body.rows, strict=True)
    ]
    steps = []
    if page:
        steps.append(_link("earlier", "/trials", replace(address, page=page - 1)))
    if page < last:
        steps.append(_link("later", "/trials", replace(address, page=page + 1)))
    shown = f"{page * ROWS + 1:,} to {page * ROWS + len(part):,} of {len(ordered):,}" if len(part) else "no trial"
    aside = _link(
        f"Compare {counted(len(address.compared), 'trial')}", "/compare", Address(address.run, None, address.compared)
    )
    controls = [html.Span(shown), *steps, *([aside] if address.compared else [])]
    table = html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)])
    return [html.Div(_spaced(controls), className="controls"), _scroll(table, "Trials")]


def trial_page(run: Run, address: Address, theme: style.Theme) -> list[Component]:
    """One trial, or the exported model where none is named: curves, predictions, layers, mistakes."""
    scored = scored_winner(run) if address.trial is None else scored_trial(run, address.trial)
    if scored is None:
        scored = next((scored_trial(run, trial) for trial in best_trials(run, 1)), None)
    if scored is None or scored.trial not in run.trials.index:
        said = "No trial has begun." if scored is None else f"The run has no {scored.what}."
        return [html.H1(run.name), html.P(said)]
    trial = scored.trial
    row = run.trials.loc[trial]
    reason = f": {row['reason']}" if row["reason"] else ""
    epochs = counted(int(run.trials["max_epochs"][trial]), "epoch")
    aside = _aside_link(trial, replace(address, trial=trial), "/trial", ("put aside for comparison", "put back"))
    parts = [
        html.H1(f"{run.name}, {heading(run, trial) if scored.is_trial else scored.what}"),
        html.P(f"{describe_model(run, trial)[:1].upper()}{describe_model(run, trial)[1:]}.", className="model"),
        html.P([f"{row['status']}{reason}; {row['epochs']} of {epochs}. ", aside], className="soft"),
    ]
    panels = [
        html.Div(
            _drawn(restyle(panel.draw(scored), theme), panel.title, panel.caption, f"trial-{panel.key}"),
            className=panel.width,
        )
        for panel in TRIAL_PANELS
    ]
    layers = html.Div(
        _figure_table(table_of(figures.summary(model_layers(run, trial))), "Architecture"), className="half"
    )
    pairs = [(style.label(name), value) for name, value in parameters_of(run, trial).items()]
    pairs += [
        ("seed", str(row["seed"])),
        ("host", f"{row['host']}, process {row['process']}"),
        ("peak memory", f"{cell_text(row['memory_mb'])} MiB"),
        ("time in epochs", f"{row['seconds']:.0f} s"),
    ]
    values = _plain_table(("hyperparameter", "value"), [[name, cell_text(value)] for name, value in pairs])
    own = html.Div(
        html.Figure(
            [html.Figcaption(html.B("Hyperparameters and cost")), _scroll(values, "Hyperparameters")], className="table"
        ),
        className="half",
    )
    return [*parts, html.Div([*panels, layers, own], className="row"), *_mistakes(scored)]


def compare_page(library: Library, run: Run, address: Address, theme: style.Theme) -> list[Component]:
    """Trials side by side, and below them the runs."""
    chosen = [trial for trial in address.compared if trial in run.trials.index][:MOST_COMPARED]
    chosen = chosen or best_trials(run, 3)
    parts: list[Component] = [html.H1(f"{run.name}, trials side by side")]
    if not address.compared:
        parts.append(html.P("The three best by validation; put others aside on the page of trials.", className="soft"))
    if not chosen:
        return [*parts, html.P("No trial has a validation value yet.")]
    overlay = figures.draw_overlay([figures.learning_curve(run.trials, run.curves, trial) for trial in chosen])
    caption = "The ring marks the judged epoch."
    parts += _drawn(style.restyled(overlay, theme), "Validation curves", caption, "compare-curves")
    parts.append(_side_by_side(run, chosen, address))
    scored = [trial for trial in chosen if "test" in Scored(run, trial).evaluations]
    paired = comparison(run, scored) if len(scored) > 1 and not run.record.is_multilabel else None
    if paired is not None and not paired.empty:
        caption = "On the same test images; differences are the first minus the second."
        parts.append(_figure_table(table_of(shown_columns(paired)), "Paired comparison", caption))
    others = [other for other in library.readable() if other.metric == run.metric and len(other.curves)]
    if len(others) > 1:
        steps = {other.name: figures.best_so_far(other.curves, other.metric) for other in others}
        drawn = style.restyled(figures.draw_best_so_far(steps, run.metric), theme)
        caption = "The best validation value found, against the epochs spent."
        parts += [html.H2("The runs side by side"), *_drawn(drawn, "Best so far", caption, "compare-runs")]
    return parts


def claims_page(library: Library) -> list[Component]:
    """The report's claims, tested on all runs of the folder together."""
    title = html.H1("What of the report holds")
    runs = [run for classes in (2, 3) for run in bearing_runs(library.readable(), classes)]
    if not runs:
        return [title, html.P("No run here has the report's classes: normal and pneumonia, or bacterial and viral.")]
    said = f"Tested on the trials of {', '.join(run.name for run in runs)}. Too few trials leave a claim undecided."
    return [title, html.P(said), _figure_table(joint_table(TABLES["claims"], runs))]


def _side_by_side(run: Run, chosen: Sequence[int], address: Address) -> Component:
    """A column a trial, a row a hyperparameter or score; rows that differ are marked."""
    scores = [*VALIDATION_SCORES, *TEST_SCORES, "parameters", "epochs"]
    rows = []
    for name in dict.fromkeys([*run.hyperparameters, "status", run.metric, *scores]):
        values = [cell_text(run.trials.loc[trial, name]) for trial in chosen]
        if any(values):
            rows.append(
                html.Tr(
                    [html.Td(style.label(name)), *map(html.Td, values)],
                    className="chosen" if len(set(values)) > 1 else "",
                )
            )
    head = [html.Th("")] + [html.Th(_trial_link(trial, address)) for trial in chosen]
    return _scroll(html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)]), "Trials side by side")


def _mistakes(scored: Scored) -> list[Component]:
    found = shown_mistakes(scored)
    if isinstance(found, str):
        return [html.P([html.B("Mistakes. "), found], className="nothing")]
    items = []
    for mistake in found:
        pictures = [
            html.Img(src=picture, alt=f"{words} {mistake.image_id}")
            for words, picture in (("X-ray", mistake.picture), ("Grad-CAM over", mistake.cam))
            if picture
        ]
        chances = ", ".join(f"{name} {value:.3f}" for name, value in mistake.probabilities.items())
        truth: list[Component] = [html.B(mistake.truth), " taken for ", html.B(mistake.predicted)]
        items.append(
            html.Li(
                [
                    html.Div(pictures, className="pictures") if pictures else None,
                    html.Div(truth),
                    html.Div(chances),
                    html.Div(mistake.image_id, className="name"),
                ]
            )
        )
    caption = html.P(MISTAKES_CAPTION, className="soft")
    return [html.H2("Its mistakes"), caption, html.Ul(items, className="gallery")]


_CONFIG: Any = {"displayModeBar": False, "responsive": True}


def _as_figure(drawn: "go.Figure | str", theme: style.Theme) -> "go.Figure":
    """A panel as a figure; a reason becomes a line of text in an empty figure."""
    if not isinstance(drawn, str):
        return drawn
    words = {"x": 0, "y": 0.5, "xref": "paper", "yref": "paper", "xanchor": "left", "text": style.plain(drawn)}
    return _blank(theme, 120).add_annotation(**words)


def _blank(theme: style.Theme, height: int, narrowest: int = 0) -> "go.Figure":
    """A figure without axes."""
    axis = {"visible": False}
    blank = style.figure(height=height, xaxis=axis, yaxis=axis, meta={"narrowest": narrowest, "columns": 1})
    return style.restyled(blank, theme)


def _kept(scales: Sequence[figures.Scale], run: Run, visible: "pd.DataFrame") -> list[figures.Scale]:
    """The same axes with the visible trials alone."""
    known = run.trials[run.trials[run.metric].notna()]
    drawn = figures.sampled(known, figures.MOST_LINES, known[run.metric])
    inside = drawn.index.isin(visible.index)
    return [replace(scale, places=scale.places[inside]) for scale in scales]


def _drawn(drawn: "go.Figure | str", title: str, caption: str, key: str) -> list[Component]:
    if isinstance(drawn, str):
        return [html.P([html.B(f"{title}. "), drawn], className="nothing")]
    return [_graph(key, drawn, caption, f"{title}. ")]


def _graph(key: str, drawn: "go.Figure", caption: str, title: str = "") -> Component:
    graph = dcc.Graph(id=key, figure=drawn, config=_CONFIG, style={"minWidth": _narrowest(drawn)})
    return html.Figure([html.Div(graph, className="frame"), html.Figcaption([html.B(title), caption])])


def _narrowest(drawn: "go.Figure") -> str:
    """The least width of a figure as CSS; a narrower page scrolls it sideways."""
    meta = drawn.layout.meta or {}
    return f"{min(meta.get('narrowest', 0) * meta.get('columns', 1), 900)}px"


def _figure_table(table: PageTable, title: str = "", caption: str = "") -> Component:
    head = [html.Th(cell.text, className=cell.kind, scope="col") for cell in table.head]
    rows = [html.Tr([_td(cell) for cell in row]) for row in table.rows]
    shown = _scroll(html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)]), title or "Table")
    words: list[Component] = [html.B(f"{title}. " if title else ""), caption]
    return html.Figure([html.Figcaption(words) if title else None, shown], className="table")


def _plain_table(head: Sequence[str], rows: Sequence[Sequence[Component]], kinds: Sequence[str] = ()) -> Component:
    kinds = kinds or [""] * len(head)
    top = [html.Th(text, className=kind, scope="col") for text, kind in zip(head, kinds, strict=True)]
    body = [html.Tr([html.Td(cell, className=kind) for cell, kind in zip(row, kinds, strict=True)]) for row in rows]
    return html.Table([html.Thead(html.Tr(top)), html.Tbody(body)])


def _td(cell: Cell) -> Component:
    return html.Td(html.Span(cell.text, className=f"chip {cell.chip}") if cell.chip else cell.text, className=cell.kind)


def _scroll(table: Component, name: str) -> Component:
    options: dict[str, Any] = {"aria-label": name}
    return html.Div(table, className="scroll", tabIndex=0, role="region", **options)


def _problem(text: str) -> Component:
    return html.P(text, className="problem")


def _link(text: str, path: str, address: Address, **options: Any) -> Component:
    title = options.pop("title", None)
    if "aria-current" in options:  # dcc.Link takes no aria attributes; its child has them
        return dcc.Link(html.Span(text, **options), href=path + address.query(), className="current", title=title)
    return dcc.Link(text, href=path + address.query(), title=title, **options)


def _trial_link(trial: int, address: Address) -> Component:
    return _link(trial_name(trial), "/trial", Address(address.run, trial, address.compared))


def _aside_link(trial: int, address: Address, path: str = "/trials", words: tuple[str, str] = ("+", "✓")) -> Component:
    """A link that adds a trial to the comparison, or removes it."""
    aside = trial in address.compared
    rest = tuple(number for number in address.compared if number != trial)
    compared = rest if aside else (*rest, trial)
    title = f"{'Put back' if aside else 'Put aside for comparison'}: trial {trial_name(trial)}"
    return _link(words[aside], path, replace(address, compared=compared), title=title)


def _sort_link(name: str, text: str, address: Address) -> Component:
    down = address.sort == name
    mark = " ↑" if down else " ↓" if address.sort == f"-{name}" else ""
    return _link(text + mark, "/trials", replace(address, sort=f"-{name}" if down else name, page=0))


def _sorted(trials: "pd.DataFrame", sort: str, metric: str) -> "pd.DataFrame":
    name, down = sort.removeprefix("-"), sort.startswith("-")
    if name == "trial":
        return trials.sort_index(ascending=not down)
    if name not in trials:
        name, down = metric, not lower_is_better(metric)
    return trials.sort_values(name, ascending=not down, kind="stable", na_position="last")


def _spaced(parts: Sequence[Component]) -> list[Component]:
    return [piece for part in parts for piece in (part, " ")]
