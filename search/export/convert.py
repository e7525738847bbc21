"""A winner as an ONNX or LiteRT model, compared with the original on images before it is kept."""

import io
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_pipeline.limits import cpu_count
from data_pipeline.manifest import POOL
from data_pipeline.manifest_file import read_manifest
from data_pipeline.preprocess import open_prepared
from search.driver.environment import recorded_onednn, set_onednn
from search.driver.screen import chatter_to
from search.evaluate.exported import ExportedWinner, open_winner
from search.evaluate.signature import SIGNATURE
from search.export.packages import check_packages
from search.plan.settings import SettingsError
from search.record import VALIDATION
from search.trial.process import prepare_process

Images = NDArray[np.float32]  # (N, size, size, channels), in [0, 1]
Outputs = NDArray[np.float32]  # (N, 1), the probability of class 1, or (N, K), of each class

IMAGES = 100  # that a converted model is compared on
TOLERANCE = 1e-4  # of a probability; float32 arithmetic in another order differs by about 1e-6


@dataclass(frozen=True)
class Format:
    """A format that Keras exports.

    Attributes:
        name: as Keras has it.
        title: as its makers write it.
        file: that the model is written to.
        packages: modules that convert and run it, with the name that pip installs each by.
        run: what a model in a file answers about images.
    """

    name: str
    title: str
    file: str
    packages: dict[str, str]
    run: Callable[[Path, Images], Outputs]


@dataclass(frozen=True)
class ParityImages:
    """Images that two models are compared on.

    Attributes:
        source: "validation" or "random".
        pixels: uint8 (N, size, size, channels).
    """

    source: str
    pixels: NDArray[np.uint8]


def convert_winner(target_format: Format, cache: Path, run: str, target: Path) -> list[str]:
    """Write a run's winner in a format, with its signature beside it; returns what was done, a line each.

    Args:
        target_format: `ONNX` or `LITERT`.
        cache: the user's cache folder, which may hold the run's validation images.
        run: a run's folder or URL, or a copy of its `winner/` folder.
        target: a folder that exists.

    Raises:
        RecordError: the run has no winner.
        SettingsError: a package is missing, or the converted model answers differently; it is not kept then.
    """
    check_packages(target_format.title, target_format.packages)
    winner = open_winner(run)
    images = parity_images(winner, cache)
    set_onednn(None if winner.run is None else recorded_onednn(winner.run.environment))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, target_format.file)
        with chatter_to(Path(scratch, "export.log")):
            prepare_process(cpu_count())
            difference = convert(winner, target_format, path, images.pixels)
        check_parity(target_format, difference, images)
        (target / target_format.file).write_bytes(path.read_bytes())
    (target / SIGNATURE).write_text(winner.signature.to_json(), encoding="utf-8")
    return [
        f"Written to {target}: {target_format.file}, and {SIGNATURE}, which says how an image becomes its input",
        f"Compared on {len(images.pixels)} {images.source} images: the largest difference of a probability is "
        f"{difference:.1e} (at most {TOLERANCE:.0e} is accepted)",
    ]


def parity_images(winner: ExportedWinner, cache: Path) -> ParityImages:
    """Up to `IMAGES` validation images, evenly from all of them; random ones where the cache does not hold these."""
    prepared = None if winner.run is None else open_prepared(cache, winner.signature.training_images)
    if prepared is not None and winner.folder.exists("manifest.parquet"):
        manifest, splits = read_manifest(io.BytesIO(winner.folder.read("manifest.parquet")))
        pairs = zip(manifest.rows, splits, strict=True)
        rows = [row.index for row, split in pairs if row.pool == POOL and split == VALIDATION]
        if rows:
            places = np.linspace(0, len(rows) - 1, min(IMAGES, len(rows))).astype(np.int64)
            return ParityImages("validation", prepared.open()[np.array(rows, np.int64)[places]])
    shape = winner.signature.rules.image.shape
    return ParityImages("random", np.random.default_rng(0).integers(0, 256, (IMAGES, *shape), np.uint8))


def convert(winner: ExportedWinner, target_format: Format, path: Path, pixels: NDArray[np.uint8]) -> float:
    """Write a winner's model to a file of a format; returns the largest difference of a probability on some images.

    Args:
        winner: with its model.
        target_format: `ONNX` or `LITERT`.
        path: of the file.
        pixels: uint8 (N, size, size, channels).

    Raises:
        SettingsError: the model cannot be converted, or the file cannot be run.
    """
    images = np.divide(pixels, 255, dtype=np.float32)
    model = winner.load_model()
    expected = np.asarray(model.predict_on_batch(images), np.float32)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the converters, about their own use of NumPy and protobuf
            model.export(str(path), format=target_format.name, verbose=False)
            found = target_format.run(path, images)
    except Exception as error:  # the converters and runtimes have no error of their own
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise SettingsError(
            f"A winner is exported to {target_format.title} where that format has all of its layers. Received: "
            f"{winner.folder.url} ({reason}). Use its model.keras."
        ) from error
    return float(np.abs(found - expected).max())


def check_parity(target_format: Format, difference: float, images: ParityImages) -> None:
    """Check that a converted model gives the original's probabilities.

    Raises:
        SettingsError: it does not.
    """
    if not difference <= TOLERANCE:
        raise SettingsError(
            f"A converted model gives the winner's probabilities within {TOLERANCE:.0e}. Received: a difference of "
            f"{difference:.1e} on {len(images.pixels)} {images.source} images in {target_format.title}. The file is "
            "not kept: use model.keras, or another format."
        )


def _run_onnx(path: Path, images: Images) -> Outputs:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0], np.float32)


def _run_litert(path: Path, images: Images) -> Outputs:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, images)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), np.float32)


ONNX = Format("onnx", "ONNX", "model.onnx", {"tf2onnx": "tf2onnx", "onnxruntime": "onnxruntime"}, _run_onnx)
LITERT = Format("litert", "LiteRT", "model.tflite", {"ai_edge_litert": "ai-edge-litert"}, _run_litert)
