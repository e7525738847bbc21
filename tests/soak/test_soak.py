"""Long searches under attack: `make soak`, about half an hour. Seeds are fixed; moments differ from run to run."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pytest

from search.record import RunFolder, TrialRecord
from tests.search.searching import command, numbers, run

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

KILLS, KILLS_TRIALS = 20, 40
SOAK_SECONDS = 900
SOAK_TRIALS, SOAK_EPOCHS, CALM_TRIALS = 200, 8, 60


def test_twenty_killed_drivers_leave_the_records_of_an_undisturbed_search(tmp_path: Path, image_cache: Path) -> None:
    words = ["space=plain2", "data.size=64", f"data.cache={image_cache}", "resources.max_concurrent=1", "run.name=one"]
    words += [f"search.num_trials={KILLS_TRIALS}", "search.max_epochs=9", "search.asha.reduction_factor=3"]
    words += ["evaluate.enabled=false"]
    undisturbed = run([*words, f"run.storage={tmp_path}/undisturbed"])
    assert undisturbed.returncode == 0, undisturbed.stderr
    storage, moments = tmp_path / "killed", random.Random(5)
    folder = RunFolder(str(storage / "one"))
    kills, trained = 0, [0]
    for _ in range(KILLS):
        begin = ["resume=auto", f"data.cache={image_cache}"] if folder.exists("run.json") else words
        process = start([*begin, f"run.storage={storage}"], tmp_path / "log")
        # One in four is killed as it starts, the others as they train.
        is_training = moments.random() < 0.75
        while is_training and process.poll() is None and epochs_of(folder) <= trained[-1]:
            time.sleep(0.1)
        wait = moments.uniform(0, 5 if is_training else 15)
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            kills += 1
        process.kill()
        process.wait()
        trained.append(epochs_of(folder))
        print(
            f"killed {wait:.1f} s into {'training' if is_training else 'its start'}: {trained[-1]} epochs", flush=True
        )
    done = run(["resume=auto", f"run.storage={storage}", f"data.cache={image_cache}"])
    assert done.returncode == 0, done.stderr + done.stdout
    assert kills == KILLS
    assert sorted(trained) == trained
    assert len(set(trained)) > KILLS / 2  # most were killed while they trained
    assert numbers(folder.read_trials()) == numbers(RunFolder(f"{tmp_path}/undisturbed/one").read_trials())
    logged = [(e["trial"], e["metrics"]["epoch"]) for e in folder.read_events() if e["event"] == "epoch"]
    assert len(logged) == len(set(logged))
    suggested = [e["trial"] for e in folder.read_events() if e["event"] == "suggested"]
    assert suggested == list(range(KILLS_TRIALS))


def test_a_search_outlives_a_quarter_of_an_hour_of_faults(tmp_path: Path, image_cache: Path) -> None:
    """A fault every ten seconds or so; none for the last trials, whose processes' memory is watched."""
    storage = f"run.storage={tmp_path}"
    words = ["space=plain2", "data.size=32", f"data.cache={image_cache}", storage, "run.name=one"]
    words += [f"search.num_trials={SOAK_TRIALS}", f"search.max_epochs={SOAK_EPOCHS}", "search.scheduler=none"]
    words += ["search.max_failures=1000", "resources.max_concurrent=2"]
    folder, chance = RunFolder(str(tmp_path / "one")), random.Random(7)
    process, began, memory = start(words, tmp_path / "log"), time.monotonic(), []
    drivers = {process.pid}
    faults = dict.fromkeys(("driver killed", "trial killed", "trial stopped for a while", "checkpoint changed"), 0)
    while process.poll() is None:
        elapsed = time.monotonic() - began
        assert elapsed < 3 * SOAK_SECONDS, (tmp_path / "log").read_text()
        time.sleep(chance.uniform(5, 15))
        trials = list(folder.read_trials().values()) if folder.exists("log") else []
        busy = [trial for trial in trials if trial.status == "running" and trial.process]
        ended = sum(trial.is_final for trial in trials)
        is_calm = ended >= SOAK_TRIALS - CALM_TRIALS
        if is_calm and ended < SOAK_TRIALS:  # evaluation, which comes afterwards, has memory of its own
            memory.append(resident_mib(process.pid))
        elif not is_calm and chance.random() < 0.1:
            process.kill()
            process.wait()
            begin = ["resume=one", storage, f"data.cache={image_cache}"] if folder.exists("run.json") else words
            process = start(begin, tmp_path / "log")
            drivers.add(process.pid)
            faults["driver killed"] += 1
        elif not is_calm and busy:
            what = chance.choice(list(faults)[1:])
            faults[what] += attack(what, chance.choice(busy), folder)
    print(f"{time.monotonic() - began:.0f} s: {faults}; driver's memory {memory[0]:.0f} to {memory[-1]:.0f} MiB")
    assert process.returncode == 0, (tmp_path / "log").read_text()
    trials = folder.read_trials()
    assert [trial.status for trial in trials.values()] == ["finished"] * SOAK_TRIALS
    assert all([epoch.epoch for epoch in trial.epochs] == list(range(1, SOAK_EPOCHS + 1)) for trial in trials.values())
    assert all(faults.values())
    assert memory[-1] < 1.1 * memory[len(memory) // 4]
    steady = memory_of_processes(trials.values())
    assert steady
    for each in steady:
        print(f"a trial process, its peak after {len(each)} trials: {each[0]:.0f} to {each[-1]:.0f} MiB")
        assert each[-1] < 1.15 * each[len(each) // 4]
    assert left_behind(drivers) == []


def epochs_of(folder: RunFolder) -> int:
    """How many epochs the log has."""
    return sum(len(trial.epochs) for trial in folder.read_trials().values()) if folder.exists("log") else 0


def start(words: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as file:
        return subprocess.Popen(command(words), stdout=file, stderr=file, start_new_session=True)


def attack(what: str, trial: TrialRecord, folder: RunFolder) -> bool:
    """Do it to a trial that is at work; whether it was still there."""
    try:
        if what == "trial stopped for a while":
            os.kill(trial.process, signal.SIGSTOP)
            time.sleep(5)
            os.kill(trial.process, signal.SIGCONT)
            return True
        if what == "checkpoint changed":
            newest = max(Path(folder.child("trials", trial.name)).glob("epoch-*.npz"))
            content = bytearray(newest.read_bytes())
            content[len(content) // 2] ^= 0xFF
            newest.write_bytes(content)
        os.kill(trial.process, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError, ValueError):  # its process, or its checkpoint, is gone by now
        return False
    return True


def resident_mib(process: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def memory_of_processes(trials: Iterable[TrialRecord]) -> list[list[float]]:
    """Of each process that trained twenty trials or more: its peak memory after each of them, in time order."""
    found: dict[int, list[float]] = {}
    for trial in sorted(trials, key=lambda trial: trial.ended):
        found.setdefault(trial.process, []).append(trial.epochs[-1].memory_mb)
    return [values for values in found.values() if len(values) >= 20]


def left_behind(drivers: Collection[int]) -> list[str]:
    """What still runs of the sessions that these drivers led; a killed driver's processes see soon that it is gone."""
    time.sleep(15)
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
            if session in drivers:
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found
