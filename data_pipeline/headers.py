"""What the first bytes of an encoded image say: bits, polarity, how many images it holds, whether its end is there."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

TRUNCATED = "truncated: the end of the file is missing"
_MOST_PAGES = 10_000  # a damaged TIFF may link its pages in a circle

# Tags of TIFF. Source: TIFF 6.0, sections 2 and 8; TIFF Technical Note 2 for the kinds of pages.
_NEW_SUBFILE, _BITS, _PHOTOMETRIC = 254, 258, 262
_IS_PREVIEW, _IS_MASK = 1, 4
_WHITE_IS_ZERO = 0


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its image.

    Attributes:
        bits: Of a grey value, 8 where they are fewer.
        inverted: Whether 0 is white (TIFF's MinIsWhite).
        problem: Why the file cannot be used; empty where it can.
    """

    bits: int = 8
    inverted: bool = False
    problem: str = ""


def read_header(data: bytes) -> Header:
    """The header of an encoded JPEG, PNG, BMP, TIFF or WebP image."""
    if is_truncated(data):
        return Header(problem=TRUNCATED)
    if data.startswith(b"\x89PNG"):
        frames = data.find(b"acTL", 0, data.find(b"IDAT"))
        count = int.from_bytes(data[frames + 4 : frames + 8], "big") if frames > 0 else 1
        return Header(bits=max(8, data[24]), problem=_check_count(count, "frames"))
    if data.startswith(b"RIFF") and data[12:16] == b"VP8X" and data[20] & 2:
        return Header(problem=_check_count(data.count(b"ANMF"), "frames"))
    return _read_tiff(data) if data.startswith((b"II*\0", b"MM\0*")) else Header()


def _check_count(count: int, what: str) -> str:
    return f"holds {count} {what}: only files with a single image are read" if count > 1 else ""


def _read_tiff(data: bytes) -> Header:
    pages = [page for page in _tiff_pages(data) if not page.get(_NEW_SUBFILE, 0) & (_IS_PREVIEW | _IS_MASK)]
    if not pages:  # damaged, as decoding will tell
        return Header()
    first = pages[0]
    inverted = first.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    return Header(max(8, first.get(_BITS, 1)), inverted, _check_count(len(pages), "pages"))


def _tiff_pages(data: bytes) -> Iterator[dict[int, int]]:
    """The first value of the tags of interest of each page, as far as the file can be read."""
    order = "<" if data.startswith(b"II") else ">"
    place = struct.unpack_from(f"{order}I", data, 4)[0] if len(data) >= 8 else 0
    for _ in range(_MOST_PAGES):
        if not 0 < place <= len(data) - 6:
            return
        count = struct.unpack_from(f"{order}H", data, place)[0]
        end = place + 2 + 12 * count
        if end + 4 > len(data):
            return
        yield dict(_tiff_tags(data, order, place + 2, count))
        place = struct.unpack_from(f"{order}I", data, end)[0]


def _tiff_tags(data: bytes, order: str, start: int, count: int) -> Iterator[tuple[int, int]]:
    for place in range(start, start + 12 * count, 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, place)
        if tag not in (_NEW_SUBFILE, _BITS, _PHOTOMETRIC):
            continue
        form, size = ("H", 2) if kind == 3 else ("I", 4)
        at = place + 8
        if values * size > 4:  # the values lie elsewhere
            at = struct.unpack_from(f"{order}I", data, at)[0]
        if at + size <= len(data):
            yield tag, struct.unpack_from(f"{order}{form}", data, at)[0]


def is_truncated(data: bytes) -> bool:
    """Whether an encoded JPEG or PNG ends early; OpenCV decodes such a file without an error."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if data.startswith(b"\xff\xd8"):
        return data.find(b"\xff\xd9", _find_scan(data)) < 0
    return False


def _find_scan(data: bytes) -> int:
    """Where a JPEG's compressed pixels begin; a preview before them may have an end of its own."""
    position = 2
    while data[position : position + 1] == b"\xff" and data[position + 1 : position + 2] != b"\xda":
        if data[position + 1 : position + 2] == b"\xff":  # padding
            position += 1
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position
