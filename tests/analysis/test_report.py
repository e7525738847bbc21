import pytest

from analysis import load, report
from benchmarks.analysis_data import write_run
from search.record import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load(write_run(str(tmp_path_factory.mktemp("runs") / "small"), trials=30, epochs=9, evaluated=3).url)


def test_the_command_line_writes_beside_the_run_and_names_what_is_wrong(run, tmp_path, capsys):
    assert report.main([run.folder.url]) == 0
    assert RunFolder(run.folder.url).exists("report.html")
    assert report.main([str(tmp_path)]) == 2
    assert "run.json" in capsys.readouterr().err
