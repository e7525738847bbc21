"""Decodes one image file to grey values whose bits and polarity are known, and makes 8 bits of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.dicom import is_dicom, render
from data_pipeline.headers import read_header
from data_pipeline.manifest import DataError
from data_pipeline.opencv import MAX_MEGAPIXELS, opencv


@dataclass(frozen=True, slots=True)
class Decoded:
    """The pixels of a file as it stores them, or for DICOM as a viewer shows them.

    Attributes:
        pixels: uint8 or uint16, (H, W), or (H, W, 3) in red, green and blue.
        inverted: Whether 0 is white.
        white: The value that is white, where the file tells it; 0 where only its set does.
    """

    pixels: NDArray[Any]
    inverted: bool = False
    white: int = 0

    @property
    def peak(self) -> int:
        """The largest value that tells how many bits are used; 0 for 8 bits a value, which have their range."""
        return int(self.pixels.max()) if self.pixels.dtype == np.uint16 else 0


def decode(data: bytes, channels: int = 1) -> Decoded:
    """The pixels of an encoded image file, of every format that is read.

    The rotation in EXIF is applied, transparency is dropped, and palettes and CMYK become colours. DICOM comes as
    `data_pipeline.dicom.render` shows it, over the whole range of its type.

    Args:
        data: The content of the file.
        channels: 1 for greyscale, 3 for red, green and blue.

    Raises:
        DataError: The file is truncated, damaged, larger than MAX_MEGAPIXELS, holds several images, or has pixels
        without a known range; the message is the reason.
    """
    if is_dicom(data):
        greys = render(data)
        pixels = greys if channels == 1 else np.repeat(greys[:, :, np.newaxis], channels, axis=2)
        return Decoded(pixels, white=int(np.iinfo(greys.dtype).max))
    header = read_header(data)
    if header.problem:
        raise DataError(header.problem)
    cv2 = opencv()
    mode = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        image = None
    # The size is checked again: OpenCV has no limit where something else imported it first.
    if image is None or image.shape[0] * image.shape[1] > MAX_MEGAPIXELS * 1_000_000:
        raise DataError(f"cannot be decoded: damaged, or above {MAX_MEGAPIXELS} megapixels")
    if image.dtype not in (np.uint8, np.uint16):
        raise DataError(f"pixels of type {image.dtype} have no known range: save the image with 8 or 16 bits")
    return Decoded(image, header.inverted and image.dtype == np.uint16)  # OpenCV inverts 8 bits itself


def white_of(peak: int) -> int:
    """The white of a set: the largest value of the fewest bits, 8 or more, that hold the largest value of its files.

    4,095 for the 12 bits of many X-ray machines; 65,535 where all 16 bits are used.
    """
    return (1 << max(8, peak.bit_length())) - 1


def to_uint8(decoded: Decoded, white: int) -> NDArray[np.uint8]:
    """The pixels as uint8 of the same shape, 0 black to 255 white; values above white become 255.

    Args:
        decoded: Of a file.
        white: The value that is white in the set, 255 to 65,535; without a meaning where the file tells its own, and
            for 8 bits a value, whose white is 255.
    """
    pixels = decoded.pixels
    if pixels.dtype == np.uint8:
        return pixels
    white = decoded.white or white
    scaled: NDArray[np.uint8] = np.rint(np.minimum(pixels, white) / np.float32(white / 255)).astype(np.uint8)
    return 255 - scaled if decoded.inverted else scaled
