"""Runs replays, many seeds in processes side by side, and keeps what each way chose and when."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

from benchmarks.checkout import ROOT, code_commit
from benchmarks.curves.table import read_curves
from benchmarks.replays.simulation import Course, replay
from benchmarks.replays.table import Table, table_of
from benchmarks.replays.ways import WAYS, Way

MOST = 100  # full trainings: the longest budget
_CODE = ("benchmarks/replays/simulation.py", "benchmarks/replays/table.py")
_OUR_CODE = (*_CODE, "benchmarks/replays/ours.py", "search/plan", "search/record")
_PEERS_CODE = (*_CODE, "benchmarks/replays/peers")
_CHUNK = 5  # seeds that a process replays before it takes others


def run_courses(
    file: Path, ways: Sequence[Way], workers: int, seeds: int, store: Path | None = None
) -> dict[str, list[Course]]:
    """The course of every way with every seed, by the way's name; those that are kept are read.

    They are kept as long as table and code are unchanged: the peers' adapters, and for our ways the search itself.

    Args:
        file: of the table.
        ways: to replay, all of them installed.
        workers: that are simulated.
        seeds: how many.
        store: the folder of kept courses, `build/replays` unless given.
    """
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    found: dict[str, list[Course]] = {}
    with _one_thread_each(), ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as pool:
        for way in ways:
            commit = code_commit(_OUR_CODE if way.is_ours else _PEERS_CODE)
            key = hashlib.sha256(way.name.encode()).hexdigest()[:12]
            kept = (store or ROOT / "build" / "replays") / f"{digest}-{commit}" / f"{key}-{workers}.json"
            known = _read(kept) if commit and not commit.endswith("-dirty") else []
            chunks = [range(first, min(first + _CHUNK, seeds)) for first in range(len(known), seeds, _CHUNK)]
            new = pool.map(_replay_seeds, *zip(*((file, way.name, workers, chunk) for chunk in chunks), strict=True))
            found[way.name] = [*known, *(course for courses in new for course in courses)][:seeds]
            if chunks:
                _write(kept, found[way.name])
                print(f"{way.name}: {seeds} seeds, {workers} workers", flush=True)
    return found


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let each process that begins meanwhile use one thread: there is one for each core."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@lru_cache(maxsize=1)
def _table(file: Path) -> Table:
    return table_of(read_curves(file))


def _replay_seeds(file: Path, name: str, workers: int, seeds: Sequence[int]) -> list[Course]:
    """The courses of some seeds, in a process of its own."""
    table, way = _table(file), next(way for way in WAYS if way.name == name)
    scores, seconds = table.scores(way.metric or table.metric), MOST * table.full_seconds / workers
    return [replay(table, way.build(table, seed, workers), scores, workers, seconds) for seed in seeds]


def _read(path: Path) -> list[Course]:
    if not path.is_file():
        return []
    return [Course(tuple(each["seconds"]), tuple(each["rows"])) for each in json.loads(path.read_text())]


def _write(path: Path, courses: Sequence[Course]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps([asdict(course) for course in courses]))
    partial.replace(path)
