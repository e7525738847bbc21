"""Effects of a factorial, worked out by hand."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

import analysis
from search.record import Evaluation, RunFolder, RunRecord, to_json

CLASSES = ("normal", "pneumonia")


def load_run(path, trials):
    """A run of one epoch a trial; `trials` are hyperparameters and a validation loss."""
    folder = RunFolder(str(path))
    folder.write_run(RunRecord("grid", 1.0, "", "val_loss", CLASSES, {}, {}, {}))
    events = []
    for number, (parameters, loss, status) in enumerate(trials):
        suggested = {"event": "suggested", "time": 1.0, "trial": number, "parameters": parameters, "seed": 1}
        metrics = {"epoch": 1, "seconds": 1.0, "time": 2.0, "val_loss": loss}
        events += [
            suggested | {"max_epochs": 4},
            {"event": "epoch", "time": 2.0, "trial": number, "metrics": metrics},
            {"event": "ended", "time": 3.0, "trial": number, "status": status, "reason": ""},
        ]
    folder.write("".join(to_json(event) + "\n" for event in events).encode(), "log", "1.jsonl")
    return analysis.load(folder)


def test_a_value_stands_against_the_first_with_all_else_equal(tmp_path):
    trials = [
        ({"augment": "none", "normalize": False, "dense": [8]}, 0.50, "finished"),
        ({"augment": "none", "normalize": True, "dense": [8]}, 0.40, "finished"),
        ({"augment": "strong", "normalize": False, "dense": [8]}, 0.42, "finished"),
        ({"augment": "strong", "normalize": True, "dense": [8]}, 0.30, "finished"),
        ({"augment": "hospital", "normalize": True, "dense": [8]}, 0.25, "finished"),
        ({"augment": "hospital", "normalize": False, "dense": [8]}, 0.10, "stopped"),
    ]
    table = load_run(tmp_path / "run", trials).table("effects").set_index(["hyperparameter", "value"])
    strong = table.loc[("augment", "strong")]
    assert (strong["against"], strong["pairs"]) == ("none", 2)
    assert strong["val_loss_difference"] == pytest.approx((-0.08 - 0.10) / 2)
    half = 12.7062 * np.std([-0.08, -0.10], ddof=1) / np.sqrt(2)
    assert strong["val_loss_difference_high"] == pytest.approx(-0.09 + half, abs=1e-5)
    hospital = table.loc[("augment", "hospital")]  # the stopped one is no pair
    assert (hospital["pairs"], hospital["val_loss_difference"]) == (1, pytest.approx(-0.15))
    assert np.isnan(hospital["val_loss_difference_low"])
    assert table.loc[("normalize", "yes"), "val_loss_difference"] == pytest.approx((-0.10 - 0.12) / 2)
    assert "dense" not in table.index.get_level_values("hyperparameter")


def test_p_values_are_corrected_for_all_tests_of_the_table(tmp_path):
    losses = {  # of augment and normalize, two seeds each: the first always helps, the second never alike
        ("none", False): (0.50, 0.51),
        ("none", True): (0.52, 0.48),
        ("strong", False): (0.40, 0.42),
        ("strong", True): (0.43, 0.37),
    }
    trials = [
        ({"augment": augment, "normalize": normalize, "width": width}, loss, "finished")
        for (augment, normalize), pair in losses.items()
        for width, loss in zip((8, 16), pair, strict=True)
    ]
    run = load_run(tmp_path / "run", trials)
    table = run.table("effects").set_index("hyperparameter")
    expected = {
        "augment": ttest_1samp([-0.10, -0.09, -0.09, -0.11], 0).pvalue,
        "normalize": ttest_1samp([0.02, -0.03, 0.03, -0.05], 0).pvalue,
        "width": ttest_1samp([0.01, -0.04, 0.02, -0.06], 0).pvalue,
    }
    assert table["val_loss_p"].to_dict() == pytest.approx(expected)
    assert table.loc["augment", "val_loss_holm"] == pytest.approx(3 * expected["augment"])
    assert table.loc["augment", "val_loss_fdr"] == pytest.approx(3 * expected["augment"])
    assert table.loc["normalize", "val_loss_holm"] == pytest.approx(
        min(1.0, max(2 * expected["width"], expected["normalize"]))
    )

    scored = [Evaluation(n, "test", "best", 1, 10, 0.5, auc, 0.5, auc, None, None, []) for n, auc in enumerate(AUCS)]
    run.folder.write("".join(to_json(entry) + "\n" for entry in scored).encode(), "evaluation.jsonl")
    more = analysis.load(run.folder).table("effects").set_index("hyperparameter")
    assert more["test_auc_p"].notna().all()
    assert more.loc["augment", "val_loss_holm"] == pytest.approx(9 * expected["augment"])  # accuracy and AUC too


AUCS = (0.5, 0.6, 0.7, 0.5, 0.6, 0.8, 0.5, 0.7)  # of no pattern


def test_without_pairs_there_is_nothing_to_say(tmp_path):
    trials = [({"a": 1, "b": 1}, 0.5, "finished"), ({"a": 2, "b": 2}, 0.4, "finished")]
    assert load_run(tmp_path / "run", trials).table("effects").empty


def test_values_sampled_from_a_range_are_not_set_against_each_other(tmp_path):
    trials = [({"learning_rate": 0.001 * n, "augment": "none"}, 0.5, "finished") for n in range(1, 12)]
    assert load_run(tmp_path / "run", trials).table("effects").empty


def test_outside_sets_are_compared_too(tmp_path):
    run = load_run(tmp_path / "run", [({"pooling": name}, 0.5, "finished") for name in ("flatten", "average")])
    scored = [
        Evaluation(n, "adults", "best", 1, 10, 0.5, 0.5, 0.5, auc, None, None, []) for n, auc in ((0, 0.5), (1, 0.3))
    ]
    run.folder.write("".join(to_json(entry) + "\n" for entry in scored).encode(), "evaluation.jsonl")
    table = analysis.load(run.folder).table("effects")
    assert table["adults_auc_difference"].tolist() == pytest.approx([-0.2])
