"""The report as one HTML page.

Nothing is fetched when the page is opened: Plotly, data, pictures and styles are inside it. What comes from a run
reaches the page through Jinja's escaping or as JSON, never as markup.
"""

import datetime
import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis import style
from analysis.load import Run
from analysis.page.answer import answer
from analysis.page.blocks import Section, script_json
from analysis.page.sections import sections

ASSETS = Path(__file__).with_name("assets")


def report_html(runs: Sequence[Run]) -> str:
    """The report of some runs as one HTML page.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError("A report needs at least one run. Received: none. Give the folder of a run.")
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
        css=Markup(read_asset("page.css")),
        script=Markup(read_asset("report.js")),
        plotly=Markup(get_plotlyjs()),
        templates=Markup(script_json({name: style.template(theme) for name, theme in style.THEMES.items()})),
    )
    return str(page)


def _numbered(shown: Sequence[Section]) -> list[Section]:
    """The sections with their figures and tables numbered."""
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


def read_asset(name: str) -> str:
    """A style, script or template of the pages, by its file name."""
    return (ASSETS / name).read_text(encoding="utf-8")
