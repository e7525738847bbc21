"""Every way that is installed: it trains rows of the table, ends, repeats itself, and ours decides as a search does."""

import pytest

from benchmarks.replays.ours import OurRule
from benchmarks.replays.simulation import Course, Rule, Verdict, replay
from benchmarks.replays.table import Table, Untried
from benchmarks.replays.ways import OURS, WAYS, Way
from search.plan.asha import search_rungs
from tests.benchmarks.replays.made_up import EPOCHS, made_up_table

pytestmark = pytest.mark.filterwarnings("default")  # what other libraries warn of is theirs

METRICS = ("", "val_loss", "val_auc")  # that the made-up curves have
REPLAYED = [way for way in WAYS if way.metric in METRICS]


@pytest.fixture(scope="module")
def table() -> Table:
    return made_up_table(24)


class Watched:
    """A rule, the rows that it asked for, and how far it let each of them train."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self.asked, self.trained = rule, list[int | None](), dict[int, int]()

    def ask(self) -> int | None:
        self.asked.append(self.rule.ask())
        return self.asked[-1]

    def tell(self, row: int, epoch: int, score: float) -> Verdict:
        self.trained[row] = epoch
        return self.rule.tell(row, epoch, score)


def run(way: Way, table: Table, seed: int = 0, trainings: float = 10) -> tuple[Watched, Course]:
    rule = Watched(way.build(table, seed, 2))
    scores = table.scores(way.metric or table.metric)
    return rule, replay(table, rule, scores, 2, trainings * table.full_seconds / 2)


@pytest.mark.parametrize("way", REPLAYED, ids=lambda way: way.name)
def test_a_way_replays_and_repeats_itself(way: Way, table: Table) -> None:
    if not way.is_installed:
        pytest.skip(f"{way.package} is not installed")
    rule, course = run(way, table)
    assert len(rule.trained) > 3
    assert max(rule.trained.values()) == EPOCHS
    assert table.regrets[course.rows[-1]] < table.regrets.mean()
    assert run(way, table)[1] == course


def way_called(name: str) -> Way:
    return next(way for way in WAYS if way.name == name)


def test_names_are_unique() -> None:
    assert len({way.name for way in WAYS}) == len(WAYS)


def test_ours_stops_at_its_rungs_and_begins_at_the_guess(table: Table) -> None:
    rule, _ = run(way_called(OURS), table)
    rungs = search_rungs(table.settings.search)
    stopped = [epoch for epoch in rule.trained.values() if epoch < EPOCHS]
    assert len(stopped) > 4
    assert sum(epoch in rungs for epoch in stopped) >= len(stopped) - 2  # two train when the clock ends
    assert rule.asked[0] == Untried(table).take({**table.trials[0].parameters, **table.space.guess})


def test_without_asha_every_trial_of_ours_trains_to_its_end(table: Table) -> None:
    rule, _ = run(way_called("ours: random without ASHA"), table, trainings=6)
    lengths = list(rule.trained.values())
    assert lengths.count(EPOCHS) >= len(lengths) - 2 >= 3  # two train when the clock ends


def test_a_search_of_ours_ends_with_the_table(table: Table) -> None:
    settings = table.settings
    rule = Watched(OurRule(table, settings))
    replay(table, rule, table.scores(table.metric), 2, 1e9)
    assert rule.trained == dict.fromkeys(range(24), EPOCHS)  # the table's own search has no scheduler
