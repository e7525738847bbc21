"""Writes a synthetic run of any size in the format of a search: `python benchmarks/analysis_data.py FOLDER`.

Nothing is trained: losses fall along plausible curves, ASHA's halving stops most trials, and probabilities are
drawn so that a better trial ranks images better. The same arguments give the same files.

    python benchmarks/analysis_data.py /tmp/big --trials 10000 --epochs 20
"""

import argparse
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from search.evaluate.predictions import evaluation, prediction_table, write_predictions
from search.record import Evaluation, RunFolder, RunRecord, seal, to_json, trial_name

CREATED = 1_790_000_000.0
CLASSES = {2: ("normal", "pneumonia"), 3: ("normal", "bacterial", "viral")}
COUNTS = {
    2: {"train": [826, 3360], "validation": [523, 523], "test": [234, 390]},
    3: {"train": [999, 2188, 995], "validation": [350, 350, 350], "test": [234, 242, 148]},
}
WORKERS = 8


def write_run(
    url: str,
    trials: int = 1000,
    epochs: int = 20,
    classes: int = 2,
    evaluated: int = 20,
    scheduler: str = "asha",
    seed: int = 0,
) -> RunFolder:
    """The folder of a finished run that was written to `url`.

    Args:
        url: a folder, created if need be.
        trials: how many.
        epochs: the most that a trial trains.
        classes: 2 or 3.
        evaluated: how many of the best finished trials have test scores and predictions.
        scheduler: "asha" (a third of the trials goes on at each rung: epochs 1, 3, 9, ...) or "none" (all go on).
        seed: of all that is drawn.
    """
    folder = RunFolder(url)
    folder.write_run(_run_record(folder, trials, epochs, classes, scheduler))
    rng = np.random.default_rng(seed)
    parameters = [_parameters(rng) for _ in range(trials)]
    quality = np.array([_quality(each) for each in parameters]) + rng.normal(0, 0.15, trials)
    lasts = _last_epochs(quality, epochs) if scheduler == "asha" else np.full(trials, epochs)
    lines = _events(rng, parameters, quality, lasts, epochs)
    folder.write(
        ("\n".join(seal(to_json(line)) for line in lines) + "\n").encode(), "log", "00000000000000000001.jsonl"
    )
    finished = np.flatnonzero(lasts == epochs)
    chosen = finished[np.argsort(-quality[finished])][:evaluated]
    evaluations = [e for number in sorted(chosen) for e in _evaluate(rng, folder, int(number), quality[number], epochs)]
    folder.write("".join(to_json(entry) + "\n" for entry in evaluations).encode(), "evaluation.jsonl")
    folder.write(_parquet(_manifest(classes)), "manifest.parquet")
    folder.write(b"path,reason\ntrain/NORMAL/broken.jpeg,truncated\n", "bad_files.csv")
    return folder


def _run_record(folder: RunFolder, trials: int, epochs: int, classes: int, scheduler: str) -> RunRecord:
    config = {
        "train": {"class_weights": "none"},
        "space": {
            "name": f"synthetic{classes}",
            "question": "How quick is the analysis?",
            "parameters": {},
            "rows": [],
        },
        "search": {
            "num_trials": trials,
            "max_epochs": epochs,
            "searcher": "random",
            "scheduler": scheduler,
            "metric": "val_loss",
            "seed": 0,
            "repeats": 1,
            "asha": {"grace_period": 1, "reduction_factor": 3.0},
        },
        "evaluate": {"enabled": True, "weights": "best"},
        "data": {"size": 224, "channels": 1},
        "resources": {"cpus_per_trial": 1.0, "gpus_per_trial": 0.0, "max_concurrent": WORKERS},
    }
    data = {"fingerprint": "synthetic", "root": "", "counts": COUNTS[classes], "set_aside": 1}
    environment = {"python": "", "packages": {}, "commit": "", "platform": "", "processor": "", "cpus": WORKERS}
    return RunRecord(
        folder.name, CREATED, "benchmarks/analysis_data.py", "val_loss", CLASSES[classes], config, environment, data
    )


def _parameters(rng: np.random.Generator) -> dict[str, Any]:
    backbone = str(rng.choice(["cnn", "cnn", "vgg16", "resnet50"]))
    common = {
        "backbone": backbone,
        "learning_rate": float(10 ** rng.uniform(-6, -1)),
        "batch_size": int(rng.choice([16, 32, 64])),
        "augment": str(rng.choice(["none", "report", "strong"])),
        "dense": [[], [8], [16, 8]][rng.integers(3)],
        "dropout": float(rng.uniform(0, 0.5)),
    }
    if backbone != "cnn":
        return {**common, "pooling": "average"}
    batch_norm = str(rng.choice(["none", "conv", "flatten"]))
    return {**common, "layers": int(rng.integers(1, 4)), "filters": int(rng.choice([8, 16])), "batch_norm": batch_norm}


def _quality(parameters: dict[str, Any]) -> float:
    """How well a configuration learns, about 0 to 1: best at a learning rate of 10^-3.5 and two layers."""
    rate = 1 - ((math.log10(parameters["learning_rate"]) + 3.5) / 2.5) ** 2
    return float(0.8 * rate + 0.1 * (parameters.get("layers", 2) == 2) - 0.1 * (parameters["augment"] == "strong"))


def _last_epochs(quality: NDArray[np.float64], epochs: int) -> NDArray[np.int64]:
    """int64 (N,): the epoch at which each trial ends when a third is promoted at each rung."""
    last = np.full(len(quality), epochs)
    alive, rung = np.arange(len(quality)), 1
    while rung < epochs and len(alive) >= 3:
        order = alive[np.argsort(-quality[alive])]
        alive = order[: max(1, len(order) // 3)]
        last[order[len(alive) :]] = rung
        rung *= 3
    return last


def _events(
    rng: np.random.Generator,
    parameters: list[dict[str, Any]],
    quality: NDArray[np.float64],
    lasts: NDArray[np.int64],
    epochs: int,
) -> Iterator[dict[str, Any]]:
    clocks = np.full(WORKERS, CREATED + 10)
    for number, last in enumerate(lasts):
        worker = int(clocks.argmin())
        now = float(clocks[worker])
        head = {"trial": number}
        yield {
            "event": "suggested",
            "time": now,
            **head,
            "parameters": parameters[number],
            "seed": number,
            "max_epochs": epochs,
            "row": "",
            "repeat": 0,
            "parameter_count": 100_000 + 1000 * (number % 97),
            "trainable_count": 100_000,
        }
        yield {"event": "started", "time": now, **head}
        for metrics in _epochs(rng, parameters[number]["learning_rate"], quality[number], int(last), now):
            now = metrics["time"]
            yield {
                "event": "epoch",
                "time": now,
                **head,
                "metrics": metrics,
                "host": f"node-{worker // 4}",
                "process": 100 + worker,
            }
        status, reason = ("finished", "") if last == epochs else ("stopped", "")
        if number % 97 == 5:
            status, reason = ("diverged", "loss is NaN") if number % 2 else ("failed", "its process died 3 times")
        yield {"event": "ended", "time": now, **head, "status": status, "reason": reason}
        clocks[worker] = now + 0.1


def _epochs(
    rng: np.random.Generator, learning_rate: float, quality: float, last: int, start: float
) -> Iterator[dict[str, Any]]:
    epoch = np.arange(1, last + 1)
    noise = rng.normal(0, 0.02, (4, last))
    progress = 1 - np.exp(-epoch * max(quality, 0.02) / 3)
    train_loss = np.abs(0.7 - 0.6 * progress + noise[0])
    val_loss = np.abs(0.7 - 0.45 * progress + 0.004 * epoch + noise[1])
    accuracy = np.clip(0.5 + 0.45 * progress + noise[2], 0, 1)
    sensitivity, specificity = np.clip(accuracy + noise[3], 0, 1), np.clip(accuracy - noise[3], 0, 1)
    for place in range(last):
        yield {
            "epoch": place + 1,
            "seconds": 4.0 + 4 * float(abs(noise[0, place])),
            "learning_rate": learning_rate,
            "train_loss": float(train_loss[place]),
            "train_accuracy": float(min(1.0, accuracy[place] + 0.02)),
            "val_loss": float(val_loss[place]),
            "val_accuracy": float(accuracy[place]),
            "val_balanced_accuracy": float((sensitivity[place] + specificity[place]) / 2),
            "val_auc": float(min(1.0, accuracy[place] + 0.04)),
            "val_sensitivity": float(sensitivity[place]),
            "val_specificity": float(specificity[place]),
            "memory_mb": 900.0 + place,
            "time": start + 4.2 * (place + 1),
        }


def _evaluate(
    rng: np.random.Generator, folder: RunFolder, number: int, quality: float, epochs: int
) -> Iterator[Evaluation]:
    """The evaluations of one trial; its predictions are written to the folder."""
    record = folder.read_run()
    tables = []
    for name in ("test", "validation"):
        labels = np.repeat(np.arange(len(record.classes)), record.data["counts"][name])
        logits = rng.normal(0, 1, (len(labels), len(record.classes)))
        logits[np.arange(len(labels)), labels] += 1 + 2 * max(quality, 0)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
        ids = [f"{name}/{place:05d}.jpeg" for place in range(len(labels))]
        tables.append(prediction_table(name, ids, labels, probabilities, record.classes))
        yield evaluation(number, name, "best", epochs, labels, probabilities, np.arange(len(labels)))
    write_predictions(folder, pa.concat_tables(tables), trial_name(number))


def _manifest(classes: int) -> pa.Table:
    rows = []
    for split, counts in COUNTS[classes].items():
        labels = np.repeat(np.arange(classes), counts)
        rows += [(f"{split}/{place:05d}.jpeg", split, int(label)) for place, label in enumerate(labels)]
    ids, splits, labels_all = zip(*rows, strict=True)
    return pa.table(
        {
            "image_id": ids,
            "path": ids,
            "pool": ["test" if split == "test" else "pool" for split in splits],
            "label": labels_all,
            "group": ids,
            "content_hash": ids,
            "width": [224] * len(ids),
            "height": [224] * len(ids),
            "split": splits,
        }
    )


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def main() -> None:
    """Write a run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the run's folder, created")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--classes", type=int, default=2, choices=(2, 3))
    parser.add_argument("--evaluated", type=int, default=20, help="how many trials have test scores")
    parser.add_argument("--scheduler", default="asha", choices=("asha", "none"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    options = {name: value for name, value in vars(given).items() if name != "folder"}
    folder = write_run(str(Path(given.folder)), **options)
    print(f"Wrote {given.trials:,} trials of up to {given.epochs} epochs to {folder.url}")


if __name__ == "__main__":
    main()
