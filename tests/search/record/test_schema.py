import dataclasses
import json
import zipfile
from pathlib import Path

import pytest

from search.record import Evaluation, FindingScore, OperatingPoint, TrialRecord, Winner, from_json, to_json
from search.record.folder import read_evaluation
from tests.conftest import make_epoch

PUBLISHED = sorted((Path(__file__).parents[3] / "docs" / "results").glob("*.zip"))


def make_trial(*losses: float | None) -> TrialRecord:
    epochs = [make_epoch(number, loss) for number, loss in enumerate(losses, 1)]
    return TrialRecord(7, {}, seed=0, max_epochs=9, epochs=epochs)


def make_evaluation(dataset: str) -> Evaluation:
    return Evaluation(7, dataset, "best", 0, 4, 0.5, 0.75, 0.75, None, 0.5, 1.0, [[2, 0], [1, 1]])


def test_json_has_no_nan() -> None:
    assert json.loads(to_json({"a": [float("nan"), 1.0], "b": float("inf")})) == {"a": [None, 1.0], "b": None}


def test_numbers_and_names_are_written_as_before() -> None:
    written = to_json({"rate": 1e-05, "large": 1e16, "loss": float("nan"), "root": "/données", "classes": ("a", "b")})
    assert written == '{"rate":1e-05,"large":1e+16,"loss":null,"root":"/donn\\u00e9es","classes":["a","b"]}'


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_published_records_are_written_again_byte_for_byte(file: Path) -> None:
    with zipfile.ZipFile(file) as packed:
        lists = [name for name in packed.namelist() if name.endswith(".jsonl")]
        lines = [line.decode() for name in lists for line in packed.read(name).splitlines()]
    assert "evaluation.jsonl" in lists
    assert len(lines) > 50
    assert [to_json(json.loads(line)) for line in lines] == lines


def test_a_record_is_read_from_its_own_json_and_from_that_of_a_newer_version() -> None:
    evaluation = make_evaluation("test")
    content = json.loads(to_json(evaluation))
    assert read_evaluation(content) == evaluation
    assert read_evaluation({**content, "brier": 0.1}) == evaluation
    found = dataclasses.replace(evaluation, findings=(FindingScore(2, 0.5, None), FindingScore(0, None, None)))
    assert read_evaluation(json.loads(to_json(found))) == found
    with pytest.raises(TypeError, match="images"):
        from_json(Evaluation, {name: value for name, value in content.items() if name != "images"})


def test_the_best_epoch_is_the_first_of_equals_and_never_without_a_value() -> None:
    trial = make_trial(0.5, 0.2, 0.2, None, float("nan"))
    assert trial.best_epoch("val_loss") is trial.epochs[1]
    assert trial.scored_value("val_loss") == 0.2
    assert trial.scored_epoch("val_loss", "last") is trial.epochs[-1]
    trial.epochs[0] = dataclasses.replace(trial.epochs[0], val_auc=0.95)
    assert trial.best_epoch("val_auc") is trial.epochs[0]


def test_a_trial_without_epochs_has_no_value() -> None:
    assert make_trial().scored_value("val_loss") is None
    assert make_trial().scored_value("val_loss", "last") is None
    assert make_trial(None).best_epoch("val_loss") is None


def test_a_winner_says_what_it_is_and_why_it_is_calibrated() -> None:
    alone = Winner((7,), "", 1.0, (0.0, 0.0), (make_evaluation("test"),))
    assert (alone.what, alone.why_calibrated) == ("trial 0007", "")
    several = dataclasses.replace(alone, trials=(7, 3), calibrated_on="validation", held_out_losses=(0.5, 0.25))
    assert several.what == "the mean of trials 0007, 0003, calibrated on validation"
    assert several.why_calibrated.startswith("on patients it was not fitted on")
    assert several.why_calibrated.endswith("from 0.5000 to 0.2500")
    left_out = dataclasses.replace(several, calibrated_on="")
    assert left_out.why_calibrated.endswith("from 0.5000 to 0.2500, a gain that may be chance")
    worse = dataclasses.replace(left_out, held_out_losses=(0.25, 0.5))
    assert worse.why_calibrated.endswith("from 0.2500 to 0.5000")
    by_the_copy = dataclasses.replace(several, evaluations=(make_evaluation("shifted"),))
    assert by_the_copy.why_calibrated.startswith("on images changed in a way")


def test_a_winner_says_how_it_decides() -> None:
    two = Winner((7,), "", 1.0, (0.0, 0.0), (), operating_point=OperatingPoint("sensitivity 0.9", 0.25, "validation"))
    assert two.how_decided == "positive at 0.25 or above (sensitivity 0.9 on validation)"
    three = Winner((7,), "", 1.0, (0.0, 0.0, 0.0), ())
    assert three.how_decided == "the most probable class"
    points = OperatingPoint("Youden's index", 0.1, "shifted"), OperatingPoint()
    assert dataclasses.replace(two, finding_points=points).how_decided == (
        "each finding at its own threshold (Youden's index on shifted validation, or 0.5 where that tells none)"
    )
