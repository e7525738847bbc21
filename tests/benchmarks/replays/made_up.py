"""A small table whose curves are a formula: the closer a configuration is to the guess, the lower its loss."""

from benchmarks.curves.table import About, Curves
from benchmarks.replays.table import Table, table_of
from search.plan.searcher import build_searcher
from search.plan.words import load_settings
from search.record import FINISHED, TrialRecord
from tests.conftest import make_epoch

EPOCHS = 8


def made_up_curves(count: int = 48) -> Curves:
    words = ["space=cnn2", "search.searcher=random", "search.prior_share=0", f"search.num_trials={count}"]
    words += [f"search.max_epochs={EPOCHS}", "search.asha.grace_period=1", "train.epoch_images=8192"]
    settings = load_settings([*words, "search.scheduler=none"])
    plain = settings.to_dict()
    about = About(plain["space"], plain["search"], plain["train"], 64, 4_000, "abc", "a processor")
    space = Curves(about, ()).space
    searcher = build_searcher(space, settings)
    trials = []
    for number in range(count):
        parameters = searcher.suggest(number).parameters
        final = (
            abs(parameters["dropout"] - 0.3) + 50 * abs(parameters["learning_rate"] - 3e-3) + 0.1 * parameters["growth"]
        )
        wrong = 0.05 * ((number * 7) % 5)  # what the first epochs get wrong
        losses = [final + (0.5 + wrong) / epoch for epoch in range(1, EPOCHS + 1)]
        epochs = [
            make_epoch(epoch, loss, seconds=1.0 + number % 3, shifted_calibrated_loss=loss, val_auc=1 - loss / 4)
            for epoch, loss in enumerate(losses, 1)
        ]
        trials.append(TrialRecord(number, parameters, 0, EPOCHS, status=FINISHED, epochs=epochs))
    return Curves(about, tuple(trials))


def made_up_table(count: int = 48) -> Table:
    return table_of(made_up_curves(count))
