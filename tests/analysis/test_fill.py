"""Texts whose tables are made from runs."""

import pytest

from analysis import fill
from benchmarks.analysis_data import write_run
from search.pack import packed

TEXT = """# Title

<!-- python -m analysis.tables run.zip --table early_stopping --columns status,trials -->
old
<!-- end -->

Text, and <!-- another comment -->.
"""


@pytest.fixture
def text(tmp_path):
    run = write_run(str(tmp_path / "run"), trials=12, epochs=3, evaluated=0, scheduler="none")
    (tmp_path / "run.zip").write_bytes(packed(run))
    path = tmp_path / "text.md"
    path.write_text(TEXT)
    return path


def test_a_table_is_replaced_and_the_text_around_it_stays(text):
    assert fill.main([str(text)]) == 0
    before, table, after = text.read_text().partition("-->\n")[0], text.read_text(), text.read_text()[-40:]
    assert before.endswith("--columns status,trials ")
    assert "| total | 12 |" in table
    assert "old" not in table
    assert after.endswith("another comment -->.\n")
    assert fill.fill_file(text) is False


def test_a_check_writes_nothing_and_fails(text, capsys):
    assert fill.main([str(text), "--check"]) == 2
    assert text.read_text() == TEXT
    assert "Run python -m analysis.fill" in capsys.readouterr().err
    fill.main([str(text)])
    assert fill.main([str(text), "--check"]) == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("run.zip", "none.zip", "none.zip"), ("status,trials", "status,trails", "one of status, ended_after")],
)
def test_a_table_that_cannot_be_made_is_named_in_a_line(text, capsys, old, new, message):
    text.write_text(TEXT.replace(old, new))
    assert fill.main([str(text)]) == 2
    assert message in capsys.readouterr().err
