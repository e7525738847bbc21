"""Keyed hashes of patients, and the key's file."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_pipeline.identity import Pseudonyms
from data_pipeline.manifest import DataError


def test_one_patient_has_one_hash_for_each_key(tmp_path: Path) -> None:
    names = Pseudonyms(tmp_path / "cache")
    assert names.patient("MRN-1") == names.patient(" MRN-1 ") == Pseudonyms(tmp_path / "cache").patient("MRN-1")
    assert names.patient("MRN-1") != names.patient("MRN-2")
    assert names.patient("MRN-1") != Pseudonyms(tmp_path / "other").patient("MRN-1")


def test_only_the_user_may_read_the_key(tmp_path: Path) -> None:
    Pseudonyms(tmp_path).patient("1")
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_no_key_is_made_for_nobody(tmp_path: Path) -> None:
    assert Pseudonyms(tmp_path).conceal("NORMAL/IM-0001.jpeg", ["Meier", ""]) == "NORMAL/IM-0001.jpeg"
    assert not list(tmp_path.iterdir())


def test_processes_that_begin_together_share_a_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        hashes = set(threads.map(lambda _: Pseudonyms(tmp_path).patient("1"), range(16)))
    assert len(hashes) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_names_in_a_path_are_concealed_as_words(tmp_path: Path) -> None:
    names = Pseudonyms(tmp_path)
    shown = names.conceal("sick/MEIER_anna-0042/42.dcm", ["Meier", "Anna", "0042", "4"])
    assert shown == f"sick/{names.patient('Meier')}_{names.patient('Anna')}-{names.patient('0042')}/42.dcm"


def test_a_damaged_key_is_told(tmp_path: Path) -> None:
    (tmp_path / "patient.key").write_bytes(b"short")
    with pytest.raises(DataError, match=r"32 bytes. Received: .*patient.key with 5"):
        Pseudonyms(tmp_path).patient("1")
