"""Preparation of DICOM files on all cores, against one plain pydicom loop.

`python -m benchmarks.dicom [--root FOLDER]`; about five minutes. The data set's images are enlarged to 2,000 DICOM
files of 12 bits and about 800 x 800 pixels in a temporary folder (about 1.5 GB), a fifth in each of five encodings.
"""

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.machine import timed
from benchmarks.measurement import Machine, Measurement, Options
from benchmarks.prepare import beside_loop, speed
from data_pipeline.dataset import list_dataset
from data_pipeline.folders import scan_folder
from data_pipeline.identity import Pseudonyms
from data_pipeline.image_file import FileRules
from data_pipeline.preprocess import ImageSettings, prepare_images
from data_pipeline.settings import DataSettings

FILES, QUICK_FILES = 2000, 20
SIDE, SIZE_STEP = 800, 10  # pixels, and those by which neighbours differ: no two files are equal
ENCODINGS = ("uncompressed", "RLE", "JPEG lossless", "JPEG-LS", "JPEG 2000")


def measure(options: Options, machine: Machine) -> Measurement:
    """Images a second, ours and the loop in turn."""
    with tempfile.TemporaryDirectory(prefix="xray-bench-") as scratch:
        folder = Path(scratch, "images")
        sources = [row.path for row in list_dataset(DataSettings(root=options.root)).rows]
        write_dicom(sources, folder, QUICK_FILES if options.quick else FILES)
        rules = FileRules((), Pseudonyms(Path(scratch, "key")))
        rows = scan_folder(folder, "folders", positive=None, rules=rules).rows
        ours, loop, listed = [], [], []
        for repeat in range(options.repeats):
            cache = Path(scratch, f"cache-{repeat}")
            ours.append(timed(lambda cache=cache: prepare_images(rows, ImageSettings(), cache)))  # type: ignore[misc]
            loop.append(timed(lambda: pydicom_loop([row.path for row in rows], ImageSettings().size)))
            listed.append(timed(lambda: scan_folder(folder, "folders", positive=None, rules=rules)))
    return summarize(len(rows), ours, loop, listed, machine)


def summarize(
    files: int, ours: Sequence[float], loop: Sequence[float], listed: Sequence[float], machine: Machine
) -> Measurement:
    """The measurement that these seconds make, of preparing, of the loop and of listing the files."""
    return Measurement(
        question="How much of all cores does preparing DICOM files use?",
        setting=f"{files:,} DICOM files of 12 bits and about {SIDE} x {SIDE}, in the system's file cache, a fifth each "
        f"{', '.join(ENCODINGS)}; both apply the window, invert MONOCHROME1 and average down to 224 x 224. The loop "
        "runs pydicom's functions over every pixel on one thread; it has our codecs where pydicom has none of its own.",
        comparisons=(beside_loop(files, ours, loop, "one pydicom loop, one thread", machine),),
        others=(speed("listing and hashing the files and reading their tags, once before", files, listed),),
        limited_by="the decoders, which give the GIL back; reading the tags holds it.",
        physical_limit=f"the codecs alone on {machine.cores} cores; not measured.",
        notes=("Ours finds the grey of each stored value once and looks it up; the loop computes it for every pixel.",),
    )


def write_dicom(sources: Sequence[str], folder: Path, files: int) -> None:
    """Write so many enlarged copies of the images as DICOM, in each of `ENCODINGS` in turn, one folder a class."""
    import cv2

    for place, source in enumerate(itertools.islice(itertools.cycle(sources), files)):
        grey: Any = cv2.imread(source, cv2.IMREAD_GRAYSCALE)
        side = SIDE + SIZE_STEP * (place % 21 - 10)
        large = cv2.resize(grey.astype(np.float32) * 16, (side, side), interpolation=cv2.INTER_CUBIC)
        noise = np.random.default_rng(place).normal(0, 8, large.shape)  # a detector's; without it codecs are too fast
        pixels = np.clip(large + noise, 0, 4095).astype(np.uint16)
        path = folder / ("even", "odd")[place % 2] / f"{place:04d}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        _dataset(pixels, place).save_as(path, enforce_file_format=True)


def _dataset(pixels: Any, place: int) -> Any:
    import imagecodecs
    from pydicom import Dataset, FileMetaDataset, uid
    from pydicom.encaps import encapsulate

    encodings: tuple[tuple[uid.UID, Any], ...] = (
        (uid.ExplicitVRLittleEndian, None),
        (uid.RLELossless, None),
        (uid.JPEGLosslessSV1, lambda: imagecodecs.ljpeg_encode(pixels, bitspersample=12)),
        (uid.JPEGLSLossless, lambda: imagecodecs.jpegls_encode(pixels)),
        (uid.JPEG2000Lossless, lambda: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="J2K")),
    )
    syntax, encode = encodings[place % len(encodings)]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = uid.generate_uid(entropy_srcs=[str(place)])
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "DX", "CHEST", "PA"
    dataset.PatientID = f"patient-{place // 3}"
    dataset.PhotometricInterpretation = ("MONOCHROME1", "MONOCHROME2")[place // 2 % 2]
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.WindowCenter, dataset.WindowWidth = 2048, 3600
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    if encode is not None:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([encode()])
        dataset["PixelData"].VR = "OB"
    elif syntax == uid.RLELossless:
        dataset.compress(syntax, generate_instance_uid=False)
    return dataset


def pydicom_loop(paths: Sequence[str], size: int) -> Any:
    """What a script does: uint8 (N, size, size), one file after the other on one thread."""
    import cv2
    import pydicom
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    from data_pipeline.dicom_codecs import register

    register()
    cv2.setNumThreads(1)
    images = []
    for path in paths:
        dataset = pydicom.dcmread(path)
        shown = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset) / (2**dataset.BitsStored - 1)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            shown = 1 - shown
        resized = cv2.resize(shown.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
        images.append(np.rint(resized * 255).astype(np.uint8))
    return np.stack(images)


if __name__ == "__main__":
    harness.main(measure, __doc__)
