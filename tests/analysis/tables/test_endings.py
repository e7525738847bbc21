import pytest


def test_early_stopping_counts_epochs_spent_and_saved(run):
    table = run.table("early_stopping").set_index(["status", "ended_after"])
    assert table.loc[("stopped", 1), ["trials", "epochs_spent", "epochs_saved"]].tolist() == [1, 1, 3]
    assert table.loc[("diverged", 0), ["trials", "epochs_spent", "epochs_saved"]].tolist() == [1, 0, 4]
    assert table.loc[("failed", 1), "epochs_saved"] == 0
    total = table.iloc[-1]
    assert total[["trials", "epochs_spent", "epochs_saved"]].tolist() == [5, 10, 7]
    assert total["share_saved"] == pytest.approx(7 / 17)


def test_failures_have_their_reasons(run):
    table = run.table("failures")
    assert table[["trial", "status", "reason"]].to_numpy().tolist() == [
        [3, "failed", "its process <died>"],
        [4, "diverged", "loss is NaN"],
    ]
