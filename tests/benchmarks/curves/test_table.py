"""A table of curves is what its search trained, small, and without any test score."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.curves.held_out import write_test_scores
from benchmarks.curves.table import About, Curves, complete_trials, read_curves, write_curves
from search.plan.words import load_settings
from search.record import DIVERGED, FINISHED, RUNNING, TEST, Evaluation, TrialRecord
from tests.conftest import make_epoch

BASE = {"backbone": "cnn", "normalize": True, "padding": "same", "batch_norm": "block", "pooling": "average"}


def configuration(rate: float, batch: int, dense: list[int]) -> dict[str, object]:
    varied = {"learning_rate": rate, "batch_size": batch, "augment": "strong", "label_smoothing": 0.1}
    shape = {"layers": 5, "filters": 12, "growth": 1.5, "dense": dense, "dropout": 0.1 + rate}
    return {**BASE, **varied, **shape}


def make_trial(number: int, values: list[float | None], status: str = FINISHED, **changes: object) -> TrialRecord:
    epochs = [make_epoch(epoch, value, seconds=2.5) for epoch, value in enumerate(values, 1)]
    given = {
        "parameters": configuration(1e-3 / 3 * (number + 3), 32 if number else 64, [64] if number else []),
        **changes,
    }
    return TrialRecord(number=number, seed=1, max_epochs=3, status=status, epochs=epochs, parameter_count=7, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def curves() -> Curves:
    settings = load_settings(
        ["space=cnn2", "search.max_epochs=3", "train.epoch_images=40", "search.asha.grace_period=1"]
    )
    plain = settings.to_dict()
    about = About(plain["space"], plain["search"], plain["train"], 64, 130, "abc", "a processor")
    found = [
        make_trial(0, [0.5, 0.25, 0.75]),
        make_trial(1, [0.5, None], DIVERGED),
        make_trial(2, [0.5], RUNNING),
        make_trial(3, [0.125, 0.25, 0.5], confirms=0),
        make_trial(4, []),
    ]
    return Curves(about, complete_trials(found))


def test_what_is_read_back_is_what_was_trained(curves: Curves, tmp_path: Path) -> None:
    write_curves(curves, tmp_path / "cnn2.parquet")
    again = read_curves(tmp_path / "cnn2.parquet")
    assert again.about == curves.about
    assert again.space == curves.space
    assert [trial.number for trial in again.trials] == [0, 1, 2]  # by their place
    for read, trained in zip(again.trials, curves.trials, strict=True):
        assert (read.parameters, read.status, read.confirms) == (trained.parameters, trained.status, trained.confirms)
        assert (read.max_epochs, read.parameter_count) == (3, 7)
        assert [epoch.val_loss for epoch in read.epochs] == [epoch.val_loss for epoch in trained.epochs]
        assert [epoch.seconds for epoch in read.epochs] == [epoch.seconds for epoch in trained.epochs]


def test_the_columns_are_small_and_count_steps(curves: Curves, tmp_path: Path) -> None:
    write_curves(curves, tmp_path / "cnn2.parquet")
    table = pq.read_table(tmp_path / "cnn2.parquet")
    assert {str(table.schema.field(name).type) for name in ("val_loss", "shifted_auc", "seconds")} == {"float"}
    assert {str(table.schema.field(name).type) for name in ("search_seed", "trial", "epoch", "steps")} == {"int8"}
    # 130 images are 4 parts of a pass: of its 3 batches of 64, or 5 of 32, an epoch has 1 or 2.
    assert table.column("steps").to_pylist() == [1, 2, 3, 2, 4, 2, 4, 6]
    assert "backbone" not in table.column_names  # it is the same for all
    assert not [name for name in table.column_names if name.startswith("test")]


def test_test_scores_lie_apart(tmp_path: Path) -> None:
    entry = Evaluation(3, TEST, "best", 2, 10, 0.5, 0.75, 0.75, None, 0.5, 1.0, [[5, 0], [2, 3]], 0.875)
    for seed, loss in ((1, 0.5), (0, 0.25), (0, 0.125)):  # a trial's later scores replace its earlier ones
        write_test_scores([replace(entry, loss=loss)], seed, tmp_path / "cnn2_test.parquet")
    other, row = pq.read_table(tmp_path / "cnn2_test.parquet").to_pylist()
    assert (row["search_seed"], row["trial"], row["loss"]) == (1, 3, 0.5)
    assert (row["epoch"], row["auc"], row["average_precision"]) == (2, None, 0.875)
    assert (other["search_seed"], other["loss"]) == (0, 0.125)


def test_searches_with_other_seeds_add_to_a_table(curves: Curves, tmp_path: Path) -> None:
    path = tmp_path / "cnn2.parquet"
    other = replace(curves.about, search={**curves.about.search, "seed": 1, "num_trials": 9}, processor="another")
    write_curves(curves, path)
    write_curves(Curves(other, curves.trials[1:]), path)
    write_curves(Curves(other, (curves.trials[0], replace(curves.trials[1], status=FINISHED))), path)
    again = read_curves(path)
    assert [trial.number for trial in again.trials] == list(range(6))
    # What the same search tells of a trial again replaces it; of what it no longer tells, the table still knows.
    assert [trial.status for trial in again.trials] == [FINISHED, DIVERGED, *4 * [FINISHED]]
    assert [trial.parameters for trial in again.trials] == 2 * [trial.parameters for trial in curves.trials]
    assert [trial.confirms for trial in again.trials] == [None, None, 0, None, None, 3]
    assert again.about.processor == "a processor; another"


def test_curves_of_other_images_are_refused(curves: Curves, tmp_path: Path) -> None:
    write_curves(curves, tmp_path / "cnn2.parquet")
    with pytest.raises(ValueError, match="another size, fingerprint"):
        write_curves(replace(curves, about=replace(curves.about, size=96, fingerprint="x")), tmp_path / "cnn2.parquet")
