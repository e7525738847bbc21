"""Tables as the pages show them."""

import dataclasses

import pandas as pd

from analysis.page.tables import MOST_ROWS, joint_table, table_blocks
from analysis.table import Table
from analysis.tables import TABLES
from tests.analysis.claims.replayed import replays, write_run


def test_a_section_has_the_tables_whose_entries_name_it(run):
    blocks = table_blocks([run], "search")
    named = [table.title for table in TABLES.values() if table.section == "search"]
    assert [block.title for block in blocks] == named
    assert len(named) > 1


def test_an_empty_table_says_why(run):
    (part,) = table_blocks([run], "winner")[0].parts
    assert part.table is None
    assert part.reason == TABLES["selection"].nothing


def test_a_table_that_says_nothing_about_the_runs_is_left_out(run):
    assert table_blocks([run], "published") == []
    assert [block.title for block in table_blocks([run], "claims")] == [TABLES["claims"].title]
    other = dataclasses.replace(run, record=dataclasses.replace(run.record, classes=("cat", "dog")))
    assert table_blocks([other], "claims") == []


def test_hyperparameters_that_do_not_differ_are_left_out(run):
    (ranking, *_) = table_blocks([run], "trials")
    assert "layers" in [cell.text for cell in ranking.parts[0].table.head]
    same = dataclasses.replace(run, trials=run.trials.assign(layers=1.0))
    (ranking, *_) = table_blocks([same], "trials")
    assert "layers" not in [cell.text for cell in ranking.parts[0].table.head]


def test_a_long_table_is_cut_and_names_the_command_that_has_all(run, monkeypatch):
    long = Table("long", "Long", "Longue", lambda run: pd.DataFrame({"n": range(MOST_ROWS + 1)}), section="long")
    monkeypatch.setattr("analysis.page.tables.TABLES", {"long": long})
    (part,) = table_blocks([run], "long")[0].parts
    assert len(part.table.rows) == MOST_ROWS
    assert "--table long" in part.note


def test_the_claims_are_shown_decided_ones_first(tmp_path):
    decided = replays("table1/2", [0.1]) + replays("table1/4", [0.3])
    shown = joint_table(TABLES["claims"], [write_run(tmp_path / "run", decided)])
    head = [cell.text for cell in shown.head]
    verdicts = [row[head.index("verdict")].text for row in shown.rows]
    assert verdicts[0] == "holds"
    assert set(verdicts[1:]) == {"undecided"}
    assert shown.rows[0][head.index("sentence")].text.endswith("rows 2 and 4).")
