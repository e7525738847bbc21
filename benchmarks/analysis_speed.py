"""How fast the analysis is on a large synthetic run: `python benchmarks/analysis_speed.py`.

Loads 10,000 trials of 20 epochs, makes every table, writes the report and answers the app's requests. With
Chromium, its driver and Selenium installed, it also measures what a reader waits for in a browser.

    python benchmarks/analysis_speed.py --trials 10000 --epochs 20
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis import load, report, style, tables
from analysis.app import create_app, pages
from analysis.app.filters import Address, Filter
from benchmarks.analysis_data import write_run
from benchmarks.machine import timed


def seconds(work: Callable[[], Any]) -> float:
    """How long `work` takes, in seconds: the median of three."""
    return statistics.median(timed(work) for _ in range(3))


def show(what: str, value: float, limit: float, unit: str = "s") -> None:
    """Print a figure beside its limit."""
    print(f"{what:48} {value:8.2f} {unit:3} (limit {limit:g} {unit}){'' if value <= limit else '  OVER'}", flush=True)


def measure_records(folder: str) -> None:
    """Loading, every table, the report."""
    show("load", seconds(lambda: load(folder)), 3)
    run = load(folder)
    for name in tables.TABLES:
        show(f"table {name}", seconds(lambda name=name: run.table(name)), 1)  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as scratch:
        path = f"{scratch}/report.html"
        show("report written", seconds(lambda: report.write_report([run], path)), 20)
        show("report size", os.path.getsize(path) / 1e6, 25, "MB")
        small = write_run(f"{scratch}/small", trials=1000, scheduler="none")
        show("report size, 1,000 trials", len(report.report_html([load(small)]).encode()) / 1e6, 10, "MB")
    address = Address(run.name, filter=Filter({"learning_rate": (1e-5, 1e-3)}))
    pages.trials_figures(run, address, style.LIGHT)
    show("app, server: a filter's table", seconds(lambda: pages.trials_table(run, address)), 0.3)
    show("app, server: a filter's figures", seconds(lambda: pages.trials_figures(run, address, style.LIGHT)), 0.3)


@contextmanager
def serving(folder: str) -> Iterator[str]:
    """The address of the app for as long as the block lasts."""
    import logging

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    server = make_server("127.0.0.1", 0, create_app(folder).server, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()


def measure_browser(folder: str) -> None:
    """A reader's waiting times: the page of trials, and the page after a condition is dropped."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"):
        options.add_argument(flag)
    options.add_argument("--disable-background-networking")
    options.add_argument("--disable-component-update")
    options.add_argument(f"--user-data-dir={tempfile.mkdtemp()}")
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    name = Path(folder).name
    table = "const p = document.querySelector('[role=status]'); return p ? p.textContent.split(' of ')[0] : ''"
    drawn = "return [...document.querySelectorAll('.js-plotly-plot')].filter(p => p.data && p.data.length).length >= 4"
    whole = "min.learning_rate=1e-05&max.learning_rate=0.001"

    def until(content: str, wanted: Callable[[Any], bool]) -> float:
        start = time.perf_counter()
        while not wanted(browser.execute_script(content)):
            time.sleep(0.01)
        return time.perf_counter() - start

    try:
        with serving(folder) as site:
            # The first visit reads the run and fills the browser's cache.
            browser.get(f"{site}/trials?run={name}")
            until(drawn, bool)
            shown, figures = [], []
            for _ in range(3):
                browser.get("about:blank")
                start = time.perf_counter()
                browser.get(f"{site}/trials?run={name}&{whole}")
                until(table, bool)
                shown.append(time.perf_counter() - start)
                until(drawn, bool)
                figures.append(time.perf_counter() - start)
            show("app, browser: page of trials shows its table", statistics.median(shown), 2)
            show("app, browser: and all its figures", statistics.median(figures), 2)
            time.sleep(3)
            before = browser.execute_script(table)
            browser.execute_script("document.querySelector('#trials-chips a').click()")
            show("app, browser: a filter reaches the table", until(table, lambda now: now != before), 0.3)
            browser.get("about:blank")
    finally:
        browser.quit()


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = f"{scratch}/large"
        write_run(folder, trials=given.trials, epochs=given.epochs, scheduler="none")
        measure_records(folder)
        if shutil.which("chromium") and shutil.which("chromedriver"):
            measure_browser(folder)
        else:
            print("The browser was not measured: it needs chromium and chromium-driver.")


if __name__ == "__main__":
    main()
