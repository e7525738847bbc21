import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest

from analysis import load, report
from analysis.page.answer import answer
from analysis.page.render import report_html
from benchmarks.analysis_data import write_run

EVIL = "<script>alert(1)</script>"


class Reader(HTMLParser):
    """What a browser would make of a page: its tags, and its text outside scripts and styles."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts, self.sources, self._inside = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href") and value]
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag):
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data):
        if not self._inside:
            self.texts.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load(write_run(str(tmp_path_factory.mktemp("runs") / "small"), trials=30, epochs=9, evaluated=3).url)


@pytest.fixture(scope="module")
def page(run):
    """The report that the command writes beside the run."""
    assert report.main([run.folder.url]) == 0
    return run.folder.read("report.html").decode()


def test_the_page_needs_no_network(page):
    outside = [source for source in read(page).sources if not source.startswith(("#", "data:"))]
    assert outside == []
    assert "default-src 'none'" in page


def test_the_first_words_are_the_answer(run, page):
    found = answer(run)
    text = " ".join(read(page).texts)
    assert found.model in text
    assert text.index(found.model) < text.index("The model to pick")
    names = [score.name for score in found.scores]
    first = ["test balanced accuracy", "test AUC", "test average precision", "test accuracy, 624 images"]
    assert names[:4] == first
    assert all(score.low < score.value < score.high for score in found.scores[:4])
    assert all(reason in text for reason in found.reasons)


def test_plotly_is_inside_once_and_each_figure_once(page):
    assert len(re.findall(r"\* plotly\.js v\d", page)) == 1
    keys = re.findall(r'class="plot" id="([^"]+)"', page)
    assert len(keys) == len(set(keys)) > 10
    assert all(f'id="data-{key}"' in page for key in keys)


def test_sections_are_in_the_contents(page):
    targets = re.findall(r'<a href="#(\w+)">', page)
    assert {"winner", "search", "space", "trials", "claims", "data", "made"} <= set(targets)
    assert all(f'<section id="{target}"' in page for target in targets)


def test_all_trials_are_inside_as_rounded_numbers(run, page):
    content = json.loads(re.search(r'id="data-trials-0">(.*?)</script>', page, re.S).group(1))
    assert len(content["rows"]) == len(run.trials) == 30
    assert content["columns"][:2] == ["trial", "status"]


def test_several_runs_stand_side_by_side(run, tmp_path):
    other = load(write_run(str(tmp_path / "other"), trials=12, epochs=9, evaluated=2, classes=3).url)
    page = report_html([run, other])
    assert 'id="best-all"' in page
    assert 'id="curve-0"' in page
    assert 'id="curve-1"' in page


def test_what_a_run_is_called_stays_text(tmp_path):
    folder = write_run(str(tmp_path / "evil"), trials=12, epochs=9, evaluated=2)
    record = folder.read_run()
    config = {**record.config, "space": {**record.config["space"], "question": EVIL}}
    folder.write_run(dataclasses.replace(record, name=EVIL, classes=(EVIL, "b"), config=config, command=EVIL))
    (name,) = folder.names("log")
    folder.write(folder.read("log", name).replace(b"strong", EVIL.encode()), "log", name)
    page = report_html([load(folder.url)])
    found = read(page)
    # A figure each, all trials, the theme, the templates, Plotly and our own: no script more.
    assert found.tags.count("script") == page.count('class="plot"') + 5
    assert EVIL in " ".join(found.texts)
    assert EVIL not in page


def test_a_run_that_has_just_begun_has_a_page(tmp_path):
    folder = write_run(str(tmp_path / "begun"), trials=2, epochs=2, evaluated=0)
    (name,) = folder.names("log")
    lines = folder.read("log", name).splitlines(keepends=True)
    folder.write(lines[0] + lines[1][:20], "log", name)  # suggested, and half a line
    folder.remove("evaluation.jsonl")
    folder.remove("manifest.parquet")
    page = report_html([load(folder.url)])
    assert "nothing to pick" in page
    assert "half written" in page


def test_no_run_is_refused():
    with pytest.raises(ValueError, match="Received: none"):
        report_html([])
