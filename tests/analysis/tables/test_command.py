import pandas as pd
import pytest

from analysis.command import CommandError
from analysis.export import to_text
from analysis.tables.command import chosen_columns, chosen_rows, main


def test_the_command_line_prints_and_writes(run, tmp_path, capsys):
    out = tmp_path / "tables"
    assert main([run.folder.url, "--table", "cost"]) == 0
    assert "| backbone | status |" in capsys.readouterr().out
    assert main([run.folder.url, "--format", "csv", "--out", str(out)]) == 0
    names = {path.name for path in out.iterdir()}
    assert {"ranking.csv", "cost.csv", "claims.csv"} <= names
    assert not any(name.startswith("table1") for name in names)  # nothing of it was replayed
    assert pd.read_csv(out / "ranking.csv")["trial"].tolist() == [1, 0, 2, 3]


def test_the_command_line_says_what_is_wrong(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "run.json" in capsys.readouterr().err


def test_the_command_line_prints_in_french(run, capsys):
    assert main([run.folder.url, "--table", "table1", "--table", "early_stopping", "--lang", "fr"]) == 0
    printed = capsys.readouterr().out
    assert "Tableau 1 du rapport : modèle CNN à 2 classes" in printed
    assert "| ligne | Modèle | Data Augmentation | Nb param. |" in printed
    assert "| état | arrêt après | essais | epochs passées |" in printed


def test_rows_are_chosen_by_a_value(run):
    table = run.table("ranking")
    assert list(chosen_rows(table, ["status=finished", "trial=1"])["trial"]) == [1]
    assert len(chosen_rows(table, [])) == len(table)
    for condition, message in (("trial", "COLUMN=VALUE"), ("trail=1", "Received: 'trail'")):
        with pytest.raises(CommandError, match=message):
            chosen_rows(table, [condition])


def test_a_chosen_column_brings_its_interval(run):
    table = chosen_columns(run.table("ranking"), ["trial", "test_accuracy"])
    assert list(table) == ["trial", "test_accuracy", "test_accuracy_low", "test_accuracy_high"]
    text = to_text(table, "markdown")
    assert r"| 0 | 1.000 \[0.722, 1.000\] |" in text
    with pytest.raises(CommandError, match=r"one of rank, trial.*Received: 'accuracy'"):
        chosen_columns(run.table("ranking"), ["accuracy"])
