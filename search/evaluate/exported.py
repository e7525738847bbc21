"""Opens an exported winner: in its run's folder, or copied from there with the files beside it."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.evaluate.signature import SIGNATURE, Signature, recorded_signature
from search.record import FindingCalibration, OperatingPoint, RecordError, RunFolder, RunRecord, from_json

if TYPE_CHECKING:
    import keras

MODEL, RECORD = "model.keras", "winner.json"


@dataclass(frozen=True)
class ExportedWinner:
    """An exported winner.

    Attributes:
        folder: where its files are.
        inside: the folder of its files in there; empty where they are in the folder itself.
        signature: what it takes and gives.
        point: of two classes, where the decision between them changes.
        finding_points: of several findings an image, where each is called present.
        finding_calibrations: of these, how each is calibrated; empty where that was not tried.
        run: its run's record; None where only the winner's files are there.
    """

    folder: RunFolder
    inside: tuple[str, ...]
    signature: Signature
    point: OperatingPoint
    finding_points: tuple[OperatingPoint, ...]
    finding_calibrations: tuple[FindingCalibration, ...]
    run: RunRecord | None

    def load_model(self) -> "keras.Model":
        """The model, from float32 images in [0, 1], (N, size, size, channels), to probabilities.

        Raises:
            RecordError: it cannot be read.
        """
        import keras

        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, MODEL)
            path.write_bytes(self.folder.read(*self.inside, MODEL))
            try:
                return keras.models.load_model(path, compile=False)
            except (OSError, TypeError, ValueError) as error:
                raise RecordError(
                    f"A {MODEL} is a model that Keras saved. Received: one in {self.folder.url} "
                    f"({str(error).splitlines()[0]}). Restore it, or run python -m search.evaluate RUN."
                ) from error


def open_winner(given: str) -> ExportedWinner:
    """The winner that a user names: a run's folder or URL, a folder with the winner's files, or its `model.keras`.

    Raises:
        RecordError: there is no winner, or one without the files that it needs.
    """
    url = given.removesuffix(f"/{MODEL}") if given != MODEL else "."
    folder = RunFolder(url)
    inside = ("winner",) if folder.exists("run.json") else ()
    if not folder.exists(*inside, MODEL):
        raise RecordError(
            f"A winner is a run's, or a folder with its {MODEL}. Received: {given}, which has none. "
            "A packed run holds no weights; a run gets its winner at its end or from python -m search.evaluate RUN."
        )
    run = folder.read_run() if inside else None
    signature = _read_signature(folder, inside, run)
    return ExportedWinner(folder, inside, signature, *_read_points(folder, inside, signature), run)


def _read_signature(folder: RunFolder, inside: tuple[str, ...], run: RunRecord | None) -> Signature:
    if folder.exists(*inside, SIGNATURE):
        return Signature.from_json(folder.read(*inside, SIGNATURE), f"{folder.url}/{'/'.join((*inside, SIGNATURE))}")
    winner = folder.read_winner() if run is not None else None
    if run is None or winner is None:
        raise RecordError(
            f"Beside a {MODEL} stands the {SIGNATURE} that says how an image becomes its input. Received: "
            f"{folder.url}, which has none. Give the run's folder, or copy {SIGNATURE} with the model."
        )
    trials = folder.read_trials()
    return recorded_signature(run, [trials[number] for number in winner.trials], winner)


def _read_points(
    folder: RunFolder, inside: tuple[str, ...], signature: Signature
) -> tuple[OperatingPoint, tuple[OperatingPoint, ...], tuple[FindingCalibration, ...]]:
    """The operating point in the winner's record, those of its findings, and how these are calibrated.

    A point is a probability of 0.5 where the record has none.
    """
    equal = (OperatingPoint(),) * len(signature.classes) if signature.is_multilabel else ()
    if not folder.exists(*inside, RECORD):
        return OperatingPoint(), equal, ()
    try:
        content = json.loads(folder.read(*inside, RECORD))
        points = tuple(from_json(OperatingPoint, entry) for entry in content.get("finding_points", ()))
        calibrations = tuple(from_json(FindingCalibration, each) for each in content.get("finding_calibrations", ()))
        return from_json(OperatingPoint, content.get("operating_point", {})), points or equal, calibrations
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"A {RECORD} holds the winner's record. Received: a damaged one in {folder.url} ({error!r}). Restore it, "
            "or write it again with python -m search.evaluate RUN."
        ) from error
