import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from data_pipeline.split import SplitSettings
from models.head import Findings
from search.evaluate.card import winner_lines
from search.evaluate.predictions import (
    prediction_table,
    probabilities_of,
    read_predictions,
    write_predictions,
)
from search.evaluate.winner import best_trials, held_shares, is_same_model, winner_model
from search.plan.settings import EvaluateSettings
from search.plan.words import load_settings
from search.record import (
    SHIFTED,
    TEST,
    VALIDATION,
    Evaluation,
    FindingCalibration,
    RunFolder,
    RunRecord,
    TrialRecord,
    Winner,
)
from search.trial.calibration import MOST_SLOPE, Calibration, fit_calibration
from tests.conftest import make_epoch
from tests.winners import make_winner

IMAGES = {VALIDATION: 200, TEST: 80}
FOLDS = {str(number): str(number % 5) for number in range(sum(IMAGES.values()))}
PATIENTS = {name: name for name in FOLDS}


def make_trial(number: int, val_loss: float, status: str = "finished") -> TrialRecord:
    return TrialRecord(
        number, {"backbone": "cnn"}, seed=number, max_epochs=1, status=status, epochs=[make_epoch(1, val_loss)]
    )


def make_folder(path: Path, numbers: list[int], images: dict[str, int] = IMAGES) -> RunFolder:
    """A run folder with random predictions that lean towards the truth; pneumonia is called too often."""
    folder = RunFolder(str(path))
    config = {"data": {"size": 8, "channels": 1}, "train": {"class_weights": "none"}}
    data = {"fingerprint": "f", "counts": {"train": [25, 75]}}
    folder.write_run(RunRecord("one", 0.0, "", "val_loss", ("normal", "pneumonia"), config, {}, data))
    datasets = [name for name, count in images.items() for _ in range(count)]
    labels = np.arange(len(datasets)) % 2
    for number in numbers:
        logit = np.random.default_rng(number).normal(2.0 * labels, 1.0)
        p = (1 / (1 + np.exp(-logit))).astype(np.float32)
        columns = {"dataset": datasets, "image_id": list(map(str, range(len(labels)))), "label": labels}
        write_predictions(folder, pa.table({**columns, "p_normal": 1 - p, "p_pneumonia": p}), f"{number:04d}")
    return folder


def by_dataset(winner: Winner) -> dict[str, Evaluation]:
    return {entry.dataset: entry for entry in winner.evaluations}


def test_the_best_finished_trials_are_the_winner() -> None:
    settings = load_settings(["search.metric=val_loss", "evaluate.ensemble=1"])
    settings.evaluate.ensemble = 2
    trials = [make_trial(0, 0.3), make_trial(1, 0.1, "stopped"), make_trial(2, 0.2), make_trial(3, 0.4)]
    assert [trial.number for trial in best_trials(trials, settings)] == [2, 0]


@pytest.mark.parametrize("split", [SplitSettings(redraw=True), SplitSettings(folds=2)])
def test_repeats_on_splits_of_their_own_win_as_a_configuration(split: SplitSettings) -> None:
    settings = load_settings(["search.metric=val_loss", "evaluate.ensemble=1"])
    settings.evaluate.ensemble, settings.data.split = 2, split
    lucky, steady = {"layers": 1}, {"layers": 2}
    losses = [(lucky, 0.1), (steady, 0.2), (lucky, 0.9), (steady, 0.3)]
    trials = [dataclasses.replace(make_trial(n, loss), parameters=own) for n, (own, loss) in enumerate(losses)]
    assert [trial.number for trial in best_trials(trials, settings)] == [1, 3]


def test_a_confirmed_configuration_wins_by_its_mean_and_its_members_come_first() -> None:
    settings = load_settings(["search.metric=val_loss", "evaluate.ensemble=3"])
    trials = [dataclasses.replace(make_trial(n, loss), parameters={"layers": n}) for n, loss in enumerate((0.1, 0.2))]
    again = [dataclasses.replace(trials[n], number=2 + n, confirms=n, repeat=1) for n in range(2)]
    again[0].epochs, again[1].epochs = make_trial(2, 0.9).epochs, make_trial(3, 0.15).epochs
    assert [trial.number for trial in best_trials([*trials, *again], settings)] == [3, 1, 0]
    again[1].status = "diverged"
    assert [trial.number for trial in best_trials([*trials, *again], settings)] == [0, 2, 1]
    settings.evaluate.ensemble = 1
    assert [trial.number for trial in best_trials([*trials, *again], settings)] == [0]


def test_one_trial_as_it_is_has_its_own_predictions(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, [4])
    winner = make_winner(folder, [make_trial(4, 0.1)], EvaluateSettings(calibrate=False), {}, {})
    assert read_predictions(folder, "winner") == read_predictions(folder, "0004")
    folder.write_winner(winner)
    assert winner == folder.read_winner()
    assert winner.what == "trial 0004"
    assert {name: entry.images for name, entry in by_dataset(winner).items()} == IMAGES


def test_an_ensemble_is_the_mean_and_better_than_its_members(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, [0, 1, 2])
    members = [make_trial(number, 0.1) for number in range(3)]
    winner = make_winner(folder, members, EvaluateSettings(calibrate=False), {}, {})
    each = [probabilities_of(read_predictions(folder, trial.name)) for trial in members]
    np.testing.assert_allclose(probabilities_of(read_predictions(folder, "winner")), np.mean(each, axis=0), atol=1e-6)
    alone = [
        make_winner(make_folder(tmp_path, [n]), [members[n]], EvaluateSettings(calibrate=False), {}, {})
        for n in range(3)
    ]
    assert by_dataset(winner)[TEST].auc > max(by_dataset(one)[TEST].auc for one in alone)
    assert winner.what == "the mean of trials 0000, 0001, 0002"


def test_calibration_is_fitted_on_validation_alone(tmp_path: Path) -> None:
    settings = EvaluateSettings(calibrate=True)
    folder = make_folder(tmp_path / "a", [0])
    winner = make_winner(folder, [make_trial(0, 0.1)], settings, FOLDS, PATIENTS)
    raw = make_winner(make_folder(tmp_path / "b", [0]), [make_trial(0, 0.1)], EvaluateSettings(calibrate=False), {}, {})
    assert winner.calibrated_on == VALIDATION
    assert by_dataset(winner)[TEST].loss < by_dataset(raw)[TEST].loss - 0.05
    assert by_dataset(winner)[TEST].balanced_accuracy > by_dataset(raw)[TEST].balanced_accuracy
    # Other test labels, the same calibration.
    table = read_predictions(folder, "0000")
    labels, datasets = table["label"].to_numpy().copy(), np.array(table["dataset"].to_pylist())
    labels[datasets == TEST] = 1 - labels[datasets == TEST]
    write_predictions(folder, table.set_column(2, "label", pa.array(labels)), "0000")
    other = make_winner(folder, [make_trial(0, 0.1)], settings, FOLDS, PATIENTS)
    assert (other.slope, other.bias) == (winner.slope, winner.bias)
    assert other.evaluations != winner.evaluations
    assert "on patients it was not fitted on, calibration takes the loss from" in winner.why_calibrated


def test_a_model_that_is_calibrated_already_stays_as_it_is(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, [0])
    table = read_predictions(folder, "0000")
    own = np.array(table["dataset"].to_pylist()) == VALIDATION
    best = fit_calibration(table["label"].to_numpy()[own], probabilities_of(table)[own])
    for place, column in enumerate(best.apply(probabilities_of(table)).T):
        table = table.set_column(3 + place, table.column_names[3 + place], pa.array(column.astype(np.float32)))
    write_predictions(folder, table, "0000")
    winner = make_winner(folder, [make_trial(0, 0.1)], EvaluateSettings(calibrate=True), FOLDS, PATIENTS)
    assert winner.calibrated_on == ""
    assert winner.held_out_losses[1] > winner.held_out_losses[0]


def shifted_folder(path: Path, faults: tuple[float, float]) -> tuple[RunFolder, dict[str, str]]:
    """A run folder whose shifted copy has two ways, with the probabilities of each leaning to one class."""
    folder = make_folder(path, [0], {VALIDATION: 100, SHIFTED: 200, TEST: 50})
    table = read_predictions(folder, "0000")
    ways = {name: ("blur", "noise")[place // 2 % 2] for place, name in enumerate(table["image_id"].to_pylist())}
    p = probabilities_of(table)
    lean = np.array([faults[way == "noise"] for way in ways.values()])
    odds = p[:, 1] / p[:, 0] * np.exp(lean)
    for place, column in ((3, 1 / (1 + odds)), (4, odds / (1 + odds))):
        table = table.set_column(place, table.column_names[place], pa.array(column.astype(np.float32)))
    write_predictions(folder, table, "0000")
    return folder, ways


def test_calibration_goes_by_the_shifted_copy_where_there_is_one(tmp_path: Path) -> None:
    folder, ways = shifted_folder(tmp_path, (0.0, 0.0))
    winner = make_winner(
        folder, [make_trial(0, 0.1)], EvaluateSettings(calibrate=True), ways, {name: name for name in ways}
    )
    table = read_predictions(folder, "0000")
    own = np.array(table["dataset"].to_pylist()) == SHIFTED
    expected = fit_calibration(table["label"].to_numpy()[own], probabilities_of(table)[own], MOST_SLOPE)
    assert (winner.calibrated_on, winner.slope, winner.bias) == (SHIFTED, expected.slope, expected.bias)
    as_is, calibrated = winner.held_out_losses
    assert calibrated < as_is
    folder.write_winner(winner)
    assert folder.read_winner() == winner


def test_calibration_that_does_not_help_with_a_way_it_has_not_seen_is_left_out(tmp_path: Path) -> None:
    folder, ways = shifted_folder(tmp_path, (-4.0, 2.0))
    winner = make_winner(
        folder, [make_trial(0, 0.1)], EvaluateSettings(calibrate=True), ways, {name: name for name in ways}
    )
    as_is, calibrated = winner.held_out_losses
    assert calibrated > as_is
    assert (winner.calibrated_on, winner.slope, winner.bias) == ("", 1.0, (0.0, 0.0))
    assert read_predictions(folder, "winner") == read_predictions(folder, "0000")
    line = next(winner_lines(winner))
    assert line.startswith("not calibrated: on images changed in a way that it was not fitted on")
    assert f"from {as_is:.4f} to {calibrated:.4f}" in line
    assert line in folder.read("winner", "card.md").decode()


FINDINGS = ("mass", "edema", "hernia")  # the second is calibrated as it is, the third on no validation image


def findings_folder(path: Path) -> RunFolder:
    """A run folder with random predictions of findings; the first is called far too surely and too often."""
    folder = RunFolder(str(path))
    config = {"data": {"size": 8, "channels": 1, "task": "multilabel"}, "train": {"class_weights": "none"}}
    folder.write_run(RunRecord("one", 0.0, "", "val_auc", FINDINGS, config, {}, {"fingerprint": "f"}))
    draws, tables = np.random.default_rng(0), []
    for dataset, count in (("validation", 1000), ("test", 400)):
        shown = (draws.random((count, 3)) < (0.3, 0.3, 0.3 * (dataset == TEST))).astype(np.int64)
        odds = draws.normal(2 * shown - 1, 1.0) * 2 + np.log(0.3 / 0.7)  # of the probability, by Bayes
        p = 1 / (1 + np.exp(-(odds * (3, 1, 1) + (1, 0, 0))))
        names = [f"{dataset}-{number}" for number in range(count)]
        tables.append(prediction_table(dataset, names, shown, p.astype(np.float32), FINDINGS))
    write_predictions(folder, pa.concat_tables(tables), "0000")
    return folder


def test_a_finding_is_calibrated_where_that_helps_images_it_was_not_fitted_on(tmp_path: Path) -> None:
    folder = findings_folder(tmp_path)
    names = read_predictions(folder, "0000")["image_id"].to_pylist()
    folds = {name: str(number % 5) for number, name in enumerate(names)}
    winner = make_winner(folder, [make_trial(0, 0.1)], EvaluateSettings(), folds, {name: name for name in names})
    folder.write_winner(winner)
    assert folder.read_winner() == winner
    mass, edema, hernia = winner.finding_calibrations
    assert (mass.slope, mass.bias) == (pytest.approx(1 / 3, rel=0.1), pytest.approx(-1 / 3, abs=0.2))
    assert mass.held_out_losses[1] < mass.held_out_losses[0] - 0.1
    assert not edema.changes
    assert len(edema.held_out_losses) == 2
    assert hernia == FindingCalibration()
    assert winner.what == "trial 0000, 1 of 3 findings calibrated on validation"
    decided = "called present: each finding at its own threshold (Youden's index on validation, or 0.5 where that"
    assert any(line.startswith(decided) for line in winner_lines(winner))
    card = folder.read("winner", "card.md").decode()
    assert "calibration clearly lowers the loss of 1 of 2 findings with images" in card
    assert f"the sigmoid of: mass {mass.slope:.3f} logit p" in card
    before, after = (read_predictions(folder, name) for name in ("0000", "winner"))
    own = np.array(before["dataset"].to_pylist()) == TEST
    shown = before["label_mass"].to_numpy()[own]
    as_is, calibrated = (log_loss(shown, each["p_mass"].to_numpy()[own]) for each in (before, after))
    assert calibrated < as_is - 0.1
    np.testing.assert_allclose(after["p_edema"], before["p_edema"], atol=1e-6)
    assert by_dataset(winner)[TEST].findings[0].auc == pytest.approx(
        roc_auc_score(shown, before["p_mass"].to_numpy()[own])
    )
    as_it_was = make_winner(folder, [make_trial(0, 0.1)], EvaluateSettings(calibrate=False), {}, {})
    assert as_it_was.finding_calibrations == ()
    assert not is_same_model(winner, as_it_was)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras', while it saves
@pytest.mark.parametrize("count", [1, 2])
def test_the_exported_model_calibrates_each_finding(count: int, tmp_path: Path) -> None:
    import keras

    from models.cnn import CnnConfig, build_cnn
    from search.trial.training import predict

    members = [build_cnn(CnnConfig(1, 2, normalize=True), (16, 16, 1), Findings(3), seed) for seed in range(count)]
    calibrations = FindingCalibration(0.4, -1.0), FindingCalibration(), FindingCalibration(1.0, 2.0)
    winner = Winner(tuple(range(count)), VALIDATION, 1.0, (0.0,) * 3, (), finding_calibrations=calibrations)
    file = tmp_path / "model.keras"
    winner_model(members, winner).save(file)
    loaded = keras.models.load_model(file, safe_mode=True)
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), np.uint8)
    mean = np.mean([predict(model, images, np.arange(5)) for model in members], axis=0)
    odds = np.log(mean / (1 - mean)) * [each.slope for each in calibrations] + [each.bias for each in calibrations]
    np.testing.assert_allclose(predict(loaded, images, np.arange(5)), 1 / (1 + np.exp(-odds)), atol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras', while it saves
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("calibrated_on", ["", VALIDATION])
def test_the_exported_model_gives_the_winners_probabilities(
    classes: int, count: int, calibrated_on: str, tmp_path: Path
) -> None:
    import keras

    from models.cnn import CnnConfig, build_cnn
    from search.trial.training import predict

    members = [build_cnn(CnnConfig(1, 2, normalize=True), (16, 16, 1), classes, seed) for seed in range(count)]
    calibration = Calibration(0.7, (0.0, 0.5, -0.3)[:classes]) if calibrated_on else Calibration.none(classes)
    winner = Winner(tuple(range(count)), calibrated_on, calibration.slope, calibration.bias, ())
    file = tmp_path / "model.keras"
    winner_model(members, winner).save(file)
    loaded = keras.models.load_model(file, safe_mode=True)
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), np.uint8)
    rows = np.arange(5)
    mean = np.mean([predict(model, images, rows) for model in members], axis=0)
    np.testing.assert_allclose(predict(loaded, images, rows), calibration.apply(mean), atol=1e-5)


@pytest.mark.parametrize(
    ("calibrated", "weights", "shares"),
    [
        ("", ["none", "none"], (0.25, 0.75)),
        ("", ["balanced", "balanced"], (0.5, 0.5)),
        (VALIDATION, ["none", "none"], (0.5, 0.5)),
        ("", ["none", "balanced"], ()),
    ],
)
def test_probabilities_hold_at_shares_that_training_and_calibration_decide(
    calibrated: str, weights: list[str], shares: tuple[float, ...], tmp_path: Path
) -> None:
    members = [TrialRecord(i, {"class_weights": each}, seed=9, max_epochs=1) for i, each in enumerate(weights)]
    assert held_shares(make_folder(tmp_path, []).read_run(), members, calibrated) == shares


def with_point(folder: RunFolder, **settings: object) -> Winner:
    return make_winner(folder, [make_trial(0, 0.1)], EvaluateSettings(calibrate=False, **settings), {}, {})


def test_the_operating_point_is_set_on_validation_alone(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, [0])
    winner = with_point(folder, operating_point={"sensitivity": 0.95}, prevalence=0.02)
    by_set = {each.dataset: each for each in winner.decisions if not each.stated}
    assert 0.95 <= by_set[VALIDATION].sensitivity.value < 0.97
    assert [(each.dataset, each.stated) for each in winner.decisions] == [
        (VALIDATION, False), (VALIDATION, True), (TEST, False), (TEST, True),
    ]  # fmt: skip
    # Other test labels, the same threshold, and other decisions.
    table = read_predictions(folder, "0000")
    labels, datasets = table["label"].to_numpy().copy(), np.array(table["dataset"].to_pylist())
    labels[datasets == TEST] = 1 - labels[datasets == TEST]
    write_predictions(folder, table.set_column(2, "label", pa.array(labels)), "0000")
    other = with_point(folder, operating_point={"sensitivity": 0.95}, prevalence=0.02)
    assert other.operating_point == winner.operating_point
    assert other.decisions != winner.decisions
    folder.write_winner(winner)
    assert folder.read_winner() == winner


def test_a_winner_of_before_has_the_threshold_of_the_more_probable_class(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, [0])
    folder.write_winner(with_point(folder))
    content = json.loads(folder.read("winner", "winner.json"))
    for name in ("shares", "operating_point", "prevalence", "decisions"):
        del content[name]
    folder.write(json.dumps(content).encode(), "winner", "winner.json")
    found = folder.read_winner()
    assert found is not None
    assert (found.operating_point.name, found.operating_point.threshold) == ("equal", 0.5)
    assert found.decisions == ()
    assert is_same_model(found, with_point(folder))


def test_another_point_prevalence_or_member_is_another_model(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, [0])
    first = with_point(folder)
    assert is_same_model(first, with_point(folder))
    for other in (
        with_point(folder, operating_point={"specificity": 0.9}),
        with_point(folder, prevalence=0.1),
        dataclasses.replace(first, trials=(1,)),
        dataclasses.replace(first, slope=0.9),
    ):
        assert not is_same_model(first, other)
