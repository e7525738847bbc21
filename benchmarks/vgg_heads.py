"""Twenty heads on a frozen VGG16 x 15 epochs, features shared, cold and warm, against KerasTuner end to end.

`python -m benchmarks.vgg_heads --root FOLDER --weights vgg16_notop.weights.h5`; on the full set and 2 cores about 20
minutes a repeat, so an hour, nearly all of it for the peer's one epoch and for the extraction of our features; repeats
that were measured are kept in `build/repeats/`, and an interrupted benchmark resumes.

KerasTuner trains one trial for one epoch, validation included. Its time for all is scaled from that: the seconds from
the start of that trial's training to its end, times trials, times epochs; what its command takes before (imports,
decoding, weights) is added once. Ours is timed whole: from the start of the command to the end of the last trial.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.flops import TRAINING, VGG16_FEATURES, head_flops, vgg16_flops
from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Options, Quantity, Target
from benchmarks.peers.task import Task, make_task, read_outcome, write_task
from benchmarks.searches import data_words, fixed_words, listed_words, run_command, run_search

# 20 heads of the shipped space vgg2.
GRID: dict[str, list[Any]] = {"learning_rate": [0.01, 0.003, 0.001, 0.0003, 0.0001], "dense": [[], [64], [128], [256]]}
QUICK_GRID: dict[str, list[Any]] = {"learning_rate": [0.001], "dense": [[], [64]]}
FIXED: dict[str, Any] = {
    "backbone": "vgg16",
    "batch_size": 32,
    "augment": "none",
    "class_weights": "none",
    "frozen": "all",
    "pooling": "average",
    "dropout": 0.2,
}
# What the peer trains: one of the 20. The head's share of the time is nothing beside the backbone's.
PEER_GRID: dict[str, list[Any]] = {"learning_rate": [0.001]}
PEER_DENSE = [128]
PEER_FIXED: dict[str, Any] = {"learning_rate": 0.001, "dense": PEER_DENSE}
EPOCHS, QUICK_EPOCHS = 15, 2
SIZE, QUICK_SIZE = 224, 48
PARITY_SIZE = 64  # end to end at 224 pixels takes ten times as long and shows the same
COLD, WARM, SAME = Bound(1 / 50), Bound(1 / 500), Bound(1e-4)


@dataclass(frozen=True)
class Plan:
    """How large the benchmark is.

    Attributes:
        grid: what the heads differ in.
        epochs: of each.
        size: of the images, in pixels.
    """

    grid: Mapping[str, Sequence[Any]]
    epochs: int
    size: int

    @property
    def trials(self) -> int:
        """How many heads."""
        count = 1
        for values in self.grid.values():
            count *= len(values)
        return count


@dataclass(frozen=True)
class Ours:
    """One of our searches: seconds of its command, and those of them before the first epoch began."""

    seconds: float
    before: float


@dataclass(frozen=True)
class Epoch:
    """The peer's one epoch: seconds of its command before it began, and of the epoch itself."""

    before: float
    seconds: float


def measure(options: Options, machine: Machine) -> Measurement:
    """Cold, warm and the peer in turn, repeat by repeat."""
    plan = Plan(QUICK_GRID, QUICK_EPOCHS, QUICK_SIZE) if options.quick else Plan(GRID, EPOCHS, SIZE)
    with tempfile.TemporaryDirectory(prefix="xray-bench-") as folder:
        task = _peer_task(options, plan, Path(folder))

        def once(repeat: int) -> dict[str, Any]:
            cache = Path(folder, f"cache-{repeat}")
            cold = _time_ours(options, plan, cache, f"cold-{repeat}")
            warm = _time_ours(options, plan, cache, f"warm-{repeat}")
            peer = _time_peer(task, Path(folder))
            parity = _parity(options, plan, Path(folder), repeat)
            return {"cold": asdict(cold), "warm": asdict(warm), "peer": asdict(peer), "parity": parity}

        repeats = harness.repeated("vgg_heads", options, once)
    cold, warm = ([Ours(**repeat[way]) for repeat in repeats] for way in ("cold", "warm"))
    peer = [Epoch(**repeat["peer"]) for repeat in repeats]
    parity = [float(repeat["parity"]) for repeat in repeats]
    return summarize(cold, warm, peer, parity, plan, len(task.paths), machine)


def summarize(
    cold: Sequence[Ours],
    warm: Sequence[Ours],
    peer: Sequence[Epoch],
    parity: Sequence[float],
    plan: Plan,
    images: int,
    machine: Machine,
) -> Measurement:
    """The measurement that these make: seconds, and the losses' largest difference of features on and off."""
    scaled = Quantity("KerasTuner end to end, scaled", "s", tuple(scale(epoch, plan) for epoch in peer))
    return Measurement(
        question="What do the features of a frozen backbone save when they are computed once for all trials?",
        setting=f"{plan.trials} heads on a frozen VGG16 (learning rate x hidden layer), {plan.epochs} epochs, "
        f"{images:,} images of {plan.size} x {plan.size}, batches of {FIXED['batch_size']}, no augmentation. Cold: an "
        "empty cache, so images and features are made; warm: the same command again. The peer trained one trial for "
        f"one epoch, which is taken {plan.trials} x {plan.epochs} times; what its command takes before it, once.",
        comparisons=(
            Comparison(Quantity("ours, cold", "s", tuple(each.seconds for each in cold)), scaled, COLD),
            Comparison(Quantity("ours, warm", "s", tuple(each.seconds for each in warm)), scaled, WARM),
        ),
        targets=(
            Target(
                Quantity(f"a loss with features less the same end to end, {PARITY_SIZE} px", "", tuple(parity)), SAME
            ),
        ),
        others=(
            Quantity("ours, cold: before the first epoch", "s", tuple(each.before for each in cold)),
            Quantity("ours, warm: before the first epoch", "s", tuple(each.before for each in warm)),
            Quantity("KerasTuner, the one epoch measured", "s", tuple(epoch.seconds for epoch in peer)),
            Quantity("KerasTuner, before that epoch", "s", tuple(epoch.before for epoch in peer)),
        ),
        limited_by="cold: one pass of all images through VGG16; warm: what Keras does in a step beside the head's own "
        "arithmetic, and the start of the processes.",
        physical_limit=_physical_limit(plan, images, machine),
    )


def heads_flops(plan: Plan, images: int) -> int:
    """Operations of training all heads on the features of so many images."""
    learning_rates = len(plan.grid["learning_rate"])
    once = sum(head_flops(VGG16_FEATURES, tuple(dense), 2) for dense in plan.grid["dense"])
    return TRAINING * learning_rates * once * plan.epochs * images


def _physical_limit(plan: Plan, images: int, machine: Machine) -> str:
    speed = machine.gemm_gflops * 1e9
    backbone, heads = images * vgg16_flops(plan.size), heads_flops(plan, images)
    return (
        f"at the speed of a large matrix product ({machine.gemm_gflops:.0f} GFLOP/s) one pass of all images through "
        f"VGG16 takes {backbone / speed:.0f} s, and training the heads {heads / speed:.1f} s."
    )


def scale(epoch: Epoch, plan: Plan) -> float:
    """Seconds that the peer needs for all trials, by its one epoch."""
    return epoch.before + epoch.seconds * plan.trials * plan.epochs


def _time_ours(options: Options, plan: Plan, cache: Path, name: str) -> Ours:
    words = ["space=vgg2", *fixed_words(FIXED), *listed_words(plan.grid), f"weights={options.weights}"]
    words += ["search.searcher=grid", "search.scheduler=none", f"search.max_epochs={plan.epochs}"]
    words += [f"data.size={plan.size}", *data_words(options.root, cache)]
    search = run_search(words, cache.parent, name)
    return Ours(search.seconds, search.seconds - search.training_seconds)


def _parity(options: Options, plan: Plan, storage: Path, repeat: int) -> float:
    """The largest difference between the losses of one trial's epoch with features and the same end to end."""
    words = ["space=vgg2", *fixed_words({**FIXED, **PEER_FIXED}), f"weights={options.weights}"]
    words += ["search.scheduler=none", "search.num_trials=1", "search.max_epochs=1"]
    words += [f"data.size={min(PARITY_SIZE, plan.size)}", *data_words(options.root, storage / "parity-cache")]
    losses: list[list[Any]] = []
    for features in ("float32", "off"):
        (trial,) = run_search([*words, f"features={features}"], storage, f"parity-{repeat}-{features}").trials
        losses.append([trial.epochs[0].train_loss, trial.epochs[0].val_loss])
    return float(np.max(np.abs(np.subtract(losses[0], losses[1]))))


def _time_peer(task: Task, folder: Path) -> Epoch:
    write_task(task, folder / "task.json")
    started = time.time()
    outcome = read_outcome(run_command(["-m", "benchmarks.peers.keras_tuner_search", str(folder / "task.json")]))
    ((_, seconds),) = outcome.trials
    return Epoch(outcome.ended - started - seconds, seconds)


def _peer_task(options: Options, plan: Plan, folder: Path) -> Task:
    fixed = {**FIXED, "dense": PEER_DENSE}
    return make_task(options, folder, PEER_GRID, fixed, epochs=1, size=plan.size, weights=options.weights)


if __name__ == "__main__":
    harness.main(measure, __doc__)
