import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data_pipeline.dataset import Dataset
from data_pipeline.settings import DataSettings
from models.registry import Findings, build_model
from models.transfer import trainable_part
from search.evaluate import scorers
from search.evaluate.exported import open_winner
from search.evaluate.predictions import (
    prediction_table,
    predictions_source,
    probabilities_of,
    read_predictions,
    write_predictions,
)
from search.evaluate.score import keep_winner, known_evaluations, scoring_source
from search.evaluate.scorers import EvaluationContext, Scorer
from search.evaluate.sets import EvaluationSet, calibration_groups, evaluation_sets
from search.evaluate.signature import SIGNATURE, make_signature
from search.evaluate.winner import propose_winner
from search.plan.settings import EvaluateSettings, Settings, TrainSettings
from search.record import (
    EVALUATED,
    FINISHED,
    TEST,
    VALIDATION,
    Evaluation,
    EventLog,
    RunFolder,
    RunRecord,
    TrialRecord,
    to_json,
)
from search.trial.checkpoint import Checkpoint, write_checkpoint
from search.trial.features import Backbones
from search.trial.training import predict, trial_config
from tests.conftest import make_epoch
from tests.search.evaluate.test_winner import make_folder
from tests.winners import make_winner

TRAIN = TrainSettings(precision="float32")
SHAPE = (32, 32, 1)


@pytest.fixture
def sets(small_dataset: Dataset) -> list[EvaluationSet]:
    return evaluation_sets(small_dataset, with_shifted=False)


def make_trial(number: int, repeat: int = 0) -> TrialRecord:
    parameters = {"backbone": "cnn", "layers": 1, "filters": 2}
    return TrialRecord(number, parameters, seed=number, max_epochs=1, repeat=repeat, status=FINISHED)


def write_weights(folder: RunFolder, trial: TrialRecord, classes: int | Findings = 2):
    """A model as the trial may have left it; its weights are the trial's best and last."""
    config = trial_config(trial, TRAIN)
    model = build_model(config.model, SHAPE, classes, None, seed=100 + trial.number)
    weights = [variable.numpy() for variable in trainable_part(model).weights]
    write_checkpoint(folder, trial.name, Checkpoint(weights, (), [make_epoch(1, 0.5)]), is_best=True)
    return model


def make_scorer(
    folder: RunFolder, sets: list[EvaluationSet], patch: pytest.MonkeyPatch, which: str = "best", **context: Any
) -> Scorer:
    """A scorer in this process, without Ray."""
    patch.setattr("ray.get", lambda reference: reference)
    patch.setattr(scorers, "prepare_process", lambda *given: None)
    source = scoring_source(which, sets)
    classes = ("normal", "pneumonia")
    default = EvaluationContext(folder.url, 0.0, TRAIN, classes, sets, Backbones({}), which, source, 1)
    return Scorer(dataclasses.replace(default, **context))


@pytest.mark.parametrize("which", ["best", "last"])
def test_a_trial_is_scored_on_every_set_with_its_trained_weights(
    which: str, sets: list[EvaluationSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, trial = RunFolder(str(tmp_path)), make_trial(3)
    model = write_weights(folder, trial)
    expected = np.concatenate([predict(model, each.images, each.rows) for each in sets])
    evaluations = make_scorer(folder, sets, monkeypatch, which).score(trial)
    assert [(e.trial, e.dataset, e.weights, e.epoch) for e in evaluations] == [
        (3, VALIDATION, which, 1),
        (3, TEST, which, 1),
    ]
    assert [e.images for e in evaluations] == [len(each.rows) for each in sets]
    table = read_predictions(folder, trial.name)
    np.testing.assert_allclose(probabilities_of(table), expected, atol=1e-6)
    assert table["image_id"].to_pylist() == [name for each in sets for name in each.image_ids]
    assert predictions_source(folder, trial.name) == scoring_source(which, sets)


def test_a_trial_is_scored_on_the_sets_of_its_own_repeat(
    sets: list[EvaluationSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation, test = sets
    arrays = ("rows", "labels", "image_ids", "patients")
    of_repeats = [
        dataclasses.replace(validation, repeat=repeat, **{name: getattr(validation, name)[:n] for name in arrays})
        for repeat, n in enumerate((3, 4))
    ]
    folder, trial = RunFolder(str(tmp_path)), make_trial(0, repeat=1)
    write_weights(folder, trial)
    evaluations = make_scorer(folder, [*of_repeats, test], monkeypatch).score(trial)
    assert [(e.dataset, e.images) for e in evaluations] == [(VALIDATION, 4), (TEST, len(test.rows))]


def test_a_trial_whose_weights_are_missing_or_damaged_is_reported_and_not_scored(
    sets: list[EvaluationSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(str(tmp_path))
    write_weights(folder, make_trial(1))
    best = folder.read("trials", "0001", "best.npz")
    folder.write(best[:200], "trials", "0001", "best.npz")
    scorer = make_scorer(folder, sets, monkeypatch)
    assert scorer.score(make_trial(0)) == scorer.score(make_trial(1)) == []
    assert not folder.exists("predictions")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Trial 0000 cannot be scored: ")
    assert second.startswith("Trial 0001 cannot be scored: ")


def test_the_source_of_predictions_names_weights_and_images(sets: list[EvaluationSet]) -> None:
    other_images = [sets[0], dataclasses.replace(sets[1], fingerprint="other")]
    another_set = [*sets, dataclasses.replace(sets[1], name="elsewhere")]
    sources = [scoring_source(*given) for given in (("best", sets), ("last", sets), ("best", other_images))]
    assert len({*sources, scoring_source("best", another_set)}) == 4
    assert scoring_source("best", list(sets)) == sources[0]


def test_evaluations_hold_as_long_as_weights_and_images_are_the_same(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    entries = [
        Evaluation(number, TEST, which, 1, 4, 0.5, 0.75, 0.75, None, 0.5, 1.0, [[2, 0], [1, 1]])
        for number, which in ((0, "best"), (1, "best"), (2, "last"), (3, "best"))
    ]
    folder.write("".join(to_json(entry) + "\n" for entry in entries).encode(), "evaluation.jsonl")
    table = prediction_table(TEST, ["a"], np.ones(1, np.int64), np.ones((1, 2), np.float32) / 2, ("x", "y"))
    for number, source in ((0, "now"), (1, "before"), (2, "now")):
        write_predictions(folder, table, f"{number:04d}", source)
    trials = [make_trial(number) for number in range(4)]
    assert known_evaluations(folder, trials, "best", "now") == {(0, TEST): entries[0]}


PLAIN = EvaluateSettings(calibrate=False)


@pytest.fixture
def exported(tmp_path: Path) -> RunFolder:
    """A run with two scored trials, the first of which was exported."""
    folder = make_folder(tmp_path, [0, 1])
    folder.write_winner(make_winner(folder, [make_trial(0)], PLAIN, {}, {}))
    return folder


def keep(folder: RunFolder, proposed_trial: int = 0, settings: EvaluateSettings = PLAIN) -> list[str]:
    """What is said when another evaluation would export this trial."""
    kept, trials, said = folder.read_winner(), [make_trial(0), make_trial(1)], []
    assert kept is not None
    proposed = propose_winner(folder, [trials[proposed_trial]], settings, {}, {}).winner
    keep_winner(folder, kept, proposed, trials, settings, said.append)
    return said


def records(folder: RunFolder) -> tuple[bytes, ...]:
    return folder.read("winner", "winner.json"), folder.read("predictions", "winner.parquet")


@pytest.mark.parametrize(
    ("proposed", "settings", "words"),
    [
        (1, PLAIN, "These settings would export another: trial 0001, positive at 0.5 or above"),
        (0, dataclasses.replace(PLAIN, operating_point={"specificity": 0.9}), r"(specificity 0.9 on validation)"),
        (0, dataclasses.replace(PLAIN, prevalence=0.02), "These settings would export another: trial 0000"),
        (0, dataclasses.replace(PLAIN, weights="last"), "These settings would export another: trial 0000"),
    ],
)
def test_an_exported_winner_stays_as_it_is_whatever_the_settings(
    exported: RunFolder, proposed: int, settings: EvaluateSettings, words: str
) -> None:
    before = records(exported)
    (line,) = keep(exported, proposed, settings)
    assert line.startswith("The exported winner stays as it is: trial 0000, positive at 0.5 or above")
    assert words in line
    assert line.endswith("add evaluate.replace_winner=true.")
    assert records(exported) == before


def test_an_exported_winner_is_scored_on_sets_that_were_added(exported: RunFolder) -> None:
    before = exported.read_winner()
    for name in ("0000", "0001"):
        table = read_predictions(exported, name)
        own = table.filter(pc.equal(table["dataset"], TEST))
        outside = own.set_column(0, "dataset", pa.array(["adults"] * len(own)))
        write_predictions(exported, pa.concat_tables([table, outside]), name)
    assert keep(exported) == []
    after = exported.read_winner()
    assert [entry.dataset for entry in after.evaluations] == [VALIDATION, TEST, "adults"]
    assert after.evaluations[:2] == before.evaluations
    assert {each.dataset for each in after.decisions} == {VALIDATION, TEST, "adults"}
    assert len(read_predictions(exported, "winner")) == len(read_predictions(exported, "0000"))


def test_the_same_settings_change_nothing_and_say_nothing(exported: RunFolder) -> None:
    before = records(exported)
    assert keep(exported) == []
    assert records(exported) == before


def test_the_card_of_a_winner_that_stays_counts_the_looks(exported: RunFolder) -> None:
    log = EventLog(exported)
    log.append(EVALUATED, images={TEST: 80}, trials=2, settings={})
    log.close()
    keep(exported, 1)
    assert "- looks at test images: test 1\n" in exported.read("winner", "card.md").decode()


def test_a_winner_of_several_findings_is_scored_and_exported(
    findings_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, sets = RunFolder(str(tmp_path)), evaluation_sets(findings_dataset, with_shifted=False)
    manifest, members = findings_dataset.manifest, [make_trial(0), make_trial(1)]
    config = dataclasses.asdict(Settings()) | {"data": {"task": manifest.task, "size": 32, "channels": 1}}
    folder.write_run(RunRecord("one", 0.0, "", "val_auc", manifest.classes, config, {}, {"fingerprint": "f"}))
    for trial in members:
        write_weights(folder, trial, Findings(3))
    scorer = make_scorer(folder, sets, monkeypatch, classes=manifest.classes, is_multilabel=True)
    for trial in members:
        assert [entry.findings[1].auc is None for entry in scorer.score(trial)] == [True, True]
    groups = calibration_groups(findings_dataset, with_shifted=False)
    winner = make_winner(folder, members, EvaluateSettings(), groups, groups)
    assert [len(each.held_out_losses) for each in winner.finding_calibrations] == [2, 0, 2]
    assert [point.chosen_on for point in winner.finding_points] == [VALIDATION, "", VALIDATION]
    assert (winner.shares, winner.decisions) == ((), ())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras copies its arrays as NumPy 1 did
        scorer.export(members, winner)
    folder.write(make_signature(findings_dataset, DataSettings(size=32), ()).to_json().encode(), "winner", SIGNATURE)
    folder.write_winner(winner)
    assert folder.read_winner() == winner
    assert not folder.exists("winner", "gallery.json")

    exported = open_winner(folder.url)
    assert exported.signature.is_multilabel
    assert exported.finding_points == winner.finding_points
    p = predict(exported.load_model(), sets[1].images, sets[1].rows)
    own = read_predictions(folder, "winner")
    np.testing.assert_allclose(p, probabilities_of(own)[np.array(own["dataset"].to_pylist()) == TEST], atol=1e-6)
    card = folder.read("winner", "card.md").decode()
    assert "- findings, in the order of the outputs: pneumonia, rare, dark" in card
    assert f"| rare | test | 0 of {len(sets[1].rows)} |  |  | at 0.5, since validation tells no threshold |" in card
    assert "over 2 of 3 findings" in card
