import pytest

from search.driver import check_resources, concurrent_trials
from search.settings import ResourceSettings, SettingsError


@pytest.mark.parametrize(
    ("resources", "available", "expected"),
    [
        (ResourceSettings(), {"CPU": 2}, 2),
        (ResourceSettings(cpus_per_trial=2), {"CPU": 3}, 1),
        (ResourceSettings(cpus_per_trial=0.1), {"CPU": 1}, 10),
        (ResourceSettings(gpus_per_trial=0.25), {"CPU": 16, "GPU": 2}, 8),
        (ResourceSettings(gpus_per_trial=0.25), {"CPU": 3, "GPU": 2}, 3),
        (ResourceSettings(max_concurrent=3), {"CPU": 8}, 3),
        (ResourceSettings(max_concurrent=30), {"CPU": 8}, 8),
    ],
)
def test_as_many_trials_as_fit(resources: ResourceSettings, available: dict[str, float], expected: int) -> None:
    assert concurrent_trials(resources, available) == expected


def test_more_than_there_is_would_wait_for_ever_and_is_refused() -> None:
    check_resources(ResourceSettings(gpus_per_trial=0.5), {"CPU": 2, "GPU": 1})
    with pytest.raises(SettingsError, match=r"resources\.gpus_per_trial=0\.5 is more than there is: Ray has 0 GPU"):
        check_resources(ResourceSettings(gpus_per_trial=0.5), {"CPU": 2})
