"""Image files to one uint8 array on disk, decoded once on all cores and then read as a memory map."""

import hashlib
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from data_pipeline.dicom import is_dicom, render
from data_pipeline.manifest import DataError, ImageRow
from data_pipeline.opencv import MAX_MEGAPIXELS, opencv

INTERPOLATIONS = ("area", "linear", "cubic", "lanczos", "nearest")
TRUNCATED = "truncated: the end of the file is missing"
Progress = Callable[[int, int], None]  # called with the images done and all images

_FORMAT = 1  # raise it when the pixels made from a file change: old caches are then ignored
_CHUNK = 512  # images decoded ahead of the writer, at most: 26 MB at 224 x 224
_STALE_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """How an image file becomes an array.

    Attributes:
        size: Width and height in pixels; the aspect ratio is not kept, as in the report.
        channels: 1 for greyscale, 3 for red, green and blue.
        interpolation: One of INTERPOLATIONS; "area" averages, which is right for making images smaller.
    """

    size: int = 224
    channels: int = 1
    interpolation: str = "area"

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 4096:
            raise DataError(f"The image size must lie between 8 and 4096 pixels. Received: {self.size}.")
        if self.channels not in (1, 3):
            raise DataError(f"Images have 1 channel (grey) or 3 (colour). Received: {self.channels}.")
        if self.interpolation not in INTERPOLATIONS:
            raise DataError(
                f"The interpolation is one of {', '.join(INTERPOLATIONS)}. Received: {self.interpolation!r}."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every prepared image."""
        return (self.size, self.size, self.channels)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What decoding found of a file: its size in pixels, or why it could not be read."""

    width: int = 0
    height: int = 0
    error: str = ""


@dataclass(frozen=True)
class PreparedImages:
    """Prepared images on disk, in the order of their rows, unreadable files left out."""

    path: Path  # holds images.npy and facts.json
    facts: tuple[ImageFacts, ...]  # one for each requested row, unreadable ones too

    @cached_property
    def count(self) -> int:
        """Number of images in the array."""
        return sum(not fact.error for fact in self.facts)

    @property
    def fingerprint(self) -> str:
        """A hash of the files' content, their order and the settings: equal ones have equal pixels."""
        return self.path.name

    def open(self) -> NDArray[np.uint8]:
        """The images as a read-only memory map, uint8 (count, size, size, channels), 0 black to 255 white.

        Raises:
            DataError: The cached array is damaged.
        """
        file = self.path / "images.npy"
        try:
            images: NDArray[np.uint8] = np.load(file, mmap_mode="r" if self.count else None)
        except (OSError, ValueError) as error:
            raise DataError(
                f"The prepared images must be readable. Received: {file} ({error}). "
                f"Delete the folder {self.path} and run again."
            ) from error
        return images


def prepare_images(
    rows: Sequence[ImageRow], settings: ImageSettings, cache_dir: Path, progress: Progress | None = None
) -> PreparedImages:
    """The images of `rows` as an array on disk, from the cache if the same were prepared before.

    The cache is keyed by content, order and settings, not by names. A new entry is made in a folder of its own and
    renamed when complete: neither a kill nor a second run at the same time leaves a broken entry.

    Raises:
        DataError: The cache folder cannot be written, or a file has vanished since it was listed.
    """
    entry = cache_dir.expanduser() / _cache_key(rows, settings)
    if not entry.is_dir():
        try:
            _make_entry(entry, rows, settings, progress)
        except OSError as error:
            raise DataError(
                f"The prepared images need {len(rows) * np.prod(settings.shape) / 1e6:.0f} MB in a folder that can be "
                f"written. Received: {entry.parent} ({error.strerror}). Free some space, or choose another folder with "
                "data.cache=FOLDER."
            ) from error
    return PreparedImages(entry, _read_facts(entry))


def _cache_key(rows: Sequence[ImageRow], settings: ImageSettings) -> str:
    lines = [f"{_FORMAT} {json.dumps(asdict(settings), sort_keys=True)}", *(row.content_hash for row in rows)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _read_facts(entry: Path) -> tuple[ImageFacts, ...]:
    file = entry / "facts.json"
    try:
        return tuple(ImageFacts(*fact) for fact in json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"The prepared images must be readable. Received: {file} ({error}). "
            f"Delete the folder {entry} and run again."
        ) from error


def _make_entry(entry: Path, rows: Sequence[ImageRow], settings: ImageSettings, progress: Progress | None) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(entry.parent)
    unfinished = entry.parent / f"unfinished-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    unfinished.mkdir()
    try:
        with (unfinished / "images.npy").open("wb") as file:
            facts = _write_images(file, rows, settings, progress)
        plain = [(fact.width, fact.height, fact.error) for fact in facts]
        (unfinished / "facts.json").write_text(json.dumps(plain))
        try:
            unfinished.rename(entry)
        except OSError:
            if not entry.is_dir():  # otherwise another run made the same entry first
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove_stale(cache_dir: Path) -> None:
    """Remove the leftovers of killed runs: of this host at once, of others (a shared disk) after a day."""
    for folder in cache_dir.glob("unfinished-*"):
        host, pid, _ = folder.name.removeprefix("unfinished-").rsplit("-", 2)
        try:
            aged = time.time() - folder.stat().st_mtime > _STALE_SECONDS
        except FileNotFoundError:  # renamed or removed by its run just now
            continue
        if aged or (host == socket.gethostname() and not _is_running(int(pid))):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _write_images(
    file: BinaryIO, rows: Sequence[ImageRow], settings: ImageSettings, progress: Progress | None
) -> list[ImageFacts]:
    """Write the readable images as one npy file; returns the facts of every file."""
    # not through a memory map: on a full disk the system kills a process that writes to it
    _write_header(file, len(rows), settings)
    facts: list[ImageFacts] = []
    for image, fact in _decode_all([row.path for row in rows], settings):
        if image is not None:
            file.write(image.tobytes())
        facts.append(fact)
        if progress is not None:
            progress(len(facts), len(rows))
    # numpy pads the header so that the number of rows can change in place
    file.seek(0)
    _write_header(file, sum(not fact.error for fact in facts), settings)
    return facts


def _write_header(file: BinaryIO, count: int, settings: ImageSettings) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *settings.shape)}
    np.lib.format.write_array_header_1_0(file, header)


def _decode_all(paths: Sequence[str], settings: ImageSettings) -> Iterator[tuple[NDArray[np.uint8] | None, ImageFacts]]:
    decode = partial(_decode_file, settings=settings)
    opencv()
    with ThreadPoolExecutor(max_workers=_cpu_count()) as threads:
        for start in range(0, len(paths), _CHUNK):
            yield from threads.map(decode, paths[start : start + _CHUNK])


def _cpu_count() -> int:
    """CPUs that this process may use; in a container or a batch job they are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode_file(path: str, settings: ImageSettings) -> tuple[NDArray[np.uint8] | None, ImageFacts]:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        # the disk's fault, not the content's: the cache must not keep it
        raise DataError(f"A listed file must stay readable. Received: {path} ({error.strerror}). Run again.") from error
    try:
        image, width, height = decode_image(data, settings)
    except DataError as error:
        return None, ImageFacts(error=str(error))
    return image, ImageFacts(width, height)


def decode_image(data: bytes, settings: ImageSettings) -> tuple[NDArray[np.uint8], int, int]:
    """The image in an encoded file, uint8 (size, size, channels), and the file's width and height in pixels.

    The rotation in EXIF is applied, transparency is dropped, palettes and CMYK become colours, and 16 bits a
    pixel are scaled over their whole range: 65,535 becomes 255. DICOM is shown as `data_pipeline.dicom.render` does.

    Raises:
        DataError: The file is truncated, damaged or larger than MAX_MEGAPIXELS; the message is the reason.
    """
    cv2 = opencv()
    image = _decode_dicom(data, settings) if is_dicom(data) else _decode_picture(data, settings)
    height, width = image.shape[:2]
    if (height, width) != (settings.size, settings.size):
        method = {
            "area": cv2.INTER_AREA,
            "linear": cv2.INTER_LINEAR,
            "cubic": cv2.INTER_CUBIC,
            "lanczos": cv2.INTER_LANCZOS4,
            "nearest": cv2.INTER_NEAREST,
        }[settings.interpolation]
        image = cv2.resize(image, (settings.size, settings.size), interpolation=method)
    return _to_uint8(image).reshape(settings.shape), width, height


def _decode_picture(data: bytes, settings: ImageSettings) -> NDArray[Any]:
    if is_truncated(data):
        raise DataError(TRUNCATED)
    cv2 = opencv()
    mode = cv2.IMREAD_GRAYSCALE if settings.channels == 1 else cv2.IMREAD_COLOR_RGB
    try:
        image: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        image = None
    # The size is checked again: OpenCV has no limit where something else imported it first.
    if image is None or image.shape[0] * image.shape[1] > MAX_MEGAPIXELS * 1_000_000:
        raise DataError(f"cannot be decoded: damaged, or above {MAX_MEGAPIXELS} megapixels")
    return image


def _decode_dicom(data: bytes, settings: ImageSettings) -> NDArray[Any]:
    """The greys of a DICOM file, in as many channels as wanted."""
    greys = render(data)
    return greys if settings.channels == 1 else np.repeat(greys[:, :, np.newaxis], settings.channels, axis=2)


def _to_uint8(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        scaled: NDArray[np.uint8] = np.rint(image / np.float32(257.0)).astype(np.uint8)  # 65,535 = 257 * 255
        return scaled
    raise DataError(f"pixels of type {image.dtype} have no known range: save the image with 8 or 16 bits")


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
