from dataclasses import replace

import pytest

from search.evaluate.card import winner_card, winner_lines
from search.evaluate.subgroups import Subgroup
from search.record import Decisions, Evaluation, Look, OperatingPoint, Rate, RunRecord, TrialRecord, Winner

ENTRY = Evaluation(2, "test", "best", 1, 263, 0.5, 81 / 263, 0.5, 0.7, 0.4, 0.6, [[40, 100], [82, 41]])
SURE = replace(ENTRY, patients=200, accuracy_low=0.255, accuracy_high=0.366)
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
    assert list(winner_lines(Winner((2,), "", 1.0, (0.0, 0.0), (SURE, ENTRY)))) == [
        "test: balanced accuracy 0.500, AUC 0.700, accuracy 0.308 (95 % interval 0.255 to 0.366, 263 images of 200 "
        "patients), loss 0.500, sensitivity 0.400, specificity 0.600",
        # An older record has no interval.
        "test: balanced accuracy 0.500, AUC 0.700, accuracy 0.308 (263 images), loss 0.500, sensitivity 0.400, "
        "specificity 0.600",
    ]


def test_a_card_names_members_inputs_outputs_and_scores() -> None:
    members = [TrialRecord(number, {"layers": number}, seed=9, max_epochs=1, parameter_count=1000) for number in (2, 1)]
    entry = replace(SURE, average_precision=0.8125)
    card = winner_card(RUN, members, Winner((2, 1), "", 1.0, (0.0, 0.0), (entry,))).splitlines()
    assert card[0] == "# Winner of one: the mean of trials 0002, 0001"
    for line in (
        "- input: float32 (N, 8, 8, 1), grey values divided by 255",
        "- output: the probability of pneumonia",
        "- not calibrated",
        "- parameters: 2,000",
        "| test | 263 | 200 | 0.5000 | 0.7000 | 0.8125 | 0.3080 (0.2550 to 0.3660) | 0.4000 | 0.6000 | 0.5000 |",
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
    ("shares", "held"),
    [
        ((0.25, 0.75), "its probabilities hold at the shares of the training images (normal 25 %, pneumonia 75 %)"),
        ((0.5, 0.5), "its probabilities hold where every class is equally frequent"),
        ((), "its probabilities hold at no known shares: its members weigh the classes differently"),
    ],
)
def test_a_card_says_at_which_class_shares_the_probabilities_hold(shares: tuple[float, ...], held: str) -> None:
    winner = Winner((0,), "", 1.0, (0.0, 0.0), (ENTRY,), shares=shares)
    card = winner_card(RUN, [TrialRecord(0, {}, seed=9, max_epochs=1)], winner)
    assert f"- class shares: {held}{ELSEWHERE}\n" in card
    assert "at the stated prevalence" not in card


@pytest.mark.parametrize(("shares", "there"), [((0.5, 0.5), "0.16"), ((0.25, 0.75), "0.06")])
def test_a_card_gives_an_example_at_the_stated_prevalence(shares: tuple[float, ...], there: str) -> None:
    winner = Winner((0,), "", 1.0, (0.0, 0.0), (ENTRY,), shares=shares, prevalence=0.02)
    card = winner_card(RUN, [TrialRecord(0, {}, seed=9, max_epochs=1)], winner)
    line = f"- at the stated prevalence: where 2 % have pneumonia, a probability of 0.90 means {there}\n"
    assert line in card


def test_a_card_and_the_screen_give_the_decisions_at_the_operating_point() -> None:
    point = OperatingPoint("sensitivity 0.95", 0.3104, "validation")
    rates = (Rate(0.9, 0.8, 0.95), Rate(0.7, 0.6, 0.8))
    decisions = (
        Decisions("test", 263, 0.62, False, *rates, Rate(0.83, 0.76, 0.88), Rate(0.81, 0.7, 0.9)),
        Decisions("test", 263, 0.02, True, *rates, Rate(0.0577, 0.04, 0.08), Rate(None, None, None)),
    )
    winner = Winner((2,), "", 1.0, (0.0, 0.0), (ENTRY,), operating_point=point, prevalence=0.02, decisions=decisions)
    card = winner_card(RUN, [TrialRecord(2, {}, seed=9, max_epochs=1)], winner).splitlines()
    assert "- operating point: positive at 0.31 or above (sensitivity 0.95 on validation)" in card
    sensitivity, specificity = "0.900 (0.800 to 0.950)", "0.700 (0.600 to 0.800)"
    assert f"| test | 263 | 2 % (stated) | {sensitivity} | {specificity} | 0.058 (0.040 to 0.080) |  |" in card
    line = f"test there, prevalence 62 % (its own): sensitivity {sensitivity}, specificity {specificity}, PPV 0.830"
    assert any(each.startswith(line) for each in winner_lines(winner))


def test_a_card_counts_the_looks_at_each_test_set() -> None:
    looks = [Look(0.0, {"test": 120}, 2, {}), Look(1.0, {"test": 120, "adults": 200}, 2, {})]
    winner = Winner((2,), "", 1.0, (0.0, 0.0), (ENTRY,))
    members = [TrialRecord(2, {}, seed=9, max_epochs=1)]
    assert "- looks at test images: test 2, adults 1\n" in winner_card(RUN, members, winner, looks)
    assert "- looks at test images: none recorded\n" in winner_card(RUN, members, winner)


def test_a_card_has_a_section_for_everything_that_a_reader_asks() -> None:
    subgroup = Subgroup("test", "sex", "F", 40, Rate(0.9, 0.8, 0.95), Rate(0.8, None, None), Rate(None, None, None))
    members, winner = [TrialRecord(2, {}, seed=9, max_epochs=1)], Winner((2,), "", 1.0, (0.0, 0.0), (SURE,))
    card = winner_card(RUN, members, winner, (), [subgroup]).splitlines()
    assert [line[3:] for line in card if line.startswith("## ")] == [
        "Intended use", "Data", "Split", "Preprocessing", "Probabilities and decisions", "Scores", "Subgroups",
        "Limits", "Trial 0002, seed 9",
    ]  # fmt: skip
    assert "| test | sex | F | 40 | 0.900 (0.800 to 0.950) | 0.800 |  |" in card
    assert any("0.3080 (0.2550 to 0.3660)" in line for line in card)
    assert card[card.index("## Split") + 2] == "**For the author**: the run's records do not tell."
    assert sum("**For the author**" in line for line in card) == 3
    without = winner_card(RUN, members, winner).splitlines()
    assert "Neither files nor tables state age, sex or view of the test images." in without
