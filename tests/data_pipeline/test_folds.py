import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from data_pipeline.folds import deal_folds


def make_units(seed: int, mixed: bool) -> np.ndarray:
    """300 patients, most with one image and of the first class; mixed: with images of several classes."""
    rng = np.random.default_rng(seed)
    shares, sizes = (0.8, 0.15, 0.05), rng.geometric(0.5, 300)
    if mixed:
        return np.array([rng.multinomial(size, shares) for size in sizes])
    return np.eye(3, dtype=np.int64)[rng.choice(3, 300, p=shares)] * sizes[:, None]


def images_in(unit_counts: np.ndarray, fold_of: np.ndarray, folds: int) -> np.ndarray:
    """Images of each class in each fold, (folds, K)."""
    return np.array([unit_counts[fold_of == fold].sum(axis=0) for fold in range(folds)])


@pytest.mark.parametrize("folds", [2, 5, 9])
@pytest.mark.parametrize("seed", range(3))
def test_folds_differ_by_one_patient_at_most_in_every_class(folds: int, seed: int) -> None:
    units = make_units(seed, mixed=False)
    found = images_in(units, deal_folds(units, folds, seed), folds)
    assert (np.ptp(found, axis=0) <= units.max(axis=0)).all()
    np.testing.assert_array_equal(found.sum(axis=0), units.sum(axis=0))


@pytest.mark.parametrize("seed", range(5))
def test_patients_of_several_classes_are_spread_as_evenly_as_by_scikit_learn(seed: int) -> None:
    units = make_units(seed, mixed=True)
    images = units.sum(axis=1)
    labels = np.concatenate([np.repeat(np.arange(3), unit) for unit in units])
    groups = np.repeat(np.arange(len(units)), images)
    peer = np.empty(len(units), np.int64)
    dealt = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, groups)
    for fold, (_, validation) in enumerate(dealt):
        peer[groups[validation]] = fold
    ours, theirs = (images_in(units, each, 5) / units.sum(axis=0) for each in (deal_folds(units, 5, seed), peer))
    assert np.ptp(ours, axis=0).max() <= np.ptp(theirs, axis=0).max()


def test_folds_are_the_same_on_every_machine() -> None:
    units = make_units(0, mixed=True)
    assert deal_folds(units, 4, seed=3)[:12].tolist() == [2, 1, 2, 3, 0, 2, 0, 3, 1, 2, 1, 2]
    assert deal_folds(units, 4, seed=3).tolist() != deal_folds(units, 4, seed=4).tolist()
