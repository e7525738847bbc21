"""A race on the wall clock: our bare command beside other searches, each for ten minutes on the same images.

`python -m benchmarks.race --root FOLDER`; a repeat is a seed. On 2 cores six sides with three seeds take three hours
and a half. Each side's folder is kept in `build/race/`, so that an interrupted race goes on with the next side, and its
standings in `benchmarks/race_laps.json`, so that seeds may be added later or elsewhere: remove both when training has
changed. The picture needs Chrome or Chromium (plotly's kaleido).

Ours is `python -m search.run space=cnn2 search.time_budget=10m`. Peers search the space of cnn2 as their documentation
recommends (`benchmarks/peers/race_*.py`; `pip install .[bench]`) and are stopped after ten minutes. All have oneDNN,
which makes training several times faster where TensorFlow leaves it off. The clock starts with the command: imports and
decoding count. Test images are opened when all sides have run. A peer that fails, or is not installed, is left out of
the result, which says why; the next command tries it again.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.checkout import ROOT, code_commit
from benchmarks.chosen import KEPT, NO_MODEL, RUN, Standing, keep_best, standings
from benchmarks.measurement import Bound, Machine, Measurement, Options, Quantity, Target
from benchmarks.peers.race_task import make_race_task
from benchmarks.peers.task import write_task
from benchmarks.searches import data_words
from models import ONEDNN
from search.plan.words import load_settings
from search.record import counted

SEEDS = 3
MINUTES, QUICK_MINUTES = 10.0, 1.0
SHARES = tuple(part / 20 for part in range(1, 21))  # of the time, at which the sides are compared
EARLY, HALF, END = 0.25, 0.5, 1.0  # those that are told
SPACE = "space=cnn2"
OURS = "ours"
# By the name of each: its command.
PEERS: dict[str, tuple[str, ...]] = {
    "KerasTuner Hyperband": ("race_keras_tuner", "hyperband"),
    "KerasTuner BayesianOptimization": ("race_keras_tuner", "bayesian"),
    "Optuna": ("race_optuna",),
    "Ray Tune": ("race_ray_tune",),
    "AutoKeras": ("race_autokeras",),
}
PICTURE = "race.svg"
_ENDED, _STANDINGS, _LOG = "ended.json", "standings.json", "output.log"
_LOOK_SECONDS = 0.5
_STOP_SECONDS = 20.0  # to end in order


@dataclass(frozen=True)
class Lap:
    """A side with one seed.

    Attributes:
        side: OURS or a name of PEERS.
        seed: of the search.
        started: its command, seconds since 1970.
        seconds: until the command ended or was stopped.
    """

    side: str
    seed: int
    started: float
    seconds: float


@dataclass(frozen=True)
class Result:
    """What stays of a lap when its folder is gone.

    Attributes:
        race: the images and the time, as the folder of a race's laps is named.
        side, seed, seconds: as those of `Lap`.
        standings: at each of SHARES.
        commit: of the code.
        processor: of the machine.
    """

    race: str
    side: str
    seed: int
    seconds: float
    standings: tuple[Standing, ...]
    commit: str
    processor: str


def measure(options: Options, machine: Machine) -> Measurement:
    """Every side with every seed, then their standings, and the picture."""
    picture = harness.picture_path(options, PICTURE)
    draw({}, _minutes(options), picture)  # without a browser to draw with, this fails now and not in hours
    race, path = _store_name(options), _results_path(options)
    kept = read_results(path)
    others = [each for each in kept if each.race != race]
    results = {(each.seed, each.side): each for each in kept if each.race == race}
    store = ROOT / "build" / "race" / race
    failed: dict[str, str] = {}
    # Seed after seed: an interrupted race has whole seeds, enough for fewer repeats.
    laps = [(seed, side) for seed in range(options.repeats) for side in _sides()]
    folders = {(seed, side): store / f"{_slug(side)}-{seed}" for seed, side in laps if (seed, side) not in results}
    for (seed, side), folder in folders.items():
        if side not in failed and not (folder / _ENDED).is_file():
            print(f"{side}, seed {seed}", flush=True)
            with _left_out(side, seed, failed):
                run_lap(side, seed, folder, options)
    commit = code_commit()
    for (seed, side), folder in folders.items():
        if side not in failed:
            lap = _read_lap(folder)
            there = tuple(_standings(lap, folder, options))
            results[seed, side] = Result(race, side, seed, lap.seconds, there, commit, machine.processor)
            write_results([*others, *results.values()], path)
    seeds = range(options.repeats)
    found = {side: [results[seed, side].standings for seed in seeds] for side in _sides() if side not in failed}
    draw(found, _minutes(options), picture)
    return summarize(found, [results[seed, OURS].seconds for seed in seeds], _minutes(options), failed)


@contextmanager
def _left_out(side: str, seed: int, failed: dict[str, str]) -> Iterator[None]:
    """Note a peer that fails, and go on without it; there is no race without our own side.

    Args:
        side: that runs.
        seed: of its search.
        failed: gets the reason.
    """
    try:
        yield
    except RuntimeError as error:
        if side == OURS:
            raise
        print(f"{side} is left out of this race. {error}", file=sys.stderr, flush=True)
        failed[side] = f"{side} failed with seed {seed} and is left out: {str(error).splitlines()[-1]}"


def read_results(path: Path) -> list[Result]:
    """The results that were kept."""
    kept = json.loads(path.read_text()) if path.is_file() else []
    return [Result(**{**each, "standings": tuple(Standing(*aucs) for aucs in each["standings"])}) for each in kept]


def write_results(results: Iterable[Result], path: Path) -> None:
    """Keep these results, a line each; AUCs in the order of `Standing`, rounded to six digits."""
    lines = [
        json.dumps({**vars(each), "standings": [[round(auc, 6) for auc in astuple(at)] for at in each.standings]})
        for each in results
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    partial.replace(path)


def summarize(
    found: Mapping[str, Sequence[Sequence[Standing]]],
    our_seconds: Sequence[float],
    minutes: float,
    failed: Mapping[str, str],
) -> Measurement:
    """The measurement that the standings of every side make.

    Args:
        found: of each side and seed, the standing at each of SHARES.
        our_seconds: that our command took in all, of each seed.
        minutes: of the race.
        failed: of each side that is left out, why.
    """

    def values(side: str, what: str, share: float) -> tuple[float, ...]:
        return tuple(100 * float(getattr(each[SHARES.index(share)], what)) for each in found[side])

    def ahead(peer: str, what: str, share: float) -> tuple[float, ...]:
        pairs = zip(values(OURS, what, share), values(peer, what, END), strict=True)
        return tuple(ours - theirs for ours, theirs in pairs)

    early, end = f"{minutes * EARLY:g} min", f"{minutes * END:g} min"
    peers = [side for side in found if side != OURS]
    whats = {"best": "best validation AUC", "test": "test AUC of the chosen model"}
    return Measurement(
        question=f"What does a search have after {early}, and after {end}, beside others on the same cores?",
        setting=f"Space cnn2, its size and its split, {counted(len(our_seconds), 'seed')} (the repeats), {end} a "
        "search. Ours is the bare command with `search.time_budget`. KerasTuner (Hyperband; BayesianOptimization) with "
        "early stopping, Optuna (TPE) with its pruning callback for Keras and its MedianPruner, and Ray Tune with "
        "OptunaSearch and ASHA, a trial a core, search the same hyperparameters with the same augmentation, class "
        "weights and cosine schedule, in models of Keras' own layers and defaults. AutoKeras searches its own small "
        f"CNNs (`vanilla`). `{ONEDNN}=1` for all. A peer's choice is the model with the highest `val_auc` of Keras; "
        "ours is what the search would choose by then, the mean of up to five finished trials by its own score. "
        "Seconds count from the start of each command; the list of images and the split are made within them for "
        "ours, before them for peers. No test image is opened before all have run.",
        targets=(
            *(
                _target(
                    f"ours after {early}, ahead of {each} after {end}: {whats['best']}", ahead(each, "best", EARLY), 0
                )
                for each in peers
            ),
            *(
                _target(f"ours ahead of {each} after {end}: {whats['test']}", ahead(each, "test", END), 1)
                for each in peers
            ),
        ),
        others=(
            *(
                Quantity(f"{name} after {minutes * share:g} min, {side}", "%", values(side, what, share))
                for what, name in whats.items()
                for share in (EARLY, HALF, END)
                for side in found
            ),
            Quantity("validation AUC of our chosen model", "%", values(OURS, "validation", END)),
            Quantity("our command, with evaluation and page", "s", tuple(our_seconds)),
        ),
        limited_by="training, and what a trial's first epochs tell.",
        physical_limit="an AUC of 100 %.",
        notes=(
            "AUCs are exact, computed after the race from each model's own probabilities; "
            f"{100 * NO_MODEL:g} % stands for no model yet.",
            "AutoGluon's image models train in PyTorch and need pandas < 2.4 and Pillow < 13, which this project's "
            "own versions exclude; it is left out.",
            *failed.values(),
            "Laps are kept, with their commits and processors, in benchmarks/race_laps.json: the time below is that of "
            "the last session alone.",
        ),
        picture=PICTURE,
    )


def draw(found: Mapping[str, Sequence[Sequence[Standing]]], minutes: float, path: Path) -> None:
    """Draw each side's median over seeds, with its range, as a small SVG."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    titles = {"best": "best validation AUC", "test": "test AUC of the chosen model"}
    figure = make_subplots(1, 2, subplot_titles=list(titles.values()), horizontal_spacing=0.08)
    colors = ("31,95,168", "224,123,34", "196,60,60", "42,157,111", "128,90,170", "120,120,120")  # red, green, blue
    times = [minutes * share for share in SHARES]
    for color, (side, seeds) in zip(colors, found.items(), strict=False):
        for column, what in enumerate(titles, start=1):
            values = np.array([[getattr(each, what) for each in standing] for standing in seeds])  # (seeds, moments)
            values[values == NO_MODEL] = np.nan
            band = {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
            fill = {"fill": "tonexty", "fillcolor": f"rgba({color},0.12)"}
            line = {"mode": "lines", "line_color": f"rgb({color})", "name": side, "showlegend": column == 1}
            for y, style in (
                (values.min(axis=0), band),
                (values.max(axis=0), {**band, **fill}),
                (np.median(values, axis=0), line),
            ):
                figure.add_trace(go.Scatter(x=times, y=y, **style), row=1, col=column)
    figure.update_xaxes(title_text="minutes", rangemode="tozero")
    figure.update_layout(template="plotly_white", width=1000, height=400, margin={"l": 50, "r": 10, "t": 40, "b": 50})
    figure.write_image(path)


def run_lap(side: str, seed: int, folder: Path, options: Options) -> None:
    """Run a side with a seed, from the start, and leave in its folder what it made."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    seconds = 60 * _minutes(options)
    # A process that is stopped does not clear what it leaves in its temporary folder.
    with tempfile.TemporaryDirectory(prefix="xray-race-", ignore_cleanup_errors=True) as scratch:
        if side == OURS:
            words = [SPACE, f"search.time_budget={seconds:g}s", f"search.seed={seed}"]
            words += [f"run.storage={folder}", f"run.name={RUN}", *data_words(options.root, Path(scratch))]
            command, limit = ["search.run", *words], 2 * seconds  # it ends by itself
        else:
            task = make_race_task([SPACE, *data_words(options.root, Path(scratch))], seed, folder)
            write_task(task, folder / "task.json")
            module, *rest = PEERS[side]
            command, limit = [f"benchmarks.peers.{module}", str(folder / "task.json"), *rest], seconds
        started = time.time()
        look = partial(keep_best, folder / RUN, folder / KEPT)
        run_for(["-m", *command], limit, folder / _LOG, look, {"TMPDIR": scratch})
    lap = Lap(side, seed, started, time.time() - started)
    (folder / _ENDED).write_text(json.dumps(asdict(lap)))


def run_for(
    words: Sequence[str],
    seconds: float,
    log: Path,
    look: Callable[[], None] = lambda: None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run Python with these arguments until it ends, or until so many seconds are over; then it is stopped.

    Args:
        words: the arguments.
        seconds: that it may take.
        log: file of its output.
        look: called twice a second.
        environment: variables besides those of this process.

    Raises:
        RuntimeError: it failed.
    """
    deadline = time.monotonic() + seconds
    with _process(words, log, environment or {}) as process:
        while process.poll() is None and time.monotonic() < deadline:
            look()
            time.sleep(_LOOK_SECONDS)
        look()
        code = process.poll()
    if code:
        last = "\n".join(log.read_text().strip().splitlines()[-15:])
        raise RuntimeError(f"python {' '.join(words)} ended with {code}:\n{last}")


@contextmanager
def _process(words: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that does not outlive the block."""
    variables = {**os.environ, ONEDNN: "1", "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *words], stdout=output, stderr=output, env=variables)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _standings(lap: Lap, folder: Path, options: Options) -> list[Standing]:
    """A lap's standings at each of SHARES; computed once."""
    path = folder / _STANDINGS
    if not path.is_file():
        moments = [lap.started + 60 * _minutes(options) * share for share in SHARES]
        data = load_settings([SPACE, *data_words(options.root, folder.parent / "cache")]).data
        path.write_text(json.dumps([asdict(each) for each in standings(folder, lap.side == OURS, moments, data)]))
    return [Standing(**each) for each in json.loads(path.read_text())]


def _read_lap(folder: Path) -> Lap:
    return Lap(**json.loads((folder / _ENDED).read_text()))


def _target(name: str, values: tuple[float, ...], least: float) -> Target:
    return Target(Quantity(name, "points", values), Bound(least, at_most=False))


def _results_path(options: Options) -> Path:
    """The file of kept results; those of a quick race are kept apart, as all its figures."""
    folder = harness.output_folder(options) if options.quick else ROOT / "benchmarks"
    return folder / "race_laps.json"


def _sides() -> tuple[str, ...]:
    return OURS, *PEERS


def _slug(side: str) -> str:
    return side.lower().replace(" ", "_")


def _minutes(options: Options) -> float:
    return QUICK_MINUTES if options.quick else MINUTES


def _store_name(options: Options) -> str:
    """A folder for each data set and time, so that kept laps are never mistaken for those of other images."""
    return f"{harness.data_fingerprint(options.root)}-{_minutes(options):g}min"


if __name__ == "__main__":
    harness.main(measure, __doc__, repeats=SEEDS)
