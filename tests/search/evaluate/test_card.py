from dataclasses import replace

import pytest

from search.evaluate.card import winner_card, winner_lines
from search.record import Evaluation, RunRecord, TrialRecord, Winner

ENTRY = Evaluation(2, "test", "best", 1, 263, 0.5, 81 / 263, 0.5, 0.7, 0.4, 0.6, [[40, 100], [82, 41]])
RUN = RunRecord(
    "one",
    0.0,
    "",
    "val_loss",
    ("normal", "pneumonia"),
    {"data": {"size": 8, "channels": 1}, "train": {"class_weights": "none"}},
    {},
    {"fingerprint": "f", "counts": {"train": [25, 75]}},
)
ELSEWHERE = ". Elsewhere multiply each by the class's share there over its share here; rescale to a sum of 1."


def test_accuracies_have_their_intervals() -> None:
    assert list(winner_lines(Winner((2,), "", 1.0, (0.0, 0.0), (ENTRY,)))) == [
        "test: balanced accuracy 0.500, AUC 0.700, accuracy 0.308 (95 % interval 0.255 to 0.366, 263 images), "
        "loss 0.500, sensitivity 0.400, specificity 0.600"
    ]


def test_a_card_names_members_inputs_outputs_and_scores() -> None:
    members = [TrialRecord(number, {"layers": number}, seed=9, max_epochs=1, parameter_count=1000) for number in (2, 1)]
    entry = replace(ENTRY, average_precision=0.8125)
    card = winner_card(RUN, members, Winner((2, 1), "", 1.0, (0.0, 0.0), (entry,))).splitlines()
    assert card[0] == "# Winner of one: the mean of trials 0002, 0001"
    for line in (
        "- input: float32 (N, 8, 8, 1), grey values divided by 255",
        "- output: the probability of pneumonia",
        "- not calibrated",
        "- parameters: 2,000",
        "| test | 263 | 0.5000 | 0.7000 | 0.8125 | 0.3080 | 0.4000 | 0.6000 | 0.5000 |",
        "- positive class: pneumonia; sensitivity and average precision are of it",
        "## Trial 0001, seed 9",
        "- layers: `2`",
    ):
        assert line in card, line


def test_a_card_gives_the_formula_of_a_calibration_and_the_losses_that_decided_on_it() -> None:
    winner = Winner((2,), "validation", 0.8, (0.0, -0.25), (ENTRY,), (0.5, 0.25))
    card = winner_card(RUN, [TrialRecord(2, {}, seed=9, max_epochs=1)], winner)
    assert "- its probabilities p become softmax(0.800 log p + (0.000, -0.250))\n" in card
    decided = (
        "calibrated on validation: on patients it was not fitted on, calibration takes the loss from 0.5000 to 0.2500"
    )
    assert f"- {decided}\n" in card
    assert next(winner_lines(winner)) == decided


@pytest.mark.parametrize(
    ("calibrated", "weights", "held"),
    [
        (
            "",
            ["none", "none"],
            "its probabilities hold at the shares of the training images (normal 25 %, pneumonia 75 %)",
        ),
        ("", ["balanced", "balanced"], "its probabilities hold where every class is equally frequent"),
        ("validation", ["none", "none"], "its probabilities hold where every class is equally frequent"),
        (
            "",
            ["none", "balanced"],
            "its probabilities hold at no known shares: its members weigh the classes differently",
        ),
    ],
)
def test_a_card_says_at_which_class_shares_the_probabilities_hold(
    calibrated: str, weights: list[str], held: str
) -> None:
    members = [TrialRecord(i, {"class_weights": each}, seed=9, max_epochs=1) for i, each in enumerate(weights)]
    card = winner_card(RUN, members, Winner((0, 1), calibrated, 1.0, (0.0, 0.0), (ENTRY,)))
    assert f"- class shares: {held}{ELSEWHERE}\n" in card
