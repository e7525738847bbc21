from dataclasses import replace

import numpy as np
import pytest

from analysis.claims import CLAIMS
from analysis.claims.evidence import bearing_runs
from analysis.claims.rules import FAILS, HOLDS, UNDECIDED
from analysis.claims.verdicts import judge_claim, judge_claims, published_effect
from tests.analysis.claims.replayed import replays, write_run

BY_ID = {claim.id: claim for claim in CLAIMS}


def test_the_reports_own_effects():
    assert published_effect(BY_ID["larger_batch_helps"]) == pytest.approx(0.02)
    assert published_effect(BY_ID["learning_rate_too_high"]) == pytest.approx(9.996 - 0.5157)
    assert published_effect(BY_ID["augmentation_helps_3"]) == pytest.approx((-0.012 + 0.084) / 2)
    assert published_effect(BY_ID["deeper_resnets_do_better"]) == pytest.approx(0.375 - 0.671)
    assert np.isnan(published_effect(BY_ID["dropout_helps"]))


def test_seeds_are_paired_where_there_are_three(tmp_path):
    claim = BY_ID["larger_batch_helps"]
    first, second = replays("table1/2", [0.1, 0.12, 0.14]), replays("table1/4", [0.2, 0.24, 0.22])
    verdict = judge_claim(claim, [write_run(tmp_path / "run", first + second)])
    # Differences 0.10, 0.12, 0.08: mean 0.10, standard error 0.02 / sqrt(3), t(2) = 4.3027.
    assert verdict.effect == pytest.approx(0.10)
    assert verdict.effect_low == pytest.approx(0.10 - 4.302653 * 0.02 / np.sqrt(3))
    assert (verdict.verdict, verdict.trials) == (HOLDS, 6)
    assert "3 seeds" in verdict.basis
    reversed_claim = replace(claim, pairs=(("table1/4", "table1/2"),))
    assert judge_claim(reversed_claim, [write_run(tmp_path / "again", first + second)]).verdict == FAILS


def test_seeds_that_disagree_leave_a_claim_undecided(tmp_path):
    trials = replays("table1/2", [0.1, 0.3, 0.1]) + replays("table1/4", [0.2, 0.1, 0.2])
    assert judge_claim(BY_ID["larger_batch_helps"], [write_run(tmp_path / "run", trials)]).verdict == UNDECIDED


def test_one_seed_is_bootstrapped_over_its_images(tmp_path):
    trials = replays("table1/2", [0.1]) + replays("table1/4", [0.3])
    verdict = judge_claim(BY_ID["larger_batch_helps"], [write_run(tmp_path / "run", trials)])
    assert verdict.effect == pytest.approx(0.2)
    # 40 of 200 images differ: standard error sqrt(0.2 x 0.8 / 200) = 0.028.
    assert (verdict.effect_low, verdict.effect_high) == pytest.approx((0.2 - 0.055, 0.2 + 0.055), abs=0.008)
    assert verdict.verdict == HOLDS
    assert "what another seed would give is not in the interval" in verdict.basis


def test_images_of_one_patient_widen_the_interval(tmp_path):
    claim, trials = BY_ID["larger_batch_helps"], replays("table1/2", [0.1]) + replays("table1/4", [0.3])
    alone = judge_claim(claim, [write_run(tmp_path / "alone", trials)])
    # 40 images that differ are of 2 of 10 patients: standard error sqrt(0.2 x 0.8 / 10) = 0.126.
    few = judge_claim(claim, [write_run(tmp_path / "few", trials, per_patient=20)])
    assert few.effect == alone.effect
    assert few.effect_high - few.effect_low > 3 * (alone.effect_high - alone.effect_low)
    assert "10 patients of 200 test images" in few.basis
    assert few.verdict == UNDECIDED


def test_rows_of_two_runs_are_compared_on_the_images_they_share(tmp_path):
    runs = [
        write_run(tmp_path / "a", replays("table1/2", [0.1])),
        write_run(tmp_path / "b", replays("table1/4", [0.3])),
    ]
    assert judge_claim(BY_ID["larger_batch_helps"], runs).effect == pytest.approx(0.2)


def test_a_loss_saved_is_a_gain(tmp_path):
    trials = replays("table1/2", [0.0]) + replays("table1/1", [1.0])
    verdict = judge_claim(BY_ID["learning_rate_too_high"], [write_run(tmp_path / "run", trials)])
    assert verdict.effect == pytest.approx(np.log(0.8) - np.log(0.2), rel=1e-4)
    assert verdict.verdict == HOLDS


def test_too_few_images_or_no_test_scores_are_undecided(tmp_path):
    claim = BY_ID["larger_batch_helps"]
    trials = replays("table1/2", [0.0]) + replays("table1/4", [1.0])
    few = judge_claim(claim, [write_run(tmp_path / "few", trials, images=50)])
    assert (few.verdict, "fewer than 100" in few.basis) == (UNDECIDED, True)
    unscored = [{"row": "table1/2"}, {"row": "table1/4"}]
    verdict = judge_claim(claim, [write_run(tmp_path / "unscored", unscored)])
    assert (verdict.verdict, "not evaluated" in verdict.basis) == (UNDECIDED, True)


@pytest.mark.parametrize(("seeds", "p_value"), [(1, 1.0), (3, 0.1), (5, 2 / 252)])
def test_a_row_that_diverges_with_enough_seeds_has_failed(tmp_path, seeds, p_value):
    claim = BY_ID["learning_rate_too_high"]  # table1/2 is better than table1/1
    kept, lost = [0.1] * seeds, [{"status": "diverged", "seed": seed} for seed in range(seeds)]
    for name, good, bad, expected in (("a", "table1/2", "table1/1", HOLDS), ("b", "table1/1", "table1/2", FAILS)):
        run = write_run(tmp_path / name, [*replays(good, kept), *({"row": bad} | each for each in lost)])
        verdict = judge_claim(claim, [run])
        assert verdict.verdict == (expected if seeds == 5 else UNDECIDED)
        assert verdict.p_value == pytest.approx(p_value)
        assert f"all {seeds} trials of the {'second' if name == 'a' else 'first'} diverged" in verdict.basis
        assert "Fisher" in verdict.basis


def test_a_claim_on_every_pair_is_refuted_by_chance_more_often_than_one_on_a_single_pair(tmp_path):
    # Model 6 is behind two of seven models: the smaller p value, times seven.
    wrong = dict.fromkeys(range(1, 9), 0.4) | {1: 0.2, 2: 0.3}
    trials = [trial for row, share in wrong.items() for trial in replays(f"table2/{row}", [share])]
    run = write_run(tmp_path / "run", trials, classes=("normal", "bacterial", "viral"))
    best = BY_ID["batch_norm_with_augmentation_is_best"]
    alone = judge_claim(replace(best, pairs=(("table2/6", "table2/1"),)), [run])
    together = judge_claim(best, [run])
    assert alone.verdict == together.verdict == FAILS
    assert together.p_value == pytest.approx(7 * alone.p_value)


def test_rows_that_diverge_now_and_then_are_never_favoured(tmp_path):
    claim = BY_ID["learning_rate_too_high"]  # table1/2 is better than table1/1
    lost = {"status": "diverged", "seed": 13}
    good, bad = replays("table1/2", [0.1, 0.12, 0.14]), replays("table1/1", [0.5, 0.52, 0.51])
    verdict = judge_claim(claim, [write_run(tmp_path / "worse", [*good, *bad, {"row": "table1/1", **lost}])])
    assert (verdict.verdict, verdict.trials) == (HOLDS, 7)
    assert "3 seeds" in verdict.basis
    assert "1 of 4 trials of the second diverged" in verdict.basis
    verdict = judge_claim(claim, [write_run(tmp_path / "better", [*good, *bad, {"row": "table1/2", **lost}])])
    assert verdict.verdict == UNDECIDED
    assert "1 of 4 trials of the first diverged" in verdict.basis


def test_only_runs_of_the_reports_classes_on_one_set_of_images_bear_on_it(tmp_path):
    claim = BY_ID["larger_batch_helps"]
    small = {"fingerprint": "a", "counts": {"train": [300, 300]}}
    large = {"fingerprint": "b", "counts": {"train": [3000, 2000]}}
    sample = write_run(tmp_path / "sample", replays("table1/2", [0.5]) + replays("table1/4", [0.1]), data=small)
    full = write_run(tmp_path / "full", replays("table1/2", [0.1]) + replays("table1/4", [0.3]), data=large)
    assert judge_claim(claim, [sample, full]).effect == pytest.approx(0.2)
    assert judge_claim(claim, [sample]).effect == pytest.approx(-0.4)
    own = write_run(tmp_path / "own", search_trials(12, "none", 0.9, 0), classes=("cat", "dog"))
    assert bearing_runs([own], 2) == []
    assert {verdict.trials for verdict in judge_claims([own])} == {0}
    assert bearing_runs([full], 2) == [full]
    full.record.config["data"] = {"task": "multilabel"}  # its findings may have the names of the report's classes
    assert bearing_runs([full], 2) == []


def test_a_claim_on_every_pair_needs_them_all(tmp_path):
    claim = BY_ID["deeper_resnets_do_better"]
    rising = replays("table4/1", [0.5]) + replays("table4/2", [0.3]) + replays("table4/3", [0.1])
    verdict = judge_claim(claim, [write_run(tmp_path / "rising", rising)])
    assert (verdict.verdict, verdict.trials) == (HOLDS, 3)  # the middle row is in both pairs
    as_published = replays("table4/1", [0.33]) + replays("table4/2", [0.62]) + replays("table4/3", [0.08])
    verdict = judge_claim(claim, [write_run(tmp_path / "published", as_published)])
    assert (verdict.verdict, verdict.effect) == (FAILS, pytest.approx(-0.29))
    missing = replays("table4/1", [0.5]) + replays("table4/2", [0.3])
    assert judge_claim(claim, [write_run(tmp_path / "missing", missing)]).basis == "no trial bears on it"


def test_a_claim_about_epochs_needs_several_seeds(tmp_path):
    claim, classes = BY_ID["batch_norm_overfits"], ("normal", "bacterial", "viral")
    calm = [{"row": "table2/1", "seed": seed, "val_loss": 0.6 + seed / 100} for seed in range(3)]
    steep = [{"row": "table2/4", "seed": seed, "val_loss": 1.5} for seed in range(3)]
    verdict = judge_claim(claim, [write_run(tmp_path / "three", calm + steep, classes)])
    # The training loss is the same in both: gaps differ by 0.90, 0.89 and 0.88.
    assert (verdict.verdict, verdict.effect) == (HOLDS, pytest.approx(0.89))
    assert np.isnan(verdict.published)
    verdict = judge_claim(claim, [write_run(tmp_path / "two", calm[:2] + steep[:2], classes)])
    assert (verdict.verdict, verdict.trials) == (UNDECIDED, 4)
    assert "2 shared seeds, fewer than 3" in verdict.basis


def test_random_weights_decide_nothing(tmp_path):
    backbone = {"parameters": {"backbone": "resnet152v2"}}
    complex_one = [trial | backbone for trial in replays("table4/3", [0.3, 0.3, 0.31])]
    trials = replays("table1/6", [0.1, 0.11, 0.1]) + complex_one
    run = write_run(tmp_path / "run", trials)
    claim = BY_ID["simple_model_matches_resnet"]
    assert judge_claim(claim, [run]).verdict == HOLDS
    random = replace(run, record=replace(run.record, config={"weights": "none"}))
    verdict = judge_claim(claim, [random])
    assert (verdict.verdict, verdict.trials) == (UNDECIDED, 6)
    assert verdict.effect == pytest.approx(0.2, abs=0.01)
    assert np.isnan(verdict.p_value)
    assert "random weights" in verdict.basis


def test_the_mean_over_pairs_counts_where_one_would_do(tmp_path):
    # Augmentation: 2 against 1 gains nothing, 8 against 5 gains 0.2.
    rows = {"table2/2": 0.2, "table2/1": 0.2, "table2/8": 0.1, "table2/5": 0.3}
    trials = [trial for row, wrong in rows.items() for trial in replays(row, [wrong])]
    run = write_run(tmp_path / "run", trials, classes=("normal", "bacterial", "viral"))
    verdict = judge_claim(BY_ID["augmentation_helps_3"], [run])
    assert (verdict.effect, verdict.verdict) == (pytest.approx(0.1), HOLDS)


def search_trials(count, augment, accuracy, seed):
    drawn = np.random.default_rng(seed).normal(accuracy, 0.02, count)
    return [{"parameters": {"augment": augment}, "val_accuracy": float(value)} for value in drawn]


def test_trials_of_a_search_bear_on_a_claim_where_no_row_was_replayed(tmp_path):
    claim = BY_ID["augmentation_hurts_2"]
    run = write_run(tmp_path / "run", search_trials(12, "none", 0.9, 0) + search_trials(12, "strong", 0.8, 1))
    verdict = judge_claim(claim, [run])
    assert (verdict.verdict, verdict.measure, verdict.trials) == (HOLDS, "validation accuracy", 24)
    assert np.isnan(verdict.published)  # the report's own numbers are of its test set
    assert verdict.effect == pytest.approx(0.1, abs=0.02)
    few = write_run(tmp_path / "few", search_trials(9, "none", 0.9, 0) + search_trials(12, "strong", 0.8, 1))
    verdict = judge_claim(claim, [few])
    assert (verdict.verdict, "fewer than 10" in verdict.basis) == (UNDECIDED, True)


def test_every_claim_is_undecided_without_trials(tmp_path):
    verdicts = judge_claims([write_run(tmp_path / "run", [])])
    assert len(verdicts) == len(CLAIMS)
    assert {verdict.verdict for verdict in verdicts} == {UNDECIDED}
    assert {verdict.trials for verdict in verdicts} == {0}


def test_a_claim_that_holds_alone_is_undecided_among_many(tmp_path):
    # Of one seed each, so that the interval is over images: some claims by a little, one by a lot.
    rows = {"table1/2": 0.2, "table1/1": 0.9, "table1/3": 0.23, "table1/4": 0.23, "table1/5": 0.23, "table1/6": 0.23}
    run = write_run(tmp_path / "run", [trial for row, wrong in rows.items() for trial in replays(row, [wrong])])
    alone = {claim.id: judge_claim(claim, [run]) for claim in CLAIMS}
    together = {verdict.id: verdict for verdict in judge_claims([run])}
    little, much = "larger_batch_helps", "learning_rate_too_high"
    assert alone[little].verdict == alone[much].verdict == HOLDS
    assert together[much].verdict == HOLDS
    assert together[much].p_value < together[much].p_holm < 0.05
    tested = np.isfinite([verdict.p_value for verdict in together.values()]).sum()
    assert tested >= 4
    assert together[little].p_holm >= together[little].false_discovery >= together[little].p_value
    assert (together[little].verdict == UNDECIDED) == (together[little].p_holm >= 0.05)
