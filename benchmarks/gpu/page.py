"""The page of a GPU check: one HTML file with everything in it, to be read and sent."""

import time
from pathlib import Path

from analysis import style
from analysis.page.render import read_asset
from benchmarks.gpu.check import FAILED, NOT_RUN, PASSED, Report, hidden
from benchmarks.page import format_quantity

CHIPS = {PASSED: "holds", FAILED: "does-not-hold", NOT_RUN: ""}  # classes of page.css


def page_html(report: Report) -> str:
    """The report as an HTML page, without what names its user or the host."""
    import jinja2
    from markupsafe import Markup

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("page.html.j2").render(
        report=hidden(report),
        facts=fact_rows(hidden(report)),
        chips=CHIPS,
        quantity=format_quantity,
        finished=time.strftime("%d %B %Y, %H:%M UTC", time.gmtime(report.finished)),
        light=Markup(style.variables(style.LIGHT)),
        dark=Markup(style.variables(style.DARK)),
        css=Markup(read_asset("page.css")),
    )
    return str(page)


def fact_rows(report: Report) -> list[tuple[str, str]]:
    """The machine's facts as rows: what, and its value."""
    facts = report.facts
    gpu = f"{facts.gpu}, {facts.gpu_memory_mb:,.0f} MiB, compute capability {facts.capability}" if facts.gpu else "none"
    cuda = f"driver {facts.driver}; TensorFlow's CUDA {facts.cuda or 'none'}, cuDNN {facts.cudnn or 'none'}"
    return [
        ("GPU", gpu),
        ("driver and CUDA", cuda if facts.gpu else "none"),
        ("processor", f"{facts.processor}, {facts.cpus} CPUs, {facts.memory_gib:g} GiB"),
        ("system", facts.platform),
        (
            "packages",
            ", ".join([f"Python {facts.python}", *(f"{name} {each}" for name, each in facts.packages.items())]),
        ),
        ("commit", facts.commit or "unknown"),
    ]
