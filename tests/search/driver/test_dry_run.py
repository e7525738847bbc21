import pytest

from search.driver.dry_run import dry_run
from search.plan.spaces import read_space
from search.plan.words import load_settings


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["space=plain2", "search.num_trials=7"], ("7 trials will run", "smallest model", "train ")),
        (["space=report2"], ("table1/1", "parameters")),
        (["train.epoch_images=200"], ("an epoch is one of ", " parts of a pass, about ", "grace_period ")),
        (
            ["space=cnn2"],
            ("trial 0 is the space's guess: learning_rate=0.003", "near it, before TPE's model: 1 of 3"),
        ),
        (["space=vgg2"], ("computed once for all trials: features of vgg16",)),
    ],
)
def test_a_dry_run_says_what_would_be_done(
    words: list[str], lines: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(words)
    assert dry_run(settings, read_space(settings)) == 0
    printed = capsys.readouterr().out
    for line in (*lines, "Dry run: nothing was started."):
        assert line in printed
