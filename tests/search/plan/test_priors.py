import math
import random
from statistics import fmean, pstdev

import pytest

from search import record
from search.plan.priors import Prior, build_prior, complete, near, prior_lines
from search.plan.searcher import build_searcher
from search.plan.settings import SettingsError
from search.plan.space_file import read_space
from search.plan.spaces import Space
from search.plan.words import load_settings, resume_settings
from search.record import TrialRecord, WarmStart
from tests.conftest import make_epoch

GUESS = {
    "learning_rate": 0.003,
    "batch_size": 32,
    "augment": "hospital",
    "label_smoothing": 0.0,
    "layers": 5,
    "filters": 16,
    "growth": 1.5,
    "dense": [64],
    "dropout": 0.3,
}


def space_of(*words: str, space: str = "cnn2") -> Space:
    return read_space(load_settings([f"space={space}", *words]))


def prior_of(*words: str, space: str = "cnn2") -> Prior:
    settings = load_settings([f"space={space}", *words])
    return build_prior(read_space(settings), settings, WarmStart())


@pytest.mark.parametrize("space", ["cnn2", "cnn3"])
@pytest.mark.parametrize("searcher", ["tpe", "random"])
def test_the_first_trial_is_the_guess(space: str, searcher: str) -> None:
    settings = load_settings([f"space={space}", f"search.searcher={searcher}"])
    first = build_searcher(read_space(settings), settings).suggest(0).parameters
    constants = {"backbone": "cnn", "normalize": True, "padding": "same", "batch_norm": "block", "pooling": "average"}
    assert first == {**constants, **GUESS}


def test_half_of_the_random_trials_are_at_or_near_the_guess() -> None:
    given = {}
    for share in (0.25, 0.5, 1.0):
        prior = prior_of("search.searcher=random", f"search.prior_share={share}")
        given[share] = [n for n in range(12) if prior.configuration(n) is not None]
    assert given == {0.25: [0, 4, 8], 0.5: [0, 2, 4, 6, 8, 10], 1.0: list(range(12))}
    tpe = prior_of("search.num_trials=40")  # ten trials before the model
    assert [n for n in range(40) if tpe.configuration(n) is not None] == [0, 2, 4, 6, 8]
    assert tpe.num_near == 4


def test_without_a_share_or_a_guess_the_sampler_chooses_as_before() -> None:
    for words in (["search.prior_share=0"], ["space=plain2"], ["space.guess={}"]):
        prior = prior_of(*words)
        assert [prior.configuration(n) for n in range(4)] == [None] * 4
    settings = load_settings(["space=cnn2", "search.searcher=random"])
    without = load_settings(["space=cnn2", "search.searcher=random", "search.prior_share=0"])
    searchers = [build_searcher(read_space(each), each) for each in (settings, without)]
    pairs = [[searcher.suggest(n).parameters for searcher in searchers] for n in range(4)]
    assert [first == second for first, second in pairs] == [False, True, False, True]


def test_listed_configurations_have_no_guess() -> None:
    words = ["search.searcher=grid", "space.parameters.learning_rate=0.003", "space.parameters.dropout=0.3"]
    assert prior_of(*words).guesses == ()


def run_all(searcher: str, interrupted: int | None) -> list[dict]:
    """The configurations of twelve trials; after so many, a new searcher is restored from their records."""
    settings = load_settings(["space=cnn2", f"search.searcher={searcher}", "search.seed=5", "search.num_trials=12"])
    searching = build_searcher(read_space(settings), settings)
    trials: list[TrialRecord] = []
    for number in range(12):
        if number == interrupted:
            searching = build_searcher(read_space(settings), settings)
            searching.restore(trials)
        plan = searching.suggest(number)
        loss = abs(math.log(plan.parameters["learning_rate"] / 0.002))
        epochs = [make_epoch(1, loss, shifted_calibrated_loss=loss)]
        trials.append(TrialRecord(number, plan.parameters, 0, 10, status=record.FINISHED, epochs=epochs))
        searching.tell(trials[-1])
    return [trial.parameters for trial in trials]


@pytest.mark.parametrize("searcher", ["tpe", "random"])
def test_a_resumed_search_has_the_configurations_of_an_undisturbed_one(searcher: str) -> None:
    undisturbed = run_all(searcher, None)
    for interrupted in (1, 2, 3, 5, 9):
        assert run_all(searcher, interrupted) == undisturbed


def test_a_configuration_is_a_function_of_seed_and_number() -> None:
    words = ["search.searcher=random", "search.num_trials=20"]
    first, again, other = prior_of(*words), prior_of(*words), prior_of(*words, "search.seed=1")
    assert [first.configuration(n) for n in (6, 2, 4)] == [again.configuration(n) for n in (6, 2, 4)]
    assert first.configuration(2) != first.configuration(4)
    assert first.configuration(2) != other.configuration(2)
    found = first.configuration(2)
    assert found is not None
    # As numbers, because a run of today must be resumed by the versions to come.
    assert (found["learning_rate"], found["dropout"]) == pytest.approx((0.002364610612173683, 0.27613330545011017))
    assert (found["batch_size"], found["filters"], found["dense"]) == (64, 12, [])


def test_near_is_a_quarter_of_the_range_on_the_parameters_own_scale() -> None:
    space, draws = space_of(), random.Random(0)
    found = [near(space, GUESS, draws) for _ in range(4000)]
    rates = [math.log10(each["learning_rate"]) for each in found]
    assert min(rates) >= -3
    assert max(rates) <= -2
    assert abs(fmean(rates) - math.log10(0.003)) < 0.02
    assert 0.2 < pstdev(rates) < 0.25  # a decade wide, cut at two standard deviations
    layers = [each["layers"] for each in found]
    assert set(layers) == {4, 5, 6}
    assert layers.count(5) > max(layers.count(4), layers.count(6))
    kept = sum(each["dense"] == [64] for each in found) / len(found)
    assert 0.72 < kept < 0.78  # of two values: half, and half of the other half
    assert all(each["backbone"] == "cnn" and each["padding"] == "same" for each in found)


@pytest.mark.parametrize("domain", ["{integer: [1, 3]}", "{log_integer: [1, 64]}", "{integer: [2, 2]}", "{value: 2}"])
def test_whole_numbers_stay_in_their_range(domain: str) -> None:
    space = space_of(f"space.parameters.filters={domain}", space="plain2")
    (parameter,) = [each for each in space.parameters if each.name == "filters"]
    draws = random.Random(0)
    for guess in ({"filters": 2}, {"filters": 1} if 1 in parameter.domain else {}, {}):
        values = [near(space, guess, draws)["filters"] for _ in range(200)]
        assert all(isinstance(value, int) and value in parameter.domain for value in values)


def test_a_guess_may_leave_parameters_out() -> None:
    prior = prior_of("space.guess={layers: 2, dropout: 0}", space="plain2")
    first = prior.configuration(0)
    assert first is not None
    assert (first["layers"], first["dropout"], type(first["dropout"])) == (2, 0.0, float)
    assert set(first) == {parameter.name for parameter in space_of(space="plain2").parameters}
    assert first == prior.configuration(0)
    assert prior_of("space.guess={layers: 2}", "search.seed=1", space="plain2").configuration(0) != first


def test_conditional_parameters_have_a_guess_for_where_they_are_active() -> None:
    guess = "space.guess={backbone: vgg16, layers: 5, frozen: all, learning_rate: 1e-4}"
    space = space_of(guess, space="all2")
    first = complete(space, space.guess, random.Random(0))
    assert first["backbone"] == "vgg16"
    assert "layers" not in first
    drawn = [near(space, space.guess, random.Random(n)) for n in range(300)]
    small = [each for each in drawn if each["backbone"] == "cnn"]
    assert small
    assert all("frozen" not in each and each["layers"] in (4, 5, 6) for each in small)
    assert sum(each["backbone"] == "vgg16" for each in drawn) > 150


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("space.guess.layers=7", r"space\.guess\.layers must lie in the .*Received: 7; .*\[4, 6\]\}\. Change one"),
        ("space.guess.layers=5.5", r"Received: 5\.5"),
        ("space.guess.dense=[32]", r"Received: \[32\].*\[64\]"),
        ("space.guess.learning_rate=fast", r"Received: 'fast'"),
        ("space.guess.padding=valid", r"space\.guess\.padding .*Received: 'valid'; space\.parameters\.padding is same"),
        ("space.guess.layer=5", r"names parameters of the space\. Received: 'layer'\. Did you mean layers"),
    ],
)
def test_a_guess_outside_the_space_is_refused(word: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        space_of(word)


def test_a_space_of_rows_takes_no_guess() -> None:
    with pytest.raises(SettingsError, match="A space of rows takes no guess"):
        space_of("space.guess={layers: 2}", space="report2")


@pytest.mark.parametrize("share", ["-0.1", "1.1"])
def test_a_share_is_a_share(share: str) -> None:
    with pytest.raises(SettingsError, match=rf"search\.prior_share .*Received: {share}"):
        load_settings([f"search.prior_share={share}"])


def test_a_parameter_that_is_replaced_loses_the_guess_of_its_file() -> None:
    space = space_of("space.parameters.layers={integer: [1, 3]}", "space.parameters.dense={value: []}")
    assert set(GUESS) - set(space.guess) == {"layers", "dense"}
    kept = space_of("space.guess.layers=2", "space.parameters.layers={integer: [1, 3]}")
    assert kept.guess["layers"] == 2


def test_an_older_run_is_resumed_without_a_guess() -> None:
    stored = load_settings(["space=cnn2"]).to_dict()
    assert resume_settings(stored, []).search.prior_share == 0.5
    del stored["search"]["prior_share"], stored["space"]["guess"]
    old = resume_settings(stored, [])
    assert (old.search.prior_share, old.space.guess) == (0.0, {})


def test_the_guess_is_said_on_the_screen() -> None:
    settings = load_settings(["space=cnn2"])
    lines = prior_lines(read_space(settings), settings, WarmStart())
    assert lines[0].startswith("trial 0 is the space's guess: learning_rate=0.003, batch_size=32, augment=hospital")
    assert lines[1] == "random trials near it, before TPE's model: 1 of 3 (search.prior_share=0.5)"
    settings = load_settings(["space=cnn2", "search.searcher=random"])
    assert prior_lines(read_space(settings), settings, WarmStart())[1].startswith("random trials near it: 7 of 15")
    settings = load_settings(["space=plain2"])
    assert prior_lines(read_space(settings), settings, WarmStart()) == []
