import math

import pytest

from models.cnn import CnnConfig
from models.transfer import TransferConfig
from search.plan.settings import TrainSettings
from search.trial import peak
from search.trial.peak import measure_peak
from search.trial.training import TrialConfig


@pytest.mark.parametrize("model", [CnnConfig(), TransferConfig("vgg16")])
def test_the_peak_of_a_trial_is_measured(model: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "prepare_process", lambda *given: None)  # TensorFlow of this process is at work
    config = TrialConfig(model, TrainSettings(batch_size=4, precision="float32"), max_epochs=1, seed=0)
    measured = measure_peak(config, (32, 32, 1), 2, features=isinstance(model, TransferConfig))
    assert 100 < measured < math.inf


def test_a_model_that_finds_no_memory_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights have more bytes than an address space."""
    monkeypatch.setattr(peak, "prepare_process", lambda *given: None)
    config = TrialConfig(CnnConfig(dense=(10**11,)), TrainSettings(batch_size=4, precision="float32"), 1, 0)
    with pytest.raises(MemoryError, match=r"^A trial must fit into memory\. Received: OOM when allocating tensor"):
        measure_peak(config, (32, 32, 1), 2, features=False)
