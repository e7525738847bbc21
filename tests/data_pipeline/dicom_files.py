"""DICOM files made from the bundled sample, for tests."""

from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, uid
from pydicom.encaps import encapsulate

from tests.data_pipeline.conftest import NORMAL

NAME, PATIENT, BORN = "Musterfrau^Erika", "MRN-4711-X", "19640812"
_ENCODERS = {
    uid.JPEGBaseline8Bit: lambda pixels: imagecodecs.jpeg8_encode(pixels, level=100),
    uid.JPEGExtended12Bit: lambda pixels: imagecodecs.jpeg8_encode(pixels, level=100, bitspersample=12),
    uid.JPEGLosslessSV1: lambda pixels: imagecodecs.ljpeg_encode(pixels, bitspersample=12),
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="J2K"),
}


def sample_pixels(bits: int = 12, image: Path = NORMAL[0]) -> NDArray[Any]:
    """An X-ray of the sample with values of so many bits, uint8 or uint16 (224, 224)."""
    greys = cv2.imread(str(image), cv2.IMREAD_GRAYSCALE).astype(np.float64)
    return np.rint(greys / 255 * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def make_dataset(pixels: NDArray[Any], bits: int = 12, **tags: Any) -> Dataset:
    """A frontal chest X-ray of a patient with all that names one; a tag of None is left out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    given = {
        "PatientName": NAME, "PatientID": PATIENT, "PatientBirthDate": BORN, "PatientSex": "F", "PatientAge": "057Y",
        "Modality": "DX", "BodyPartExamined": "CHEST", "ViewPosition": "PA", "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[-2], "Columns": pixels.shape[-1], "SamplesPerPixel": 1, "BitsStored": bits,
        "BitsAllocated": pixels.dtype.itemsize * 8, "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }  # fmt: skip
    for tag, value in (given | tags).items():
        if value is not None:
            setattr(dataset, tag, value)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    return dataset


def save(dataset: Dataset, path: Path, syntax: uid.UID = uid.ExplicitVRLittleEndian) -> Path:
    """The file of a data set in a transfer syntax."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.frombuffer(dataset.PixelData, f"u{dataset.BitsAllocated // 8}").reshape(dataset.Rows, dataset.Columns)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == uid.RLELossless:
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax in _ENCODERS:
        dataset.PixelData = encapsulate([_ENCODERS[syntax](pixels)])
        dataset["PixelData"].VR = "OB"
    elif syntax == uid.ExplicitVRBigEndian:
        dataset.PixelData = pixels.byteswap().tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path
