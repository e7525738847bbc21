"""The bundled sample as an archive has it, to try DICOM and tables on: `python -m data_pipeline.archive FOLDER`.

It writes each X-ray as a DICOM file below `FOLDER/dicom`, in a folder a class, and once more below `FOLDER/table`,
where `Data_Entry.csv`, in the form of NIH's ChestX-ray14, has the labels. Patients have the numbers of the sample's
file names. What the sample does not state (birth dates, ages, sexes, machines) is left out.
"""

import argparse
import csv
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.folders import walk_files
from data_pipeline.manifest import BadFile
from data_pipeline.opencv import opencv
from data_pipeline.patients import AUTO, read_patients
from data_pipeline.sources import locate

if TYPE_CHECKING:
    import pydicom

TABLE = Path("table", "Data_Entry.csv")
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
_FINDINGS = {"NORMAL": "No Finding", "PNEUMONIA": "Pneumonia"}
_WIDTH = 256.0  # of the window of 8-bit greys


@dataclass(frozen=True)
class XRay:
    """An image of the sample: its file, the folder of its class, and its patient."""

    path: Path
    folder: str
    patient: str

    @property
    def name(self) -> str:
        """A name that no other image has: Kaggle's file names may occur in its train and in its test folder."""
        return f"{self.path.parent.parent.name}-{self.path.stem}"


def sample_images() -> Iterator[XRay]:
    """The images of the sample, in the order of their paths."""
    root, patients = locate("sample", None), read_patients(AUTO, ())
    found = (path for path in walk_files(root) if not isinstance(path, BadFile))
    for path in map(Path, sorted(found)):
        if path.parent.name in _FINDINGS:
            patient = patients.group_of(path.relative_to(root).as_posix(), path.parent.parent.name)
            yield XRay(path, path.parent.name, patient)


def to_dicom(image: XRay) -> "pydicom.Dataset":
    """An image as a frontal digital chest X-ray, uncompressed."""
    import pydicom
    from pydicom import uid

    pixels = opencv().imread(str(image.path), opencv().IMREAD_GRAYSCALE)
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    own = uid.generate_uid(entropy_srcs=[image.name])  # the same each time
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = own
    dataset.PatientID, dataset.Modality, dataset.BodyPartExamined = image.patient, "DX", "CHEST"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.WindowCenter, dataset.WindowWidth = _WIDTH / 2, _WIDTH
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    return dataset


def write_archive(folder: Path) -> int:
    """Write the sample as DICOM files and as images with a table; returns how many images there are."""
    rows = []
    images = folder / TABLE.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    for image in sample_images():
        target = folder / "dicom" / image.folder / f"{image.name}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        to_dicom(image).save_as(target, enforce_file_format=True)
        name = f"{image.name}{image.path.suffix}"
        shutil.copyfile(image.path, images / name)
        rows.append((name, _FINDINGS[image.folder], image.patient))
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
    return len(rows)


def main(words: Sequence[str] | None = None) -> int:
    """Write the archive from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m data_pipeline.archive",
        description="The bundled sample as DICOM files, and as images with a table of labels, to try both on.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="is made if it does not exist")
    folder = Path(parser.parse_args(words).folder)
    try:
        count = write_archive(folder)
    except OSError as error:
        print(f"The archive is written to a folder. Received: {folder} ({error}). Choose another.", file=sys.stderr)
        return 2
    print(f"{count} images: {folder / 'dicom'}, {folder / TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
