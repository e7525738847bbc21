from collections.abc import Iterable

import pytest

from data_pipeline.patients import AUTO, find_patient_folders, read_patients


def groups(patient: str | None, *images: str) -> list[str]:
    """The patients of images in the class folder train/X."""
    patients = read_patients(patient, (("train/X", image) for image in images))
    return [patients.group_of(f"train/X/{image}", "pool") for image in images]


def folders_of(counts: dict[str, int]) -> Iterable[tuple[str, str]]:
    return (("X", f"{folder}/{number}.png") for folder, count in counts.items() for number in range(count))


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person7_virus_12.jpeg", "pool/person7"),
        ("NORMAL2-IM-0427-0001.jpeg", "pool/NORMAL2-IM-0427"),
        ("BACTERIA-1008087-0001.jpeg", "pool/1008087"),
        ("00001303_001.png", "pool/00001303"),
        ("00001303_001_a.png", "train/X/00001303_001_a.png"),
        ("VIRUS-1008087-0002.jpeg", "pool/1008087"),
        ("NORMAL-28501-0001.jpeg", "pool/28501"),
        ("x.jpeg", "train/X/x.jpeg"),
    ],
)
def test_known_names_tell_the_patient(name: str, patient: str) -> None:
    assert groups(AUTO, name) == [patient]


def test_earlier_runs_read_kaggles_names_alone() -> None:
    images = [f"patient {n}/BACTERIA-{n}-0001.jpeg" for n in range(4)]
    assert groups(None, *images) == [f"train/X/{image}" for image in images]
    assert groups(None, "p/person3_virus_1.jpeg") == ["pool/person3"]


def test_a_folder_is_a_patient_and_goes_before_names() -> None:
    images = [f"patient {n}/IM-000{k}-0001.png" for n in range(3) for k in range(2)]
    assert groups(AUTO, *images) == [f"pool/patient {n}" for n in range(3) for _ in range(2)]
    assert groups(r"(IM-\d+)", *images)[:2] == ["pool/IM-0000", "pool/IM-0001"]


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"a": 1, "b": 9, "c": 2}, {"X/a", "X/b", "X/c"}),
        ({"a": 1, "b": 1}, set()),  # too few to be patients
        ({"batch1": 21, "batch2": 40, "batch3": 30}, set()),  # too large
        ({"all/a": 1, "all/b": 2, "all/c": 2}, {"X/all/a", "X/all/b", "X/all/c"}),
        ({"a/s1": 1, "a/s2": 1, "b/s1": 1, "c/s1": 1}, {"X/a", "X/b", "X/c"}),  # studies of patients
    ],
)
def test_small_folders_are_patients(counts: dict[str, int], found: set[str]) -> None:
    assert find_patient_folders(folders_of(counts)) == found
