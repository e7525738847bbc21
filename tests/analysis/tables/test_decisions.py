import pytest

from analysis.page.answer import answer
from analysis.tables.decisions import COLUMNS, decisions_table


def test_the_decisions_are_those_of_the_record(averaged):
    table = decisions_table(averaged)
    winner = averaged.winner
    assert list(table.columns) == [*COLUMNS]
    assert table["dataset"].iloc[0] == "test"
    assert len(table) == len(winner.decisions) == 2 * len(winner.evaluations)
    assert set(table["threshold"]) == {winner.operating_point.threshold}
    stated = table[(table["dataset"] == "test") & table["stated"]].iloc[0]
    record = next(each for each in winner.decisions if each.dataset == "test" and each.stated)
    assert stated["prevalence"] == 0.02
    assert stated[["ppv", "ppv_low", "ppv_high"]].to_list() == [record.ppv.value, record.ppv.low, record.ppv.high]
    validation = table[table["dataset"] == "validation"]
    assert validation["sensitivity"].iloc[0] == pytest.approx(0.95, abs=0.01)


def test_the_page_shows_them(averaged, averaged_page):
    assert "decisions at its operating point" in averaged_page
    assert "PPV" in averaged_page
    assert f"Its operating point: {averaged.winner.operating_point.words}." in answer(averaged).reasons


def test_the_first_numbers_of_the_page_are_those_at_the_operating_point(averaged):
    record = next(each for each in averaged.winner.decisions if each.dataset == "test")
    specificity, sensitivity = answer(averaged).scores[-2:]
    assert specificity.name == "specificity (normal found) at the operating point"
    assert (sensitivity.value, sensitivity.low) == (record.sensitivity.value, record.sensitivity.low)


def test_a_run_without_a_winner_has_none(run):
    assert decisions_table(run).empty
