"""The answer about a winner that averages several trials and is calibrated."""

import dataclasses

import numpy as np
import pytest

from analysis import style
from analysis.app.filters import Address
from analysis.app.pages import trial_page
from analysis.load import load
from analysis.page.answer import answer
from analysis.scored import scored_winner
from search.record import Winner


@pytest.mark.parametrize(
    ("calibrated_on", "words"), [("", "It is not calibrated: "), ("shifted", "It is calibrated: ")]
)
def test_the_answer_says_why_the_winner_is_calibrated_or_not(averaged, monkeypatch, calibrated_on, words):
    exported = dataclasses.replace(averaged.winner, held_out_losses=())  # as it is where nothing was held out
    monkeypatch.setattr(averaged, "winner", exported)
    assert not any("calibrat" in reason for reason in answer(averaged).reasons)
    exported = dataclasses.replace(averaged.winner, calibrated_on=calibrated_on, held_out_losses=(0.2, 0.25))
    monkeypatch.setattr(averaged, "winner", exported)
    (reason,) = [reason for reason in answer(averaged).reasons if "calibrat" in reason]
    assert reason.startswith(words)
    assert reason.endswith("from 0.2000 to 0.2500.")


def test_the_answer_and_the_pages_are_the_exported_models(averaged, averaged_page):
    found = answer(averaged)
    assert found.model.startswith(f"Pick {averaged.winner.what}. The best of them is ")
    assert found.reasons[0].startswith("They have the 3 lowest")
    counts = scored_winner(averaged).confusion("test")
    assert found.scores[0].value == pytest.approx(np.trace(counts) / counts.sum())
    assert f"{averaged.winner.what}." in averaged_page
    shown = str(trial_page(averaged, Address(run="mean"), style.LIGHT))
    assert averaged.winner.what in shown
    assert averaged.winner.what not in str(
        trial_page(averaged, Address(run="mean", trial=averaged.winner.trials[0]), style.LIGHT)
    )


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (
            {"redraw": True},
            "They are the repeats, each on a split of its own, of the configuration with the best mean ",
        ),
        ({"redraw": False, "folds": 3}, "They are the repeats, each validated on another of 3 folds of the patients, "),
    ],
)
def test_repeats_that_validate_on_their_own_images_are_not_called_the_lowest(averaged, monkeypatch, split, words):
    monkeypatch.setitem(averaged.record.config["data"], "split", split)
    assert answer(averaged).reasons[0].startswith(words)


def test_a_winner_that_stayed_is_not_called_the_best(run):
    evaluations = tuple(entry for entry in run.folder.read_evaluations() if entry.trial == 0)
    run.folder.write_winner(Winner((0,), "", 1.0, (0.0, 0.0), evaluations))
    assert answer(load(run.folder.url)).reasons[0] == (
        "It was exported by an earlier evaluation and stays; of 2 finished trials now, trial 0001 has the lowest "
        "validation loss, 0.2000. evaluate.replace_winner=true exports the best of now."
    )
