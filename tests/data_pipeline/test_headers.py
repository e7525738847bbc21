import io
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data_pipeline.headers import Header, read_header

GREYS: NDArray[np.uint16] = np.arange(64, dtype=np.uint16).reshape(8, 8) * 64


def encode_tiff(
    pixels: NDArray[np.uint16], photometric: int = 1, kinds: tuple[int, ...] = (0,), order: str = "<"
) -> bytes:
    """A TIFF of 16 bits with one page a kind, all of the same pixels; 1 is a preview."""
    data = pixels.astype(f"{order}u2").tobytes()
    file = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    height, width = pixels.shape
    for place, kind in enumerate(kinds):
        strip = len(file) + 2 + 10 * 12 + 4
        longs = {254: kind, 256: width, 257: height, 273: strip, 278: height, 279: len(data)}
        shorts = {258: 16, 259: 1, 262: photometric, 277: 1}
        file += struct.pack(f"{order}H", 10)
        for tag in sorted(longs | shorts):
            form, value = ("HHII", longs[tag]) if tag in longs else ("HHIHxx", shorts[tag])
            file += struct.pack(f"{order}{form}", tag, 4 if tag in longs else 3, 1, value)
        file += struct.pack(f"{order}I", strip + len(data) if place + 1 < len(kinds) else 0) + data
    return file


def encode(images: list[Image.Image], kind: str) -> bytes:
    buffer = io.BytesIO()
    images[0].save(buffer, kind, save_all=len(images) > 1, append_images=images[1:])
    return buffer.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_tells_its_bits_and_polarity(order: str) -> None:
    assert read_header(encode_tiff(GREYS, order=order)) == Header(16)
    assert read_header(encode_tiff(GREYS, photometric=0, order=order)) == Header(16, inverted=True)


def test_a_png_tells_its_bits() -> None:
    assert read_header(encode([Image.fromarray(GREYS)], "PNG")).bits == 16
    assert read_header(encode([Image.new("1", (8, 8))], "PNG")).bits == 8


def test_a_preview_is_no_second_page() -> None:
    assert read_header(encode_tiff(GREYS, kinds=(0, 1))).problem == ""
    assert read_header(encode_tiff(GREYS, kinds=(0, 0, 1))).problem.startswith("holds 2 pages")


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "WEBP"])
def test_several_images_in_a_file_are_a_problem(kind: str) -> None:
    frames = [Image.new("L", (16, 16), value) for value in (10, 100, 200)]
    assert read_header(encode(frames, kind)).problem.startswith("holds 3 ")
    assert read_header(encode(frames[:1], kind)).problem == ""


@pytest.mark.parametrize("length", range(4, 140, 3))
def test_a_damaged_tiff_is_left_to_decoding(length: int) -> None:
    assert read_header(encode_tiff(GREYS)[:length]).problem == ""


def test_pages_in_a_circle_end() -> None:
    data = bytearray(encode_tiff(GREYS))
    data[8 + 2 + 120 : 8 + 2 + 124] = struct.pack("<I", 8)
    assert "pages" in read_header(bytes(data)).problem


def test_a_jpeg_of_the_sample_has_no_problem() -> None:
    import data_pipeline

    file = next((Path(data_pipeline.__file__).parent / "sample/test/NORMAL").iterdir())
    assert read_header(file.read_bytes()) == Header()
