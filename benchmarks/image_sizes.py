"""Whether a trial's first rung may have smaller images: how well those rank it as its end with the space's own does.

`python -m benchmarks.image_sizes`; on 2 cores a quarter of an hour beside the searches of `benchmarks.first_rung`, half
an hour more without them. Both searches have the same configurations and stay in `build/first_rung/`. No test image is
opened.
"""

from benchmarks import harness
from benchmarks.first_rung import NOW, WAYS, Curves, kept_curves, rank_quantity, scores
from benchmarks.measurement import Bound, Machine, Measurement, Options, Quantity, Target
from search.plan.words import load_settings

SMALL = 64  # pixels; below 64 a network of six blocks, which the space has, cannot be built


def measure(options: Options, machine: Machine) -> Measurement:
    """The same random trials with both sizes, each to its end."""
    own, small = (kept_curves(WAYS[0], size, options.root, options.quick) for size in (None, SMALL))
    return summarize(own, small, load_settings(["space=cnn2"]).data.size)


def summarize(own: Curves, small: Curves, size: int) -> Measurement:
    """The measurement that the curves of both sizes make.

    Args:
        own: with the space's own size.
        small: of the same configurations, in the same order.
        size: the space's own, in pixels.
    """
    rung, last = own.rung, max(len(trial.epochs) for trial in own.trials)
    as_long = min(last, round(rung * (size / SMALL) ** 2))
    _, ends = scores(own.trials, NOW, last)

    def quantity(pixels: int, curves: Curves, epoch: int) -> Quantity:
        early, _ = scores(curves.trials, NOW, epoch)
        return rank_quantity(f"{pixels} pixels, after epoch {epoch}", early, ends)

    found = {
        (pixels, epoch): quantity(pixels, curves, epoch)
        for pixels, curves, epochs in ((SMALL, small, (1, rung, as_long, last)), (size, own, (1, rung)))
        for epoch in epochs
    }
    gain = found[SMALL, as_long].median - found[size, rung].median
    name = f"{SMALL} pixels after epoch {as_long} less {size} pixels after epoch {rung}"
    return Measurement(
        question="Do smaller images foretell a trial's end sooner than its own first epochs do (Spearman)?",
        setting=f"Space cnn2, {len(own.trials)} random trials with the space's own {size} pixels, and again with "
        f"{SMALL}, trained to their end, one seed. Told is how well the best score of a trial's first epochs ranks it "
        f"as its best at {size} pixels does. Compared are the first rung of `auto` and as many pixels of small images.",
        targets=(Target(Quantity(name, "", (gain,)), Bound(0.0, at_most=False)),),
        others=tuple(found.values()),
        notes=(
            "Brackets hold the 95 % interval over resampled trials.",
            "What a change of the size in the middle of a training does to it was not measured.",
        ),
        limited_by="the noise of the ends: one configuration with two seeds does not end twice at the same score.",
        physical_limit="1, if the first epochs told the end.",
    )


if __name__ == "__main__":
    harness.main(measure, __doc__, repeats=1)
