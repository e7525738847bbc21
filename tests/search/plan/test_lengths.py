import pytest

from search.plan.lengths import with_lengths
from search.plan.settings import AUTO
from search.plan.words import load_settings, resume_settings


@pytest.mark.parametrize(
    ("images", "epochs", "grace"),
    [(384, 40, 6), (4434, 17, 2), (100_000, 8, 1), (20, 40, 20)],
)
def test_lengths_follow_from_the_steps_of_an_epoch(images: int, epochs: int, grace: int) -> None:
    settings, reasons = with_lengths(load_settings(["space=cnn2"]), images)
    assert (settings.search.max_epochs, settings.search.asha.grace_period) == (epochs, grace)
    assert [line.partition(" ")[0] for line in reasons] == ["max_epochs", "grace_period"]


def test_what_is_set_stays() -> None:
    settings, reasons = with_lengths(load_settings(["search.max_epochs=9", "search.asha.grace_period=4"]), 384)
    assert (settings.search.max_epochs, settings.search.asha.grace_period, reasons) == (9, 4, [])
    assert with_lengths(load_settings(["search.max_epochs=1"]), 384)[0].search.asha.grace_period == 1


def test_auto_is_a_word_of_the_command_line_and_of_a_space() -> None:
    words = ["search.max_epochs=auto", "search.asha.grace_period=auto"]
    assert load_settings(["space=robust2", *words]).search.max_epochs == AUTO
    assert load_settings([]).search.asha.grace_period == AUTO
    resolved, _ = with_lengths(load_settings(words), 384)
    assert resume_settings(resolved.to_dict(), words, began=words).search.max_epochs == 40
