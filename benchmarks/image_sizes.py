"""Whether a trial's first rung may have smaller images: how well those rank it as its end with the space's own does.

`python -m benchmarks.image_sizes`; on 2 cores ten minutes beside the searches of `benchmarks.first_rung`, half an hour
more without them. Both searches have the same configurations and stay in `build/first_rung/`. No test image is opened.
"""

import statistics
from collections.abc import Sequence

from benchmarks import harness
from benchmarks.first_rung import NOW, Curves, correlation, interval, kept_curves, scores
from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Options, Quantity
from search.record import TrialRecord

SMALL = 48  # pixels, half of the space's own


def measure(options: Options, machine: Machine) -> Measurement:
    """The same random trials with both sizes, each to its end."""
    own = kept_curves("now", (), options.root, options.quick)
    small = kept_curves(f"{SMALL}px", [f"data.size={SMALL}"], options.root, options.quick)
    return summarize(own, small)


def summarize(own: Curves, small: Curves) -> Measurement:
    """The measurement that the curves of both sizes make.

    Args:
        own: with the space's own size.
        small: of the same configurations, in the same order.
    """
    rung, last = own.rung, max(len(trial.epochs) for trial in own.trials)
    _, ends = scores(own.trials, NOW, last)

    def quantity(name: str, curves: Curves, epoch: int) -> Quantity:
        early, _ = scores(curves.trials, NOW, epoch)
        low, high = interval(early, ends)
        return Quantity(f"{name}, after epoch {epoch}", "", (low, correlation(early, ends), high))

    whole, half = "own size", f"{SMALL} pixels"
    return Measurement(
        question="Do smaller images foretell a trial's end as well as its own first epochs do (Spearman)?",
        setting=f"Space cnn2, {len(own.trials)} random trials with the space's own size, 96 pixels, and again with "
        f"{SMALL}, trained to their end, one seed. Told is how well the best score of a trial's first epochs ranks it "
        "as its best at 96 pixels does. Compared are a whole training with a quarter of the pixels and the first rung "
        "of `auto`, a quarter of a training.",
        comparisons=(Comparison(quantity(half, small, last), quantity(whole, own, rung), Bound(1.0, at_most=False)),),
        others=(
            quantity(half, small, rung),
            quantity(half, small, 1),
            quantity(whole, own, 1),
            Quantity(f"{half}: an epoch", "s", (_seconds(small.trials),)),
            Quantity(f"{whole}: an epoch", "s", (_seconds(own.trials),)),
        ),
        notes=(
            "Brackets hold the 95 % interval over resampled trials.",
            "What a change of the size in the middle of a training does to it was not measured.",
        ),
        limited_by="the noise of the ends: one configuration with two seeds does not end twice at the same score.",
        physical_limit="1, if the first epochs told the end.",
    )


def _seconds(trials: Sequence[TrialRecord]) -> float:
    """The median over all epochs of all trials."""
    return statistics.median(epoch.seconds for trial in trials for epoch in trial.epochs)


if __name__ == "__main__":
    harness.main(measure, __doc__, repeats=1)
