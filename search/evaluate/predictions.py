"""The predictions of trained weights for every image, `predictions/NAME.parquet` of a run, and their scores."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from search.record import Evaluation, RunFolder
from search.record.intervals import count_patients, share_bounds
from search.trial.metrics import score

_SOURCE = b"source"  # in the file's own metadata
_LABEL = "label"


def prediction_table(
    dataset: str,
    image_ids: Sequence[str],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    classes: Sequence[str],
    others: Mapping[str, Sequence[Any] | NDArray[Any]] = {},
) -> pa.Table:
    """Predictions on one set of images, one row an image: `dataset`, `image_id`, `label`, `p_<class>`, others.

    Of several findings an image, each has its `label_<finding>`, 0, 1 or UNKNOWN, in place of `label`.

    Args:
        dataset: the set's name.
        image_ids: N names, as in the manifest.
        labels: int64 (N,), in [0, K); or of several findings an image 0, 1 or UNKNOWN, (N, K).
        probabilities: float32 (N, K).
        classes: K names.
        others: N values each by name: `patient`, and the traits of `search.evaluate.sets.EvaluationSet`.
    """
    columns: dict[str, Any] = {
        "dataset": pa.array([dataset] * len(labels)).dictionary_encode(),
        "image_id": list(image_ids),
    }
    if labels.ndim == 1:
        columns[_LABEL] = labels
    else:
        columns |= {f"{_LABEL}_{name}": labels[:, place] for place, name in enumerate(classes)}
    columns |= {f"p_{name}": probabilities[:, place] for place, name in enumerate(classes)}
    return pa.table(columns | {name: pa.array(list(values)) for name, values in others.items()})


def read_predictions(folder: RunFolder, name: str) -> pa.Table:
    """The predictions of a trial or of the winner, of all sets of images; as `prediction_table`."""
    return _open(folder, name).read(use_threads=False)


def write_predictions(folder: RunFolder, table: pa.Table, name: str, source: str = "") -> None:
    """Write the predictions of a trial or of the winner.

    Args:
        folder: the run's.
        table: as `prediction_table`.
        name: of the trial, or `winner`.
        source: names the weights and the images; any text that differs where those differ.
    """
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({_SOURCE: source.encode()}), buffer)
    folder.write(buffer.getvalue(), "predictions", f"{name}.parquet")


def mean_predictions(tables: Sequence[pa.Table]) -> pa.Table:
    """The mean of several models' predictions, for every image that at least one of them was scored on.

    The mean is over the models that were scored on the image. Where models validate on different images, a validation
    image is thus averaged over the models that did not train on it.

    Args:
        tables: as `prediction_table`.
    """
    if len(tables) == 1:
        return tables[0]
    import pandas as pd

    together = pd.concat([table.to_pandas() for table in tables]).astype({"dataset": str})
    images = together.groupby(["dataset", "image_id"], sort=False)
    labels, probabilities = _label_columns(tables[0]), probability_columns(tables[0])
    mean = images[[*labels, *probabilities]].mean().reset_index()
    columns = {
        "dataset": pa.array(mean["dataset"].to_list()).dictionary_encode(),
        "image_id": mean["image_id"].to_list(),
        **{name: mean[name].to_numpy(np.int64) for name in labels},
    }
    columns |= {name: mean[name].to_numpy(np.float32) for name in probabilities}
    others = [name for name in together.columns if name not in columns]
    return pa.table(columns | {name: pa.array(images[name].first(), from_pandas=True) for name in others})


def predictions_source(folder: RunFolder, name: str) -> str | None:
    """The source that a trial's predictions were written with; `None` where there are none that can be read."""
    try:
        metadata = _open(folder, name).schema_arrow.metadata or {}
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    return bytes(metadata.get(_SOURCE, b"")).decode()


def probability_columns(table: pa.Table) -> list[str]:
    """The columns `p_<class>` of predictions, in the order of the classes."""
    return [name for name in table.column_names if name.startswith("p_")]


def _label_columns(table: pa.Table) -> list[str]:
    """The column `label` of predictions, or the columns `label_<finding>` in the order of the findings."""
    return [name for name in table.column_names if name == _LABEL or name.startswith(f"{_LABEL}_")]


def labels_of(table: pa.Table) -> NDArray[np.int64]:
    """The labels of predictions: int64 (N,), or of several findings an image 0, 1 or UNKNOWN, (N, K)."""
    names = _label_columns(table)
    if names == [_LABEL]:
        return np.asarray(table[_LABEL].to_numpy(), np.int64)
    return np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.int64)


def probabilities_of(table: pa.Table) -> NDArray[np.float32]:
    """The probabilities of predictions: float32 (N, K)."""
    return np.stack([table[name].to_numpy() for name in probability_columns(table)], axis=1)


def evaluation(
    trial: int,
    dataset: str,
    weights: str,
    epoch: int,
    labels: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    patients: NDArray[np.int64],
) -> Evaluation:
    """The record of the scores of predictions (N, K) on a set of images with these labels and patients (N,)."""
    scores = vars(score(labels, probabilities))
    scores["confusion"] = scores["confusion"].tolist()
    about = trial, dataset, weights, epoch, len(labels)
    if labels.ndim == 2:
        return Evaluation(*about, **scores, patients=count_patients(patients))
    right = labels == probabilities.argmax(axis=1)
    low, high = share_bounds(right, patients)
    return Evaluation(*about, **scores, patients=count_patients(patients), accuracy_low=low, accuracy_high=high)


def patients_of(table: pa.Table) -> NDArray[np.int64]:
    """The patients of predictions by number, int64 (N,); in those of older versions each image is its own."""
    if "patient" in table.column_names:
        return np.asarray(table["patient"].to_numpy(), np.int64)
    return np.arange(len(table))


def _open(folder: RunFolder, name: str) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(folder.read("predictions", f"{name}.parquet")))
