import itertools

import pandas as pd
import pytest

import analysis
from analysis.export import FORMATS, headings, to_text
from analysis.tables import TABLES, default_tables, make_table
from tests.analysis.hand_made import trial_events, write_run


def test_several_runs_stand_below_each_other(run, tmp_path):
    other = analysis.load(write_run(tmp_path / "other", trial_events(0, {}, [0.2], "finished"), {}, "other"))
    table = make_table([run, other], "early_stopping")
    assert table["run"].unique().tolist() == ["hand", "other"]
    assert list(make_table([run, other], "ranking")["run"]) == ["hand"] * 4 + ["other"]


@pytest.mark.parametrize("name", list(TABLES))
def test_every_table_of_a_run_and_of_an_empty_run_can_be_written(run, tmp_path, name):
    empty = analysis.load(write_run(tmp_path / "empty", [], {}))
    for table in (run.table(name), empty.table(name)):
        for format_name, language in itertools.product(FORMATS, ("en", "fr")):
            assert to_text(table, format_name, "title", language, TABLES[name].headings_fr)


def test_unknown_tables_formats_and_languages_are_refused(run):
    with pytest.raises(ValueError, match="ranking"):
        run.table("rankin")
    with pytest.raises(ValueError, match="csv"):
        to_text(pd.DataFrame({"a": [1]}), "pdf")
    with pytest.raises(ValueError, match="fr"):
        headings(["a"], "de")
    with pytest.raises(ValueError, match="at least one run"):
        make_table([], "ranking")


# The report, written in French, says these in English; so do the settings.
SAME_IN_FRENCH = {
    "epoch",
    "epochs",
    "images",
    "p",
    "p (Holm)",
    "patients",
    "loss",
    "accuracy",
    "AUC",
    "ECE",
    "second",
    "id",
    "verdict",
    "backbone",
    "learning rate",
    "batch size",
}


def test_every_title_and_heading_is_there_in_french(run):
    for name, table in TABLES.items():
        assert table.heading("fr") != table.heading("en") == table.title
        columns = [str(column) for column in run.table(name).columns if column not in run.hyperparameters]
        for english, french in zip(headings(columns, "en"), headings(columns, "fr", table.headings_fr), strict=True):
            assert english != french or english in SAME_IN_FRENCH, (name, english)


def test_only_tables_that_say_something_are_made_unasked(run, tmp_path):
    assert {"ranking", "data", "claims"} <= set(default_tables([run]))
    assert "table1" not in default_tables([run])
    replay = analysis.load(write_run(tmp_path / "replay", trial_events(0, {}, [0.2], "finished", row="table1/2"), {}))
    assert {"table1", "ranking"} <= set(default_tables([run, replay]))
    assert "report2" not in default_tables([run, replay])  # it shows the rows of table 1 again
