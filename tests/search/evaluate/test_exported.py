import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from search.evaluate.exported import open_winner
from search.record import OperatingPoint, RecordError, RunFolder


@pytest.fixture
def copied(exported_run: RunFolder, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported_run.url, tmp_path / "one"))


def test_a_winner_is_opened_by_its_run_its_folder_or_its_model(exported_run: RunFolder, monkeypatch) -> None:
    inside = f"{exported_run.url}/winner"
    found = [
        open_winner(given) for given in (exported_run.url, f"{exported_run.url}/", inside, f"{inside}/model.keras")
    ]
    monkeypatch.chdir(inside)
    found.append(open_winner("model.keras"))
    assert [each.run is not None for each in found] == [True, True, False, False, False]
    assert {each.signature.rules for each in found} == {found[0].signature.rules}
    assert found[-1].load_model().input_shape == (None, 32, 32, 1)
    assert found[0].point == OperatingPoint()


def test_a_winner_lies_in_a_bucket(exported_run: RunFolder, bucket: str) -> None:
    folder = RunFolder(f"{bucket}/one")
    for name in ("run.json", "winner/model.keras", "winner/winner.json", "winner/signature.json"):
        folder.write(exported_run.read(*name.split("/")), *name.split("/"))
    found = open_winner(folder.url)
    here = open_winner(exported_run.url)
    image = np.full((1, 32, 32, 1), 0.5, np.float32)
    np.testing.assert_array_equal(found.load_model()(image), here.load_model()(image))


def test_the_winners_record_says_where_the_decision_changes(copied: Path) -> None:
    record = copied / "winner" / "winner.json"
    stated = {"name": "sensitivity 0.95", "threshold": 0.3}
    record.write_text(json.dumps(json.loads(record.read_text()) | {"operating_point": stated}))
    assert open_winner(str(copied)).point == OperatingPoint("sensitivity 0.95", 0.3)
    record.write_text('{"operating_point": 3}')
    with pytest.raises(RecordError, match=r"a damaged one"):
        open_winner(str(copied))


def test_a_winner_of_before_has_no_signature_of_its_own(copied: Path) -> None:
    written = open_winner(str(copied)).signature
    (copied / "winner" / "signature.json").unlink()
    derived = open_winner(str(copied)).signature
    assert (derived.classes, derived.rules, derived.shares) == (written.classes, written.rules, written.shares)
    assert derived.typical is None
    with pytest.raises(RecordError, match=r"Give the run's folder"):
        open_winner(str(copied / "winner"))


def test_a_run_without_a_winner_is_refused(copied: Path) -> None:
    (copied / "winner" / "model.keras").write_bytes(b"no model")
    with pytest.raises(RecordError, match=r"a model that Keras saved"):
        open_winner(str(copied)).load_model()
    (copied / "winner" / "model.keras").unlink()
    with pytest.raises(RecordError, match=r"which has none"):
        open_winner(str(copied))
    with pytest.raises(RecordError, match=r"Received: nowhere"):
        open_winner("nowhere")
