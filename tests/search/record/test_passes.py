import pytest

from search.record.passes import epochs_of_pass, steps_of_epoch, steps_of_pass


@pytest.mark.parametrize(
    ("images", "batch_size", "epoch_images", "epochs", "steps"),
    [
        (4_434, 32, 8_192, 1, 139),
        (8_192, 32, 8_192, 1, 256),
        (8_193, 32, 8_192, 2, 129),
        (32_000, 32, 8_000, 4, 250),
        (100_000, 64, 8_192, 13, 121),
        (100_000, 32, None, 1, 3_125),
        (100_000, 32, 0, 1, 3_125),
        (100, 32, 1, 100, 1),
    ],
)
def test_a_pass_is_cut_into_epochs_of_equally_many_steps(
    images: int, batch_size: int, epoch_images: int | None, epochs: int, steps: int
) -> None:
    assert epochs_of_pass(images, epoch_images) == epochs
    assert steps_of_epoch(images, batch_size, epoch_images) == steps
    assert 0 <= epochs * steps - steps_of_pass(images, batch_size) < epochs
