"""The Dash app: one address a view, one callback that makes a page, and callbacks for brushes."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dash
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update

from analysis import style
from analysis.app import pages
from analysis.app.asking import Reply, ask
from analysis.app.filters import Address, Filter, brush_axes, brush_points, read_address
from analysis.app.image_page import answer_parts, image_page
from analysis.app.library import Library
from analysis.load import Run
from analysis.page.render import read_asset
from search.record import RecordError, error_words

if TYPE_CHECKING:
    from dash import Dash

ASSETS = Path(__file__).with_name("assets")
REFRESH_SECONDS = 2.0


def create_app(folder: str, cache: str = "") -> "Dash":
    """The Dash app over a run or a folder of runs.

    Args:
        folder: a path or a URL.
        cache: folder of prepared images, for training images that look like a new one; empty for the default.

    Raises:
        RecordError: the folder holds no run.
    """
    library = Library(folder)
    app = dash.Dash(
        "analysis.app",
        title="Runs",
        update_title="",
        suppress_callback_exceptions=True,
        assets_folder=str(ASSETS),
        index_string=_index(),
    )
    app.layout = _layout
    _add_theme(app)
    _add_pages(app, library)
    _add_trials(app, library)
    _add_brushes(app, library)
    _add_image(app, library, cache)
    return app


def _layout() -> Any:
    return html.Div(
        [
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Store(id="theme", data="light"),
            dcc.Store(id="place", data=""),
            dcc.Store(id="version", data=""),
            dcc.Interval(id="tick", interval=int(REFRESH_SECONDS * 1000)),
            html.Header(
                [html.Nav(id="navigation"), html.Button("Light / dark", id="theme-button", type="button")],
                className="bar",
            ),
            html.Main(id="page"),
        ]
    )


def _index() -> str:
    """The HTML around Dash's own, with the style of the report and no other."""
    css = read_asset("page.css")
    light, dark = style.variables(style.LIGHT), style.variables(style.DARK)
    themes = f":root {{ {light} color-scheme: light; }} :root[data-theme='dark'] {{ {dark} color-scheme: dark; }}"
    # Dash loads Plotly once a page has a figure; loaded here, it arrives while the first page is made.
    plotly = "<script async src='/_dash-component-suites/plotly/package_data/plotly.min.js'></script>"
    return (
        "<!DOCTYPE html><html lang='en'><head>{%metas%}"
        "<meta name='viewport' content='width=device-width, initial-scale=1'><title>{%title%}</title>"
        "<link rel='icon' href='data:,'>{%css%}<style>" + themes + css + "</style>" + plotly + "</head>"
        "<body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer></body></html>"
    )


def _add_theme(app: Any) -> None:
    """The reader's theme: that of the system at first, then that of the button, which the browser keeps."""
    app.clientside_callback(
        ClientsideFunction("theme", "choose"), Output("theme", "data"), Input("theme-button", "n_clicks")
    )


def _add_pages(app: "Dash", library: Library) -> None:
    @app.callback(
        Output("page", "children"),
        Output("navigation", "children"),
        Output("place", "data"),
        Input("url", "pathname"),
        Input("url", "search"),
        Input("version", "data"),
        Input("theme", "data"),
        State("place", "data"),
    )
    def show_page(path: str, query: str, version: str, theme: str, place: str) -> tuple[Any, Any, Any]:
        address = _with_run(read_address(query), library)
        links = pages.navigation(path, address)
        # These pages fill themselves: only another run makes a new one.
        new_place = f"{path}?{address.run}" if path in ("/trials", "/image") else f"{path}{query}{version}{theme}"
        if new_place == place:
            return no_update, links, no_update
        try:
            return _page(library, path, address, style.THEMES[theme]), links, new_place
        except (RecordError, OSError) as error:
            return [html.H1("Not here"), html.P(error_words(error))], links, new_place

    @app.callback(
        Output("version", "data"), Input("tick", "n_intervals"), State("url", "search"), State("version", "data")
    )
    def refresh_run(_: int | None, query: str, version: str) -> Any:
        address = _with_run(read_address(query), library)
        try:
            changes = library.refresh(address.run)
        except RecordError:
            return no_update
        found = f"{address.run} {changes}"
        return no_update if found == version or not changes else found


def _page(library: Library, path: str, address: Address, theme: style.Theme) -> Any:
    if path == "/trials":
        return pages.trials_page(library.run(address.run), address, theme)
    if path == "/trial":
        return pages.trial_page(library.run(address.run), address, theme)
    if path == "/compare":
        return pages.compare_page(library, library.run(address.run), address, theme)
    if path == "/image":
        return image_page(library.run(address.run))
    if path == "/claims":
        return pages.claims_page(library)
    return pages.runs_page(library)


def _add_trials(app: "Dash", library: Library) -> None:
    # Two callbacks, one after the other: the table does not wait for the figures.
    @app.callback(
        Output("trials-state", "children"),
        Output("trials-chips", "children"),
        Output("trials-table", "children"),
        Output("trials-status", "children"),
        Output("trials-shown", "data"),
        Input("url", "search"),
        Input("version", "data"),
        prevent_initial_call=True,
    )
    def fill_table(query: str, version: str) -> tuple[Any, ...]:
        address = _with_run(read_address(query), library)
        run = library.run(address.run)
        return (
            pages.trials_state(run, address),
            pages.trials_chips(address),
            pages.trials_table(run, address),
            pages.trials_statuses(run, address),
            f"{query} {version}",
        )

    @app.callback(
        Output("brush-parallel", "figure"),
        Output("brush-slices", "figure"),
        Output("brush-size", "figure"),
        Output("trials-best", "figure"),
        Input("trials-shown", "data"),
        Input("theme", "data"),
        State("url", "search"),
    )
    def fill_figures(_: str | None, theme: str, query: str) -> tuple[Any, ...]:
        address = _with_run(read_address(query), library)
        return tuple(pages.trials_figures(library.run(address.run), address, style.THEMES[theme]))


def _add_brushes(app: "Dash", library: Library) -> None:
    search = Output("url", "search", allow_duplicate=True)

    def view(query: str) -> tuple[Address, Run]:
        address = _with_run(read_address(query), library)
        return address, library.run(address.run)

    @app.callback(search, Input("brush-parallel", "selectedData"), State("url", "search"), prevent_initial_call=True)
    def brush_parallel(selected: dict[str, Any] | None, query: str) -> Any:
        address, run = view(query)
        box = (selected or {}).get("range")
        return no_update if not box else _moved(address, brush_axes(address.filter, pages.brush_scales(run), box))

    @app.callback(search, Input("brush-slices", "selectedData"), State("url", "search"), prevent_initial_call=True)
    def brush_slices(selected: dict[str, Any] | None, query: str) -> Any:
        address, run = view(query)
        columns = pages.slice_columns(run, address)
        points = [point for point in (selected or {}).get("points", []) if point["curveNumber"] < len(columns)]
        if not points:
            return no_update
        names = dict.fromkeys(columns[point["curveNumber"]] for point in points)
        return _moved(address, brush_points(address.filter, run.trials, _numbers(points), [*names, run.metric]))

    @app.callback(search, Input("brush-size", "selectedData"), State("url", "search"), prevent_initial_call=True)
    def brush_size(selected: dict[str, Any] | None, query: str) -> Any:
        address, run = view(query)
        points = (selected or {}).get("points", [])
        if not points:
            return no_update
        columns = ["parameters", "val_accuracy"]
        return _moved(address, brush_points(address.filter, run.trials, _numbers(points), columns))


def _add_image(app: "Dash", library: Library, cache: str) -> None:
    # Two callbacks, one after the other: another prevalence does not ask the model again.
    @app.callback(
        Output("image-reply", "data"),
        Input("image-drop", "contents"),
        Input("image-finding", "value"),
        State("image-drop", "filename"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def ask_winner(contents: str | None, finding: str | None, name: str, query: str) -> Any:
        if not contents:
            return no_update
        run = library.run(_with_run(read_address(query), library).run)
        content = base64.b64decode(contents.partition(",")[2])
        return ask(run.folder.url, name, content, cache, finding or "").to_store()

    @app.callback(Output("image-answer", "children"), Input("image-reply", "data"), Input("image-prevalence", "value"))
    def show_answer(stored: dict[str, Any] | None, percent: float | None) -> Any:
        return answer_parts(Reply.from_store(stored), percent and percent / 100) if stored else []


def _moved(address: Address, chosen: Filter) -> Any:
    """The query with other conditions; no update where they are the same."""
    return no_update if chosen == address.filter else replace(address, filter=chosen, page=0).query()


def _numbers(points: list[dict[str, Any]]) -> list[int]:
    return [int(point["customdata"]) for point in points if point.get("customdata") is not None]


def _with_run(address: Address, library: Library) -> Address:
    """The address with the newest run where it names none."""
    return address if address.run else replace(address, run=next(iter(library.names()), ""))
