import numpy as np
import pytest

from data_pipeline.dataset import Dataset
from data_pipeline.new_image import InputRules
from data_pipeline.preprocess import ImageSettings
from data_pipeline.settings import DataSettings
from search.evaluate.signature import Signature, make_signature, recorded_signature
from search.record import RecordError, RunRecord, TrialRecord, Winner

DATA = DataSettings(size=32, interpolation="cubic", keep_aspect=True, accept=["view"])


def test_a_signature_is_written_and_read(small_dataset: Dataset) -> None:
    signature = make_signature(small_dataset, DATA, (0.25, 0.75))
    assert signature.rules == InputRules(ImageSettings(32, 1, "cubic", True), 0, ("view",))
    assert signature.training_images == small_dataset.pool.fingerprint
    again = Signature.from_json(signature.to_json().encode(), "here")
    for name in ("classes", "rules", "shares", "training_images"):
        assert getattr(again, name) == getattr(signature, name)
    images = small_dataset.pool.open()[:5]
    np.testing.assert_allclose(again.typical.unlikeness(images), signature.typical.unlikeness(images), rtol=1e-3)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"classes": 1}'])
def test_a_damaged_signature_is_named(content: bytes) -> None:
    with pytest.raises(RecordError, match=r"Received: there/signature\.json"):
        Signature.from_json(content, "there/signature.json")


def test_an_older_run_tells_what_it_recorded() -> None:
    config = {"data": {"size": 96, "channels": 3, "root": None}, "train": {"class_weights": "none"}}
    run = RunRecord("one", 0.0, "", "val_loss", ("a", "b"), config, {}, {"counts": {"train": [25, 75]}, "white": 4095})
    signature = recorded_signature(run, [TrialRecord(0, {}, 0, 1)], Winner((0,), "", 1.0, (0.0, 0.0), ()))
    assert signature == Signature(("a", "b"), InputRules(ImageSettings(96, 3), 4095), (0.25, 0.75))
