from analysis.claims import CLAIMS
from analysis.claims.command import main
from analysis.claims.rules import UNDECIDED
from tests.analysis.claims.replayed import replays, write_run


def test_the_command_line_prints_every_claim(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run = write_run(tmp_path / "run", replays("table1/2", [0.1]) + replays("table1/4", [0.3]))
    assert main([run.folder.url]) == 0
    printed = capsys.readouterr().out
    assert printed.count(UNDECIDED) == len(CLAIMS) - 1
    assert "+0.200" in printed
    assert main([str(tmp_path)]) == 2
    assert "run.json" in capsys.readouterr().err
