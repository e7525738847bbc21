import pytest

from search.plan.asha import search_rungs
from search.plan.lengths import with_lengths
from search.plan.settings import AUTO, Settings
from search.plan.words import load_settings, resume_settings


def resolved(words: list[str], train: int, validation: int) -> Settings:
    return with_lengths(load_settings(words), train, validation)[0]


@pytest.mark.parametrize(
    ("train", "validation", "epochs", "grace"),
    [
        (20, 2, 40, 10),
        (384, 96, 40, 10),
        (480, 120, 40, 10),
        (4_434, 782, 16, 4),
        (8_192, 910, 8, 2),
        (20_000, 2_222, 3 * 8, 3),
        (100_000, 1_000, 13 * 8, 3),
        (100_000, 11_111, 5 * 8, 1),
    ],
)
def test_lengths_follow_from_the_steps_of_an_epoch(train: int, validation: int, epochs: int, grace: int) -> None:
    settings, reasons = with_lengths(load_settings(["space=cnn2"]), train, validation)
    assert (settings.search.max_epochs, settings.search.asha.grace_period) == (epochs, grace)
    if train < 10_000 and grace > 1:
        assert search_rungs(settings.search)[-1] <= 0.6 * epochs  # nobody is stopped just before the end
    names = ["max_epochs", "grace_period"]
    assert [line.partition(" ")[0] for line in reasons] == (names if train < 10_000 else ["epoch_images", *names])


def test_the_screen_says_what_an_epoch_of_a_large_set_is() -> None:
    settings, reasons = with_lengths(load_settings([]), 100_000, 11_111)
    assert settings.train.epoch_images == 2 * 11_111  # validation is scored as it is and in its shifted copy
    assert reasons == [
        "epoch_images 22,222: an epoch is one of 5 parts of a pass, about 20,000 of 100,000 images; "
        "22,222 are scored after it",
        "max_epochs 40 (8 passes): 25,000 steps of 32 images, 625 an epoch",
        "grace_period 1: trials are first compared after 625 steps",
    ]
    assert with_lengths(settings, 100_000, 11_111) == (settings, reasons[:1])  # when the run is resumed
    assert resolved(["search.metric=val_loss"], 100_000, 11_111).train.epoch_images == 11_111
    assert resolved([], 4_434, 782).train.epoch_images == 8_192


@pytest.mark.parametrize("words", [["search.max_epochs=20"], ["search.scheduler=none"], ["train.epoch_images=null"]])
def test_an_epoch_is_a_pass_where_it_was_counted_as_one_or_no_rung_needs_less(words: list[str]) -> None:
    assert resolved(words, 100_000, 1_000).train.epoch_images is None
    assert resolved(words, 100_000, 1_000).search.max_epochs in (8, 20)
    rows = resolved(["space=report2", "search.scheduler=asha", "search.max_epochs=auto"], 100_000, 1_000)
    assert (rows.train.epoch_images, rows.search.max_epochs) == (None, 8)


def test_what_is_set_stays() -> None:
    settings, reasons = with_lengths(load_settings(["search.max_epochs=9", "search.asha.grace_period=4"]), 384, 96)
    assert (settings.search.max_epochs, settings.search.asha.grace_period, reasons) == (9, 4, [])
    assert resolved(["search.max_epochs=1"], 384, 96).search.asha.grace_period == 1
    parts = resolved(["search.max_epochs=20", "train.epoch_images=100"], 384, 96)
    # 4 epochs of 3 steps make a pass.
    assert (parts.train.epoch_images, parts.search.max_epochs, parts.search.asha.grace_period) == (100, 20, 5)


def test_auto_is_a_word_of_the_command_line_and_of_a_space() -> None:
    words = ["search.max_epochs=auto", "search.asha.grace_period=auto", "train.epoch_images=auto"]
    assert load_settings(["space=robust2", *words]).search.max_epochs == AUTO
    assert load_settings([]).search.asha.grace_period == load_settings([]).train.epoch_images == AUTO
    stored = resolved(words, 384, 96).to_dict()
    assert resume_settings(stored, words, began=words).search.max_epochs == 40


def test_an_epoch_of_an_older_run_stays_a_pass() -> None:
    stored = resolved([], 100_000, 1_000).to_dict()
    del stored["train"]["epoch_images"]
    stored["search"] |= {"max_epochs": 8}
    settings, reasons = with_lengths(resume_settings(stored, []), 100_000, 1_000)
    assert (settings.train.epoch_images, settings.search.max_epochs, reasons) == (None, 8, [])
