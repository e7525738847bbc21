"""When a claim about GPUs holds, by a search's records and by what it said. No search is run here."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.gpu.bench import ending, images_per_second, most_side_by_side
from benchmarks.measurement import Quantity
from search import record
from search.record import TrialRecord

_NOT_COMPARED = ("seconds", "memory_mb", "time")  # of an epoch: two undisturbed searches differ in them


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        holds: whether the claim does; None where it could not be tried.
        result: a sentence or two.
        quantities: what was measured.
    """

    holds: bool | None
    result: str
    quantities: tuple[Quantity, ...] = ()


@dataclass(frozen=True)
class Share:
    """What a search said of the GPU that a trial gets.

    Attributes:
        gpu: share of one.
        peak_mb: memory that the largest model took; 0 where it was not measured.
        needed_mb: memory that the plan gives each trial; 0 where it was not measured.
        reason: in its own words.
    """

    gpu: float
    peak_mb: float
    needed_mb: float
    reason: str


def read_share(said: str) -> Share:
    """The share of a GPU that a search says its trials get.

    Raises:
        RuntimeError: it says none.
    """
    line = re.search(r"^([\d.]+) GPU a trial: (.*)$", said, re.MULTILINE)
    if line is None or not float(line[1]):
        raise RuntimeError(f"A search with a GPU says the share that a trial gets. It said:\n{said[-1000:]}")
    took = re.search(r"the largest model took ([\d,]+) MB; with a fifth more and (\d+) MB for CUDA", line[2])
    if took is None:
        return Share(float(line[1]), 0.0, 0.0, line[2])
    peak = float(took[1].replace(",", ""))
    return Share(float(line[1]), peak, 1.2 * peak + float(took[2]), line[2])


def judge_shared(trials: Sequence[TrialRecord], share: Share, rise_mb: float, images: int) -> Finding:
    """Whether all trials trained side by side, within their share.

    Args:
        trials: of a search that was to train all of them at a time.
        share: of each.
        rise_mb: by which the memory in use on the card rose for each; 0 where it was not read.
        images: that each trains on.
    """
    finished = [trial for trial in trials if trial.status == record.FINISHED]
    together = most_side_by_side(finished) if finished else 0
    speed = sum(images_per_second(trial, images) for trial in finished)
    took = f" The memory in use rose by {rise_mb:,.0f} MiB a trial; the plan has {share.needed_mb:,.0f}."
    return Finding(
        len(finished) == len(trials) == together and (not share.needed_mb or rise_mb <= share.needed_mb),
        f"{len(finished)} of {len(trials)} trials finished, {together} at the same time. Each got {share.gpu:g} GPU: "
        f"{share.reason}.{took if rise_mb else ''}{_unfinished(trials)}",
        (
            Quantity(f"{len(trials)} trials together", "images/s", (speed,)),
            Quantity("memory of the largest model's tensors", "MiB", (share.peak_mb,)),
            *((Quantity("memory in use, a trial", "MiB", (rise_mb,)),) if rise_mb else ()),
        ),
    )


def judge_too_large(trials: Sequence[TrialRecord]) -> Finding:
    """Whether every second trial, which is too large, failed with a clear sentence, and the others finished."""
    small, large = trials[::2], trials[1::2]
    finished = all(trial.status == record.FINISHED for trial in small)
    said = all(trial.status == record.FAILED and "must fit into memory" in trial.reason for trial in large)
    return Finding(
        finished and said,
        f"The small trials {'' if finished else 'have not all '}finished. Too large: {' '.join(map(ending, large))}",
    )


def judge_resumed(
    whole: Sequence[TrialRecord],
    resumed: Sequence[TrialRecord],
    logged: Sequence[tuple[int, int]],
    must_be_equal: bool,
) -> Finding:
    """Whether a resumed search lost and repeated nothing, and where it must, has the records of an undisturbed one.

    Args:
        whole: trials of the undisturbed search.
        resumed: trials of the one that was killed.
        logged: trial and number of each epoch that it recorded.
        must_be_equal: whether the numbers must be.
    """
    finished = [trial.status for trial in resumed] == [record.FINISHED] * len(whole)
    once, gap = len(set(logged)) == len(logged), largest_gap(whole, resumed)
    equal = gap == 0 and comparable(whole) == comparable(resumed)
    what = "all numbers are equal" if equal else f"the losses differ by up to {gap:.2g}"
    return Finding(
        finished and once and (equal or not must_be_equal),
        f"Killed and resumed: {'every trial finished' if finished else 'not every trial finished'}, "
        f"{'no epoch was' if once else 'epochs were'} recorded twice; beside an undisturbed search {what}."
        f"{_unfinished(resumed)}",
        (Quantity("largest difference of a loss", "", (gap,)),),
    )


def comparable(trials: Sequence[TrialRecord]) -> list[object]:
    """What two searches of the same settings must share: everything but times, memory and processes."""
    return [
        (
            trial.number,
            trial.parameters,
            trial.seed,
            trial.status,
            [_without(asdict(epoch), _NOT_COMPARED) for epoch in trial.epochs],
        )
        for trial in trials
    ]


def largest_gap(whole: Sequence[TrialRecord], resumed: Sequence[TrialRecord]) -> float:
    """The largest difference between the losses of the same epochs of two searches."""
    pairs = [
        (one, other)
        for first, second in zip(whole, resumed, strict=False)
        for one, other in zip(first.epochs, second.epochs, strict=False)
    ]
    losses = [(one.train_loss, other.train_loss) for one, other in pairs]
    losses += [(one.val_loss, other.val_loss) for one, other in pairs]
    return max((0.0 if one == other else abs(number(one) - number(other)) for one, other in losses), default=0.0)


def number(loss: float | None) -> float:
    """The loss; infinite where a trial diverged."""
    return math.inf if loss is None else loss


def _unfinished(trials: Sequence[TrialRecord]) -> str:
    return "".join(f" Not finished: {ending(trial)}" for trial in trials if trial.status != record.FINISHED)


def _without(values: Mapping[str, object], names: Sequence[str]) -> dict[str, object]:
    return {name: value for name, value in values.items() if name not in names}
