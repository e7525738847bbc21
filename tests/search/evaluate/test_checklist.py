"""The reporting checklists: every item, and only what the records know."""

import dataclasses
from pathlib import Path

import pytest

from search.evaluate.checklist import FOR_THE_AUTHOR, fill_checklist, read_guidelines
from search.evaluate.facts import data_facts, list_facts
from search.evaluate.subgroups import Subgroup
from search.plan.settings import Settings
from search.record import Evaluation, FindingScore, Look, OperatingPoint, Rate, RunRecord, TrialRecord, Winner

SCORED = Evaluation(
    2, "test", "best", 1, 263, 0.5, 0.9, 0.9, 0.95, 0.9, 0.9, [[1]], patients=200, accuracy_low=0.85, accuracy_high=0.94
)
WINNER = Winner((2, 4), "shifted", 1.0, (0.0, 0.0), tuple(
    dataclasses.replace(SCORED, dataset=name) for name in ("validation", "shifted", "test", "adults")
))  # fmt: skip
MEMBERS = [
    TrialRecord(number, {"backbone": "mobilenetv2", "augment": "strong"}, seed=9, max_epochs=1, parameter_count=1000)
    for number in WINNER.trials
]
SECRET = "/home/somebody/images"


def make_run() -> RunRecord:
    """The record of a run with everything that records may know."""
    settings = Settings()
    settings.data.root, settings.data.cache, settings.run.storage = SECRET, SECRET, SECRET
    settings.data.extra_tests = {"adults": SECRET}
    config = settings.to_dict() | {"space": {"name": "cnn2"}, "weights": {"mobilenetv2": f"{SECRET}/w.h5"}}
    counts = {"train": [25, 75], "validation": [5, 15], "test": [10, 20]}
    data = {"fingerprint": "f", "root": SECRET, "counts": counts, "set_aside": 3, "white": 0, "held_out": True}
    environment = {"python": "3.11.7", "packages": {"keras": "3.15.1"}, "commit": "abc"}
    return RunRecord("one", 0.0, SECRET, "val_loss", ("normal", "pneumonia"), config, environment, data)


@pytest.fixture(scope="module")
def facts() -> dict[str, str]:
    subgroup = Subgroup("test", "age", "under 18", 263, Rate(0.9, 0.8, 0.95))
    return list_facts(make_run(), MEMBERS, WINNER, [Look(0.0, {"test": 263}, 2, {})], [subgroup])


def test_every_item_of_both_guidelines_is_there_once() -> None:
    tripod, claim = read_guidelines()
    assert [item.number for item in claim.items] == [str(number) for number in range(1, 45)]
    parts = {
        3: "abc",
        5: "ab",
        6: "abc",
        8: "abc",
        9: "abc",
        12: "abcdefg",
        18: "abcdef",
        20: "abc",
        23: "ab",
        27: "abc",
    }
    expected = [f"{number}{part}" for number in range(1, 28) for part in parts.get(number, [""])]
    assert [item.number for item in tripod.items] == expected


def test_every_fact_that_an_item_names_is_one(facts: dict[str, str]) -> None:
    named = {name for guideline in read_guidelines() for item in guideline.items for name in item.facts}
    assert named
    assert not named - set(facts)


def test_facts_name_no_path(facts: dict[str, str]) -> None:
    assert len(facts) > 25
    assert not [sentence for sentence in facts.values() if "/home" in sentence or "somebody" in sentence]
    assert facts["initial_weights"] == "Weights of mobilenetv2 began as: a file; the head's random, seeded by trial."
    assert facts["held_out"] == "The test set is a fifth of the images, held out by patient."
    assert facts["external"] == "adults, 263 images: accuracy 0.900 (0.850 to 0.940), AUC 0.950."
    assert facts["counts"].startswith("Images: train 25 normal, 75 pneumonia; validation")
    assert facts["patients"] == "Patients: validation 200, test 200, adults 200."


def test_a_split_that_a_table_states_is_not_said_to_be_drawn() -> None:
    run = make_run()
    assert data_facts(run)["partition"].startswith("Validation is drawn from the training images")
    run.data["stated_split"] = True
    assert data_facts(run)["partition"] == "The table of labels says which images train and validate."
    assert "disjoint" not in data_facts(run)


def test_facts_on_several_findings_speak_of_findings_and_of_nothing_that_such_a_run_lacks() -> None:
    run = make_run()
    run.config["data"]["task"] = "multilabel"
    run.data["images"] = {"train": 80, "validation": 15, "test": 25}
    found = (FindingScore(20, 0.8, 0.5), FindingScore(0, None, None))
    scored = dataclasses.replace(SCORED, auc=0.8, average_precision=0.5, findings=found)
    winner = dataclasses.replace(WINNER, evaluations=(scored,), finding_points=(OperatingPoint(),) * 2)
    facts = list_facts(run, MEMBERS, winner)
    assert facts["counts"].startswith("Images: train 80 (25 normal, 75 pneumonia); validation 15 (")
    assert facts["labels"].startswith("The findings come from ")
    assert "the same share of each finding" in facts["partition"]
    assert facts["internal"] == (
        "test: mean AUC 0.8000, mean average precision 0.5000, over 1 of 2 findings; loss 0.500 (263 images of 200 "
        "patients)."
    )
    assert "failures" not in facts
    assert not {"gallery", "accuracy", "ROC", "class,"} & set(" ".join(facts.values()).split())


def test_what_the_records_do_not_know_is_marked_for_the_author(facts: dict[str, str]) -> None:
    rows = fill_checklist(facts).splitlines()
    assert f"| 17 | ethical approval | {FOR_THE_AUTHOR} |" in rows
    assert f"| 27 | ensembling | {facts['ensemble']} |" in rows
    (outcome,) = [row for row in rows if row.startswith("| 8a |")]
    assert outcome.endswith(f"{facts['labels']} {FOR_THE_AUTHOR}: definition, who assessed it, when. |")
    assert "| 17 |" in fill_checklist({})
    assert fill_checklist({}).count(f"{FOR_THE_AUTHOR} |") == sum(len(each.items) for each in read_guidelines())


def test_a_run_that_recorded_little_has_few_facts() -> None:
    config = {"data": {"size": 8, "channels": 1}, "train": {}}
    run = RunRecord("one", 0.0, "", "val_loss", ("a", "b", "c"), config, {}, {})
    known = list_facts(run, [TrialRecord(0, {}, seed=9, max_epochs=1)], Winner((0,), "", 1.0, (0.0,) * 3, ()))
    assert not {"counts", "patients", "partition", "software", "tuning", "threshold", "external", "looks"} & set(known)
    assert known["task"] == "Tells a, b and c apart on an image."


def test_the_items_are_in_the_package() -> None:
    import search.evaluate

    assert Path(search.evaluate.__path__[0], "checklist.yaml").is_file()
