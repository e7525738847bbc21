"""Eight small CNNs x 3 epochs: our search, a plain Keras loop, KerasTuner and a plain Ray Tune trainable.

`python -m benchmarks.cnn_trials [--root FOLDER]`; on the full set and 2 cores about 20 minutes a repeat, so an hour;
repeats that were measured are kept in `build/repeats/`, and an interrupted benchmark resumes.

Peers run as their users run them: without `TF_ENABLE_ONEDNN_OPTS`, which is set for our own processes. Where TensorFlow
then leaves oneDNN off, they run a second time with the variable set.

Every side is a command, timed from its start to the end of its last trial: imports, decoding from the files (our cache
is empty), training, validation and each side's own checkpoints are included.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from benchmarks import harness
from benchmarks.flops import TRAINING, cnn_flops
from benchmarks.measurement import Bound, Comparison, Machine, Measurement, Options, Quantity
from benchmarks.peers.task import Task, make_task, read_outcome, write_task
from benchmarks.searches import data_words, fixed_words, listed_words, run_command, run_search
from data_pipeline.settings import DataSettings
from models import ONEDNN
from models.cnn import CnnConfig
from search.plan.spaces import model_settings

# Much like the shipped space plain2. Half of the trials have batch norm, where the published networks have it.
GRID: dict[str, list[Any]] = {"layers": [1, 2], "batch_norm": ["none", "conv"], "learning_rate": [0.001, 0.0001]}
FIXED = {
    "backbone": "cnn",
    "batch_size": 32,
    "augment": "none",
    "class_weights": "none",
    "filters": 8,
    "growth": 1.0,
    "kernel": 3,
    "dense": [16],
    "dropout": 0.2,
}
QUICK_GRID: dict[str, list[Any]] = {"layers": [1], "batch_norm": ["none", "conv"], "learning_rate": [0.001]}
EPOCHS = 3
OURS = "ours"
PEERS = {"keras_loop": "a plain Keras loop", "keras_tuner_search": "KerasTuner", "ray_tune": "plain Ray Tune"}
AS_USERS_DO, WITH_ONEDNN = "", " with oneDNN set"  # how a peer runs
WAYS = (AS_USERS_DO, WITH_ONEDNN)
# Where TensorFlow turns oneDNN on by itself, only the bound of peers that have it applies.
BOUND_WITHOUT, BOUND_WITH = Bound(0.15), Bound(0.4)


@dataclass(frozen=True)
class Timing:
    """One run of one side.

    Attributes:
        seconds: from the start of its command to the end of its last trial.
        norm_share: of the time that its trials took, the share of those with batch norm.
        startup: seconds before the first epoch began; known of ours alone, None of a peer.
    """

    seconds: float
    norm_share: float
    startup: float | None = None


def measure(options: Options, machine: Machine) -> Measurement:
    """Seconds of each side, in turn, repeat by repeat."""
    by_itself = _turns_onednn_on_by_itself()
    ways = (AS_USERS_DO,) if by_itself else WAYS
    with tempfile.TemporaryDirectory(prefix="xray-bench-") as folder:
        grid, epochs = (QUICK_GRID, 1) if options.quick else (GRID, EPOCHS)
        task = make_task(options, Path(folder), grid, FIXED, epochs, DataSettings().image.size)

        def once(repeat: int) -> dict[str, Any]:
            timings = {}
            for side in (OURS, *(f"{peer}{way}" for way in ways for peer in PEERS)):
                scratch = Path(folder, f"{side}-{repeat}")
                scratch.mkdir()
                onednn = by_itself or side.endswith(WITH_ONEDNN)
                found = _time_ours(options, task, scratch) if side == OURS else _time_peer(side, task, scratch, onednn)
                timings[side] = asdict(found)
            return timings

        repeats = harness.repeated("cnn_trials", options, once)
    timings = {side: [Timing(**repeat[side]) for repeat in repeats] for side in repeats[0]}
    return summarize(timings, task, machine, by_itself)


def summarize(
    timings: Mapping[str, Sequence[Timing]], task: Task, machine: Machine, onednn_by_itself: bool = True
) -> Measurement:
    """The measurement that the timings of each side make."""
    names = {OURS: OURS, **{f"{peer}{way}": f"{name}{way}" for peer, name in PEERS.items() for way in WAYS}}
    bounds = {
        side: BOUND_WITH if onednn_by_itself or side.endswith(WITH_ONEDNN) else BOUND_WITHOUT
        for side in timings
        if side != OURS
    }
    seconds = {side: Quantity(names[side], "s", tuple(each.seconds for each in timings[side])) for side in timings}
    shares = {side: tuple(100 * each.norm_share for each in timings[side]) for side in timings}
    return Measurement(
        question=f"How long do {len(task.trials)} CNN trials of {task.epochs} epochs take, and others for the same?",
        setting=f"{len(task.trials)} trials (layers x batch norm x learning rate), {len(task.train):,} images of "
        f"{task.size} x {task.size} train and {len(task.validation):,} validate, batches of "
        f"{task.fixed['batch_size']}, float32, no augmentation, no early stopping. From the start of each command to "
        "the end of its last trial: imports, decoding (empty cache), training, validation and the side's own "
        "checkpoints. Ours and Tune run a trial a core, the others one trial after the other on all cores.",
        comparisons=tuple(Comparison(seconds[OURS], seconds[peer], bound) for peer, bound in bounds.items()),
        others=(
            Quantity("ours: before the first epoch", "s", tuple(each.startup or 0.0 for each in timings[OURS])),
            *(
                Quantity(f"{names[side]}: share of its trials' time in those with batch norm", "%", values)
                for side, values in shares.items()
            ),
        ),
        limited_by="convolutions and their gradients on one thread a trial, max pooling and batch norm, which memory "
        "bounds, and the start of the processes.",
        physical_limit=_physical_limit(task, machine),
        notes=(
            "TensorFlow turns oneDNN on by itself on this CPU, so that the peers have it too."
            if onednn_by_itself
            else "TensorFlow leaves oneDNN off on this CPU unless the variable is set.",
            "Batch norm over feature maps is a kernel of our own, several times faster than Keras' layer.",
        ),
    )


def training_flops(task: Task) -> int:
    """Operations of all trials: training and validation."""
    images = TRAINING * len(task.train) + len(task.validation)
    shape = (task.size, task.size, 1)
    models = (cast(CnnConfig, model_settings(trial)) for trial in task.trials)
    return sum(task.epochs * images * cnn_flops(model, shape, 2) for model in models)


def _physical_limit(task: Task, machine: Machine) -> str:
    flops = training_flops(task)
    return (
        f"{flops / 1e12:.2f} x 10^12 operations at the speed of a large matrix product ({machine.gemm_gflops:.0f} "
        f"GFLOP/s): {flops / machine.gemm_gflops / 1e9:.0f} s."
    )


def _time_ours(options: Options, task: Task, scratch: Path) -> Timing:
    words = ["space=plain2", *fixed_words(task.fixed), *listed_words(task.grid), "train.precision=float32"]
    words += ["search.searcher=grid", "search.scheduler=none", f"search.max_epochs={task.epochs}"]
    search = run_search([*words, *data_words(options.root, scratch / "cache")], scratch, "cnn-trials")
    share = _norm_share([(trial.parameters, trial.busy_seconds) for trial in search.trials])
    return Timing(search.seconds, share, search.seconds - search.training_seconds)


def _time_peer(side: str, task: Task, scratch: Path, onednn: bool) -> Timing:
    peer = side.removesuffix(WITH_ONEDNN)
    write_task(task, scratch / "task.json")
    started = time.time()
    words = ["-m", f"benchmarks.peers.{peer}", str(scratch / "task.json")]
    # Peers load our `models`, which sets the variable where it is missing; so it is given either way.
    outcome = read_outcome(run_command(words, {ONEDNN: str(int(onednn))}))
    return Timing(outcome.ended - started, _norm_share(outcome.trials))


def _turns_onednn_on_by_itself() -> bool:
    asks = "from tensorflow.python.util import _pywrap_util_port as port; print(port.IsMklEnabled())"
    return run_command(["-c", asks], {ONEDNN: None}).split()[-1] == "True"


def _norm_share(trials: Sequence[tuple[dict[str, Any], float]]) -> float:
    """The share of the trials' seconds that those with batch norm took."""
    with_norm = sum(seconds for parameters, seconds in trials if parameters["batch_norm"] != "none")
    return with_norm / sum(seconds for _, seconds in trials)


if __name__ == "__main__":
    harness.main(measure, __doc__)
