from analysis.load import load
from analysis.page.answer import answer
from analysis.page.render import report_html
from analysis.tables.looks import looks_table
from search.record import EVALUATED
from tests.analysis.hand_made import PERFECT, trial_events, write_run

SETTINGS = {"ensemble": 5, "operating_point": {"sensitivity": 0.95}, "prevalence": None}
LOOK = {"event": EVALUATED, "time": 86_400.0, "images": {"test": 1200}, "trials": 2, "settings": SETTINGS}


def test_each_evaluation_is_a_row_and_the_page_counts_them(tmp_path):
    second = {**LOOK, "time": 90_000.0, "images": {"test": 1200, "adults": 200}}
    events = [*trial_events(0, {"backbone": "cnn"}, [0.5], "finished"), LOOK, second]
    run = load(write_run(tmp_path / "looked", events, {0: PERFECT}))
    table = looks_table(run)
    assert table["began"].to_list() == ["02 January 1970, 00:00 UTC", "02 January 1970, 01:00 UTC"]
    assert table["test_images"].to_list() == ["test (1,200)", "test (1,200), adults (200)"]
    assert table["settings"].iloc[0] == "ensemble=5, operating_point={sensitivity: 0.95}, prevalence=null"
    assert "Looks at test images: test 2, adults 1." in answer(run).reasons
    assert "Each evaluation is a look" in report_html([run])
    assert len(run.trials) == 1  # the events are no trials


def test_a_run_of_before_has_none(run):
    assert looks_table(run).empty
    assert "Looks at test images" not in report_html([run])
