from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import data_pipeline
from data_pipeline.folders import scan_folder
from data_pipeline.manifest import MULTILABEL, POOL, TEST, DataError, ImageRow, Manifest
from data_pipeline.split import SplitSettings, hold_out_test, repeat_splits, split_pool, validation_per_class

SAMPLE = Path(data_pipeline.__file__).parent / "sample"


@pytest.fixture(scope="module")
def sample() -> Manifest:
    return scan_folder(SAMPLE, "three_class")


def make_manifest(groups: str, labels: str) -> Manifest:
    """A manifest of one image a letter: equal letters are one patient."""
    rows = tuple(
        ImageRow(f"{at:03d}", f"/{at}", POOL, int(label), f"{POOL}/{group}", f"hash {at}")
        for at, (group, label) in enumerate(zip(groups, labels, strict=True))
    )
    return Manifest("/", ("normal", "pneumonia"), rows, ())


@pytest.mark.parametrize(
    ("pool_size", "class_count", "fraction", "expected"),
    [
        (5232, 2, None, 523),
        (5232, 3, None, 350),
        (5216, 2, None, 521),
        (480, 3, None, 32),
        (100, 4, None, 5),
        (1000, 2, 0.3, 150),
        (4, 2, 0.1, 1),
    ],
)
def test_shares_are_those_of_the_report(
    pool_size: int, class_count: int, fraction: float | None, expected: int
) -> None:
    assert validation_per_class(pool_size, class_count, fraction) == expected


@pytest.mark.parametrize(
    ("method", "train", "validation"),
    [
        ("stratified", (120, 160, 104), (30, 40, 26)),
        ("patient", (118, 168, 98), (32, 32, 32)),
        ("balanced", (118, 168, 98), (32, 32, 32)),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_pool_row_is_on_one_side(
    sample: Manifest, method: str, train: tuple[int, ...], validation: tuple[int, ...], seed: int
) -> None:
    split = split_pool(sample, SplitSettings(method, seed=seed))
    both = np.concatenate([split.train, split.validation])
    assert both.dtype == np.int64
    np.testing.assert_array_equal(np.sort(both), np.arange(len(sample.pool_rows)))
    assert split.counts(sample) == {"train": train, "validation": validation, "test": (40, 40, 40)}


@pytest.mark.parametrize("method", ["stratified", "patient"])
@pytest.mark.parametrize("seed", range(5))
def test_patient_split_shares_no_patient_and_no_image(sample: Manifest, method: str, seed: int) -> None:
    # a byte-identical image under another patient ties the two patients together
    rows = list(sample.rows)
    first, last = sample.pool_rows[0], sample.pool_rows[-1]
    rows[rows.index(last)] = replace(last, content_hash=first.content_hash)
    manifest = replace(sample, rows=tuple(rows))
    split = split_pool(manifest, SplitSettings(method, seed=seed))
    sides = [[manifest.pool_rows[at] for at in side] for side in (split.train, split.validation)]
    for key in ("group", "content_hash"):
        train, validation = ({getattr(row, key) for row in side} for side in sides)
        assert not train & validation


def test_balanced_split_puts_patients_on_both_sides(sample: Manifest) -> None:
    split = split_pool(sample, SplitSettings("balanced"))
    train, validation = ({sample.pool_rows[at].group for at in side} for side in (split.train, split.validation))
    assert len(train & validation) > 20


@pytest.mark.parametrize(
    ("method", "first"),
    [
        ("stratified", [5, 7, 14, 20, 21, 28]),
        ("patient", [1, 5, 7, 14, 20, 21]),
        ("balanced", [0, 2, 9, 14, 19, 23]),
    ],
)
def test_split_is_the_same_on_every_machine(sample: Manifest, method: str, first: list[int]) -> None:
    assert split_pool(sample, SplitSettings(method, seed=7)).validation[:6].tolist() == first


def test_seeds_differ(sample: Manifest) -> None:
    first, second = (split_pool(sample, SplitSettings(seed=seed)).validation for seed in (0, 1))
    assert first.tolist() != second.tolist()


def test_patient_split_takes_fewer_rather_than_too_many() -> None:
    # 4 of each class are wanted; patients of class 1 have 3 images each
    manifest = make_manifest("abcdefghij" + "ooopppqqq", "0" * 10 + "1" * 9)
    split = split_pool(manifest, SplitSettings("patient", fraction=0.42))
    assert validation_per_class(19, 2, 0.42) == 4
    assert split.counts(manifest)["validation"] == (4, 3)


def test_patient_split_is_exact_where_only_some_orders_are() -> None:
    # 4 wanted of patients with 3, 3, 2 and 2 images: no order that begins with 3 gets there
    for seed in range(10):
        manifest = make_manifest("abcdefghijkl" + "ooopppqqrr", "0" * 12 + "1" * 10)
        split = split_pool(manifest, SplitSettings("patient", fraction=0.36, seed=seed))
        assert split.counts(manifest)["validation"] == (4, 4)


def test_class_too_small_to_split_is_named() -> None:
    manifest = make_manifest("abcdefghij" + "op", "0" * 10 + "1" * 2)
    with pytest.raises(DataError, match=r"takes 2 images of each class .* Received: 2 images of class pneumonia"):
        split_pool(manifest, SplitSettings("patient", fraction=0.4))


def test_class_of_one_patient_is_named() -> None:
    manifest = make_manifest("abcdefghij" + "oooooo", "0" * 10 + "1" * 6)
    with pytest.raises(DataError, match=r"no patient of class pneumonia with 2 images or fewer. Add patients"):
        split_pool(manifest, SplitSettings())
    with pytest.raises(DataError, match="no patient of class pneumonia with 1 images or fewer"):
        split_pool(manifest, SplitSettings("patient", fraction=0.15))


@pytest.mark.parametrize(
    ("fraction", "validating"),
    [(None, (4, 80)), (0.15, (3, 60)), (0.5, (6, 133)), (0.01, (1, 4))],
)
def test_stratified_split_takes_the_same_share_of_a_rare_class(
    fraction: float | None, validating: tuple[int, int]
) -> None:
    manifest = make_manifest("".join(map(chr, range(1000, 1420))), "0" * 20 + "1" * 400)
    assert split_pool(manifest, SplitSettings(fraction=fraction)).counts(manifest)["validation"] == validating


@pytest.mark.parametrize("method", ["patient", "balanced"])
def test_equal_numbers_of_a_rare_class_are_refused(method: str) -> None:
    manifest = make_manifest("".join(map(chr, range(1000, 1420))), "0" * 20 + "1" * 400)
    with pytest.raises(DataError, match=r"Received: 20 images of class normal\..* data.split.method=stratified"):
        split_pool(manifest, SplitSettings(method))


def test_stratified_split_takes_a_patient_of_up_to_a_third_of_a_class() -> None:
    # a fifth of 15 images is 3; each patient has 5
    manifest = make_manifest("abcdefghijklmno" + "pppppqqqqqrrrrr", "0" * 15 + "1" * 15)
    assert split_pool(manifest, SplitSettings()).counts(manifest)["validation"] == (3, 5)


def test_images_that_look_alike_stay_on_one_side_of_a_stratified_split(sample: Manifest) -> None:
    first, last = sample.pool_rows[0], sample.pool_rows[-1]
    rows = [replace(row, twin=first.image_id) if row in (first, last) else row for row in sample.rows]
    manifest = replace(sample, rows=tuple(rows))
    places = [0, len(manifest.pool_rows) - 1]
    for seed in range(20):
        split = split_pool(manifest, SplitSettings(seed=seed))
        assert np.isin(places, split.validation).sum() in (0, 2)


def test_looks_do_not_change_the_splits_of_earlier_runs(sample: Manifest) -> None:
    first, last = sample.pool_rows[0], sample.pool_rows[-1]
    rows = [replace(row, twin=first.image_id) if row in (first, last) else row for row in sample.rows]
    before, after = (split_pool(each, SplitSettings("patient")) for each in (sample, replace(sample, rows=tuple(rows))))
    np.testing.assert_array_equal(before.validation, after.validation)


@pytest.mark.parametrize("method", ["stratified", "balanced"])
def test_every_image_validates_in_one_fold_and_no_patient_is_on_two_sides(sample: Manifest, method: str) -> None:
    first, last = sample.pool_rows[0], sample.pool_rows[-1]
    rows = [replace(row, twin=first.image_id) if row in (first, last) else row for row in sample.rows]
    manifest, settings = replace(sample, rows=tuple(rows)), SplitSettings(method, seed=1, folds=5)
    splits = repeat_splits(manifest, settings, 5)
    assert len(splits) == 5
    np.testing.assert_array_equal(np.sort(np.concatenate([split.validation for split in splits])), np.arange(480))
    together = 0
    for split in splits:
        np.testing.assert_array_equal(np.sort([*split.train, *split.validation]), np.arange(480))
        train, validation = ({manifest.pool_rows[at].group for at in side} for side in (split.train, split.validation))
        assert not train & validation
        assert split.counts(manifest)["validation"] in {(30, 40, 26), (30, 40, 25), (30, 40, 27)}
        together += np.isin([0, 479], split.validation).all()
    assert together == 1  # the images that look alike
    np.testing.assert_array_equal(split_pool(manifest, settings).validation, splits[0].validation)


def test_folds_follow_from_the_seed_alone(sample: Manifest) -> None:
    def folds_of(**values: object) -> list[list[int]]:
        settings = SplitSettings(folds=5, **values)  # type: ignore[arg-type]
        return [split.validation.tolist() for split in repeat_splits(sample, settings, 5)]

    first = folds_of(seed=7)
    assert first[0][:6] == [6, 7, 8, 11, 12, 17]
    assert first == folds_of(seed=7, method="patient")
    assert first != folds_of(seed=8)


def test_a_class_with_fewer_patients_than_folds_is_refused() -> None:
    manifest = make_manifest("abcdefghij" + "oopppqqq", "0" * 10 + "1" * 8)
    assert [
        split.counts(manifest)["validation"][1] for split in repeat_splits(manifest, SplitSettings(folds=3), 3)
    ] == [
        3,
        3,
        2,
    ]
    with pytest.raises(DataError, match=r"Received: 3 patients with images of class pneumonia.*Lower data.split.folds"):
        split_pool(manifest, SplitSettings(folds=4))


def test_held_out_test_keeps_patients_together(sample: Manifest) -> None:
    whole = replace(sample, rows=sample.pool_rows)
    manifest = hold_out_test(whole, fraction=0.2, seed=3)
    assert manifest.counts() == {POOL: (120, 160, 104), TEST: (30, 40, 26)}
    assert not {row.group for row in manifest.pool_rows} & {row.group for row in manifest.test_rows}
    assert manifest == hold_out_test(whole, fraction=0.2, seed=3)
    assert manifest != hold_out_test(whole, fraction=0.2, seed=4)


def test_held_out_test_of_one_patient_is_refused() -> None:
    with pytest.raises(DataError, match="too few images or patients of class pneumonia"):
        hold_out_test(make_manifest("abcd" + "oooo", "00001111"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "random"}, "stratified, patient, balanced. Received: 'random'"),
        ({"fraction": 1.0}, "between 0 and 1"),
        ({"seed": -1}, "0 or more"),
        ({"folds": 1}, "2 or more, or null. Received: 1"),
        (
            {"folds": 5, "fraction": 0.2},
            "data.split.fraction=0.2 with data.split.folds=5. Set data.split.fraction=null",
        ),
        ({"folds": 5, "redraw": True}, "data.split.folds and data.split.redraw .* Received: both"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        SplitSettings(**values)  # type: ignore[arg-type]


def findings_of(chances: Sequence[float], images: int = 3000, seed: int = 0) -> Manifest:
    """Images of patients with one to five of them, that show each finding with its chance."""
    rng = np.random.default_rng(seed)
    shown = rng.random((images, len(chances))) < chances
    patients = np.repeat(np.arange(images), rng.integers(1, 6, images))[:images]
    rows = [
        ImageRow(
            f"{n:05d}", "", POOL, -1, f"pool/{patients[n]}", str(n), findings=tuple(np.flatnonzero(shown[n]).tolist())
        )
        for n in range(images)
    ]
    names = tuple(f"finding {place}" for place in range(len(chances)))
    return Manifest("", names, tuple(rows), (), task=MULTILABEL)


@pytest.mark.parametrize("fraction", [None, 0.3])
def test_each_finding_has_its_share_in_validation(fraction: float | None) -> None:
    manifest = findings_of((0.3, 0.1, 0.03, 0.01, 0.005))
    split = split_pool(manifest, SplitSettings(fraction=fraction))
    assert sorted([*split.train, *split.validation]) == list(range(3000))
    patients = np.array([row.group for row in manifest.rows])
    assert not set(patients[split.train]) & set(patients[split.validation])
    share = fraction or 0.2
    assert len(split.validation) == pytest.approx(share * 3000, rel=0.02)
    validating, whole = split.counts(manifest)["validation"], manifest.counts()[POOL]
    assert all(abs(own - share * of) <= max(2, 0.05 * of) for own, of in zip(validating, whole, strict=True))
    assert split.sizes(manifest) == {"train": len(split.train), "validation": len(split.validation), "test": 0}


def test_a_third_of_the_images_of_several_findings_validates_at_most() -> None:
    split = split_pool(findings_of((0.3, 0.1)), SplitSettings(fraction=0.9))
    assert len(split.validation) == pytest.approx(1000, rel=0.02)


def test_each_fold_has_its_share_of_every_finding_and_whole_patients() -> None:
    manifest, settings = findings_of((0.3, 0.1, 0.03, 0.01)), SplitSettings(folds=5)
    splits = repeat_splits(manifest, settings, repeats=1)
    assert len(splits) == 5
    whole = np.array(manifest.counts()[POOL])
    shares = np.array([split.counts(manifest)["validation"] for split in splits]) / whole
    np.testing.assert_allclose(shares, 0.2, atol=0.04)
    np.testing.assert_array_equal(np.sort(np.concatenate([split.validation for split in splits])), np.arange(3000))
    for split in splits:
        sides = [{manifest.pool_rows[at].group for at in side} for side in (split.train, split.validation)]
        assert not sides[0] & sides[1]
    np.testing.assert_array_equal(split_pool(manifest, settings).validation, splits[0].validation)
    drawn = repeat_splits(manifest, SplitSettings(redraw=True), repeats=2)
    assert set(drawn[0].validation) != set(drawn[1].validation)


def test_a_fold_without_a_finding_to_judge_is_refused() -> None:
    manifest = findings_of((0.5, 0.0), images=60)
    few = replace(manifest, rows=tuple(replace(row, findings=()) for row in manifest.rows[1:]) + manifest.rows[:1])
    with pytest.raises(DataError, match="Trials are judged by findings that train"):
        repeat_splits(few, SplitSettings(folds=3), repeats=3)


def test_a_test_set_of_findings_is_held_out_by_patient() -> None:
    manifest = hold_out_test(findings_of((0.3, 0.02)), seed=1)
    assert not {row.group for row in manifest.pool_rows} & {row.group for row in manifest.test_rows}
    assert all(abs(test - (test + pool) / 5) <= 3 for pool, test in zip(*manifest.counts().values(), strict=True))


def test_findings_that_validation_cannot_judge_are_refused() -> None:
    with pytest.raises(DataError, match=r"images with and without\. Received: .* and no such finding"):
        split_pool(findings_of((0.0, 1.0), images=50), SplitSettings())


def test_the_rarest_image_trains() -> None:
    manifest = findings_of((0.5, 0.0), images=100)
    rows = (replace(manifest.rows[0], findings=(1,)), *manifest.rows[1:])
    split = split_pool(replace(manifest, rows=rows), SplitSettings())
    assert 0 in split.train
