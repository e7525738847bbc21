"""The pages in a real browser: headless Chromium, driven by Selenium.

On Debian: `apt-get install chromium chromium-driver` and `pip install selenium`.
"""

import json
import os
import shutil
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from analysis import load, report
from analysis.app import create_app, server
from analysis.app.server import REFRESH_SECONDS
from benchmarks.analysis_data import write_run
from search.record import EventLog, RunFolder
from tests.conftest import make_epoch
from tests.data_pipeline.dicom_files import make_dataset, sample_pixels, save
from tests.exported_run import write_exported_run
from tests.waiting import LIMIT, wait_until

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Fails after every broken image that the page already has.
BROKEN_IMAGE = "const i = new Image(); i.onerror = () => { window.imageFailed = true }; i.src = 'no-such-image'"
PAGES = ("/", "/trials?run=first", "/trial?run=first", "/compare?run=first", "/image?run=first", "/claims")


def find_browser():
    """Paths of Chromium and its driver; without them CI fails, and other machines skip and say so."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    try:
        import selenium  # noqa: F401
    except ImportError:
        driver = None
    if browser and driver:
        return browser, driver
    said = "BROWSER TESTS DID NOT RUN: they need chromium, chromium-driver and selenium (see tests/analysis)."
    if os.environ.get("CI") == "true":
        pytest.fail(said)
    pytest.skip(said)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """The one Chromium of all tests."""
    browser, driver = find_browser()
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(driver))
    found.set_script_timeout(LIMIT)  # half a minute otherwise, in which a busy machine may not draw every figure
    found.set_page_load_timeout(LIMIT)
    yield found
    found.quit()


@pytest.fixture
def open_browser(driver):
    """Gives the browser a width and a theme, in a new window: pages and messages of other tests are gone.

    What a page keeps, its theme, is removed at the end.
    """
    before = driver.current_window_handle

    def start(width=1280, theme="light"):
        driver.switch_to.new_window("window")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = [{"name": "prefers-color-scheme", "value": theme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        driver.get_log("browser")
        return driver

    yield start
    for window in set(driver.window_handles) - {before}:
        driver.switch_to.window(window)
        if not driver.current_url.startswith("about:"):
            driver.execute_script("localStorage.clear()")
        driver.close()
    driver.switch_to.window(before)


@pytest.fixture
def browser(open_browser):
    return open_browser()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    url = str(tmp_path_factory.mktemp("runs"))
    write_run(f"{url}/first", trials=60, epochs=9, evaluated=4)
    write_run(f"{url}/second", trials=20, epochs=9, evaluated=2, classes=3)
    return url


@pytest.fixture(scope="module")
def site(folder):
    """The address of the app, served from a thread."""
    with serving(folder) as address:
        yield address


class serving:  # noqa: N801 - used like a function
    """The app on a free port for as long as the block lasts."""

    def __init__(self, folder, cache=""):
        from werkzeug.serving import make_server

        self._server = make_server("127.0.0.1", 0, create_app(folder, cache).server, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self):
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def page(folder):
    """The address of a written report of both runs."""
    path = f"{folder}/report.html"
    report.write_report([load(f"{folder}/first"), load(f"{folder}/second")], path)
    return Path(path).as_uri()


def script(browser, content, *arguments):
    return browser.execute_script(content, *arguments)


def errors(browser):
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def overflow(browser):
    return script(browser, "return document.documentElement.scrollWidth - document.documentElement.clientWidth")


def open_page(browser, address):
    browser.get(address)
    wait_until(lambda: script(browser, "return !!document.querySelector('main h1')"), f"{address} shows a heading")


def drawn(browser):
    """How many figures show data: those of the page of trials are blank at first."""
    shown = "[...document.querySelectorAll('.js-plotly-plot')].filter(p => p.data && p.data.length).length"
    return script(browser, f"return {shown}")


def state(browser):
    return script(browser, "const p = document.querySelector('[role=status]'); return p ? p.textContent : ''")


def drag(browser, selector, start, end):
    """Draw a box with the mouse between two points of a figure, given as fractions of its size."""
    from selenium.webdriver.common.action_chains import ActionChains

    box = script(
        browser,
        "const e = document.querySelector(arguments[0]); e.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]",
        selector,
    )
    points = [(box[0] + x * box[2], box[1] + y * box[3]) for x, y in (start, end)]
    actions = ActionChains(browser, duration=80)
    actions.w3c_actions.pointer_action.move_to_location(*(round(part) for part in points[0]))
    actions.w3c_actions.pointer_action.pointer_down()
    actions.w3c_actions.pointer_action.move_to_location(*(round(part) for part in points[1]))
    actions.w3c_actions.pointer_action.pointer_up()
    actions.perform()


def test_the_report_draws_every_figure_of_a_small_screen_without_an_error(open_browser, page):
    browser = open_browser(390, "light")
    open_page(browser, page)
    count = script(browser, "return document.querySelectorAll('.plot').length")
    assert count > 20
    for place in range(count):
        go_there = "document.querySelectorAll('.plot')[arguments[0]].scrollIntoView({behavior: 'instant'})"
        script(browser, go_there, place)
        there = "return !!document.querySelectorAll('.plot')[arguments[0]].querySelector('.main-svg')"
        wait_until(lambda at=place, ask=there: script(browser, ask, at), f"figure {place} is drawn")
    assert errors(browser) == []
    assert overflow(browser) == 0


def test_the_report_changes_its_theme(browser, page):
    open_page(browser, page)
    wait_until(lambda: drawn(browser), "a figure is drawn")
    ink = "return getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    before = script(browser, ink)
    script(browser, "document.getElementById('theme').click()")
    assert wait_until(lambda: script(browser, ink) != before, "the figures change with the page")
    script(browser, "document.getElementById('theme').click()")


def test_on_paper_every_figure_of_a_dark_page_is_drawn_light_and_no_wider_than_the_page(open_browser, page):
    browser = open_browser(1280, "dark")
    open_page(browser, page)
    script(browser, "window.dispatchEvent(new Event('beforeprint'))")
    undrawn = "return [...document.querySelectorAll('.plot')].filter(p => !p.querySelector('.main-svg')).length"
    wait_until(lambda: script(browser, undrawn) == 0, "every figure is drawn")
    assert script(browser, "return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert script(browser, "return document.querySelectorAll('details:not([open])').length") == 0
    right = "e => e.getBoundingClientRect().right"
    beyond = f"""
        const edge = ({right})(document.querySelector('main')) + 1;
        const shown = [...document.querySelectorAll('main .main-svg, main table, main img')];
        return [shown.length, shown.map({right}).filter(x => x > edge).length]"""
    count, outside = script(browser, beyond)
    assert count > 40
    assert outside == 0
    assert errors(browser) == []
    script(browser, "window.dispatchEvent(new Event('afterprint'))")
    assert overflow(browser) == 0
    assert script(browser, "return document.querySelectorAll('details[open]').length") == 0
    assert script(browser, "return getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"


def test_the_table_of_all_trials_filters_and_sorts(browser, page):
    open_page(browser, page)
    script(
        browser,
        "const i = document.querySelector('[data-trials] input'); i.value = 'status=finished';"
        "i.dispatchEvent(new Event('input'))",
    )
    rows = "return [...document.querySelectorAll('[data-trials] tbody')][0].rows.length"
    shown = script(browser, "return document.querySelector('[data-trials] output').textContent")
    assert 0 < script(browser, rows) < 50
    assert shown.startswith("1 to ")
    cells = "return [...document.querySelectorAll('[data-trials] tbody')[0].rows].map(r => r.cells[0].textContent)"
    script(browser, "document.querySelector('[data-trials] th button').click()")
    ascending = script(browser, cells)
    script(browser, "document.querySelector('[data-trials] th button').click()")
    assert script(browser, cells) == ascending[::-1]


def test_a_box_across_an_axis_keeps_fewer_lines_in_the_report(browser, page):
    open_page(browser, page)
    script(browser, "document.getElementById('parallel-0').scrollIntoView({behavior: 'instant'})")
    ready = "return !!document.querySelector('#parallel-0 .main-svg')"
    wait_until(lambda: script(browser, ready), "the figure is drawn")
    kept = (
        "return document.getElementById('parallel-0')._fullData.filter(t => t.mode === 'lines')"
        ".reduce((n, t) => n + [...t.y].filter(Number.isFinite).length, 0)"
    )
    before = script(browser, kept)
    drag(browser, "#parallel-0", (0.02, 0.5), (0.1, 0.95))
    assert wait_until(lambda: 0 < script(browser, kept) < before, "lines are taken away")


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_every_page_of_the_app_loads_without_an_error(open_browser, site, width, theme):
    browser = open_browser(width, theme)
    for path in PAGES:
        open_page(browser, site + path)
        if path not in ("/", "/claims", "/image?run=first"):
            wait_until(lambda: drawn(browser), f"{path} draws a figure")
        assert errors(browser) == [], path
        assert overflow(browser) == 0, path
        assert script(browser, "return document.documentElement.dataset.theme") == theme


def test_a_brush_is_followed_by_the_table_the_figures_and_the_address(browser, site):
    open_page(browser, f"{site}/trials?run=first")
    wait_until(lambda: drawn(browser) >= 4, "the figures are drawn")
    assert state(browser).startswith("60 of 60")
    points = "return document.querySelector('#brush-size .js-plotly-plot')._fullData[0].x.length"
    before = script(browser, points)
    drag(browser, "#brush-parallel .js-plotly-plot", (0.02, 0.5), (0.1, 0.95))
    wait_until(lambda: not state(browser).startswith("60 of"), "fewer trials are chosen")
    chosen = int(state(browser).split(" of ")[0])
    assert 0 < chosen < 60
    assert "is.backbone=" in script(browser, "return location.search")
    wait_until(lambda: script(browser, points) < before, "the other figures follow")
    link = script(browser, "return location.href")
    open_page(browser, link)
    wait_until(lambda: state(browser).startswith(f"{chosen} of 60"), "the link shows the same trials")
    script(browser, "document.querySelector('#trials-chips a').click()")
    wait_until(lambda: state(browser).startswith("60 of 60"), "the condition is dropped")
    assert errors(browser) == []


def test_a_trial_of_the_table_leads_to_its_page(browser, site):
    open_page(browser, f"{site}/trials?run=first")
    script(browser, "document.querySelector('#trials-table tbody td:nth-child(2) a').click()")
    heading = "return document.querySelector('main h1').textContent"
    wait_until(lambda: "trial 00" in script(browser, heading), "the trial's page")
    assert "trial=" in script(browser, "return location.search")


def test_new_epochs_appear_without_being_asked_for(browser, tmp_path, monkeypatch):
    assert REFRESH_SECONDS < 5
    monkeypatch.setattr(server, "REFRESH_SECONDS", 0.5)
    folder = write_run(str(tmp_path / "live"), trials=12, epochs=3, evaluated=0)
    with serving(folder.url) as site:
        open_page(browser, f"{site}/trials?run=live")
        wait_until(lambda: state(browser).startswith("12 of 12"), "the run's trials")
        log = EventLog(folder)
        log.append("suggested", trial=12, parameters={"backbone": "cnn"}, seed=0, max_epochs=3)
        log.append("started", trial=12)
        wait_until(lambda: state(browser).startswith("13 of 13"), "the new trial")
        epoch = make_epoch(1, 1e-6, time=time.time())
        log.append("epoch", trial=12, metrics=asdict(epoch))
        log.close()
        first = "const a = document.querySelector('#trials-table tbody td:nth-child(2) a'); return a && a.textContent"
        wait_until(lambda: script(browser, first) == "0012", "its first epoch makes it the best trial")
        browser.get("about:blank")


def test_a_dropped_image_is_answered(browser, tmp_path, small_dataset, image_cache):
    folder = write_exported_run(RunFolder(str(tmp_path / "exported")), small_dataset)
    tags = {"ViewPosition": "LL", "WindowCenter": 2048, "WindowWidth": 4096}
    lateral = save(make_dataset(sample_pixels(), **tags), tmp_path / "lateral.dcm")
    with serving(folder.url, str(image_cache)) as site:
        open_page(browser, f"{site}/image")
        dropped = "return document.querySelector('#image-drop input[type=file]')"
        wait_until(lambda: script(browser, dropped), "the page")
        script(browser, dropped).send_keys(str(lateral))
        answered = "const h = document.querySelector('#image-answer h2'); return h && h.textContent"
        wait_until(lambda: script(browser, answered), "the answer")
        assert script(browser, answered).startswith("lateral.dcm: ")
        text = "return document.getElementById('image-answer').textContent"
        assert "The view lateral is not frontal." in script(browser, text)
        loaded = "return [...document.querySelectorAll('#image-answer img')].map(i => i.complete && i.naturalWidth)"
        wait_until(lambda: all(script(browser, loaded)), "the pictures")
        assert script(browser, loaded) == [32] * 6
        browser.find_element("id", "image-prevalence").send_keys("2\n")
        wait_until(lambda: "Among patients of whom 2 % have pneumonia" in script(browser, text), "the prevalence")
        assert errors(browser) == []
        assert overflow(browser) == 0
        browser.get("about:blank")


def test_names_that_are_markup_stay_text(browser, tmp_path):
    evil = "<img src=x onerror=document.title='broken'>"
    folder = write_run(str(tmp_path / "<b>run"), trials=12, epochs=3, evaluated=12, scheduler="none")
    (name,) = folder.names("log")
    folder.write(folder.read("log", name).replace(b'"strong"', f'"{evil}"'.encode()), "log", name)
    entry = {"image_id": evil, "file": evil, "cam": "", "label": evil, "predicted": "b", "probabilities": {evil: 1}}
    folder.write(json.dumps([entry]).encode(), "winner", "gallery.json")
    path = str(tmp_path / "report.html")
    report.write_report([load(folder.url)], path)
    with serving(str(tmp_path)) as site:
        gallery = "return [...document.querySelectorAll('.gallery .name')].map(e => e.textContent)"
        with_gallery = (Path(path).as_uri(), f"{site}/trial")
        for address in (*with_gallery, f"{site}/trials", f"{site}/compare", site):
            open_page(browser, address)
            if address in with_gallery:
                assert script(browser, gallery) == [evil]
            script(browser, BROKEN_IMAGE)
            wait_until(lambda: script(browser, "return window.imageFailed"), "a broken image fails")
            assert script(browser, "return document.title") != "broken"
            assert script(browser, "return document.querySelectorAll('img[src=x], h1 b').length") == 0
        browser.get("about:blank")
