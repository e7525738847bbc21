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
