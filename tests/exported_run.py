"""A run with an exported winner, for tests of what comes after a search: small untrained networks of 32 x 32 pixels."""

import io
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

from data_pipeline.dataset import Dataset
from data_pipeline.manifest_file import write_manifest
from data_pipeline.settings import DataSettings
from models.cnn import CnnConfig
from models.registry import build_model
from search.evaluate.exported import MODEL
from search.evaluate.signature import SIGNATURE, Signature, make_signature
from search.evaluate.winner import winner_model
from search.plan.settings import Settings
from search.record import EventLog, RunFolder, RunRecord, Winner

DATA = DataSettings(size=32)
WINNER = Winner((0, 1), "validation", slope=0.5, bias=(0.0, 0.2), evaluations=())


def write_exported_run(folder: RunFolder, dataset: Dataset) -> RunFolder:
    """Write a run's record, its manifest, its log and a winner of two members, calibrated; returns the folder."""
    settings = replace(Settings(), data=DATA)
    manifest, split = dataset.manifest, dataset.split
    data = {"fingerprint": manifest.fingerprint, "counts": split.counts(manifest), "white": 0}
    folder.write_run(RunRecord("one", 0.0, "", "val_loss", manifest.classes, settings.to_dict(), {}, data))
    buffer = io.BytesIO()
    write_manifest(manifest, split, buffer)
    folder.write(buffer.getvalue(), "manifest.parquet")
    log = EventLog(folder)
    for number in WINNER.trials:
        log.append("suggested", trial=number, parameters={}, seed=number, max_epochs=1)
    log.close()
    write_exported_winner(folder, dataset)
    return folder


def write_exported_winner(folder: RunFolder, dataset: Dataset) -> Signature:
    """Write a winner's model, record and signature into a run's folder; returns the signature."""
    shape, classes = DATA.image.shape, len(dataset.manifest.classes)
    members = [build_model(CnnConfig(layers=1, filters=2), shape, classes, None, seed=seed) for seed in range(2)]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, MODEL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Keras copies its arrays as NumPy 1 did
            winner_model(members, WINNER).save(path)
        folder.write(path.read_bytes(), "winner", MODEL)
    signature = make_signature(dataset, DATA, (0.5, 0.5))
    folder.write(signature.to_json().encode(), "winner", SIGNATURE)
    folder.write_winner(WINNER)
    return signature
