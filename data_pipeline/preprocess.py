"""Image files to one uint8 array on disk, decoded once on all cores and then read as a memory map."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from data_pipeline.decode import Decoded, decode, to_uint8, white_of
from data_pipeline.limits import cpu_count
from data_pipeline.looks import empty_looks, look_of
from data_pipeline.manifest import DataError, ImageRow
from data_pipeline.opencv import opencv

INTERPOLATIONS = ("area", "linear", "cubic", "lanczos", "nearest")
Progress = Callable[[int, int], None]  # called with the images done and all images

_FORMAT = 1  # raise it when the pixels made from a file change: old caches are then ignored
_CHUNK = 512  # images decoded ahead of the writer, at most: 26 MB at 224 x 224
_STALE_SECONDS = 86_400.0
_UNFINISHED = re.compile(r"unfinished-(.+)-(\d+)-[0-9a-f]{8}")  # the host and the process that prepare an entry


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """How an image file becomes an array.

    Attributes:
        size: Width and height in pixels.
        channels: 1 for greyscale, 3 for red, green and blue.
        interpolation: One of INTERPOLATIONS; "area" averages, which is right for making images smaller.
        keep_aspect: Whether the image keeps its aspect ratio, in the middle of a black square; if not, it is stretched
            to the square, as in the report.
    """

    size: int = 224
    channels: int = 1
    interpolation: str = "area"
    keep_aspect: bool = False

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

    path: Path  # holds images.npy, looks.npy, facts.json and, where the set told which value is white, white.json
    facts: tuple[ImageFacts, ...]  # one for each requested row, unreadable ones too
    white: int = 0  # the value that became 255 in files of more than 8 bits; 0 where there is no such file
    cut: int = 0  # images with values above it

    @cached_property
    def count(self) -> int:
        """Number of images in the array."""
        return sum(not fact.error for fact in self.facts)

    @property
    def fingerprint(self) -> str:
        """A hash of the files' content, their order and the settings: equal ones have equal pixels."""
        return self.path.name

    @cached_property
    def looks(self) -> NDArray[np.uint8]:
        """The look of each image in the array, uint8 (count, 32): `data_pipeline.looks`."""
        try:
            looks: NDArray[np.uint8] = np.load(self.path / "looks.npy")
        except (OSError, ValueError):  # of an entry made before there were looks
            looks = np.stack([*map(look_of, self.open())]) if self.count else empty_looks()
            with contextlib.suppress(OSError):
                _save_looks(self.path, looks)
        return looks

    def open(self) -> NDArray[np.uint8]:
        """The images as a read-only memory map, uint8 (count, size, size, channels), 0 black to 255 white.

        Raises:
            DataError: The cached array is damaged.
        """
        file = self.path / "images.npy"
        try:
            images: NDArray[np.uint8] = np.load(file, mmap_mode="r" if self.count else None)
        except (OSError, ValueError) as error:
            raise _damaged(file, error) from error
        return images


def prepare_images(
    rows: Sequence[ImageRow],
    settings: ImageSettings,
    cache_dir: Path,
    progress: Progress | None = None,
    white: int = 0,
) -> PreparedImages:
    """The images of `rows` as an array on disk, from the cache if the same were prepared before.

    The cache is keyed by content, order and settings, not by names. A new entry is made in a folder of its own and
    renamed when complete: neither a kill nor a second run at the same time leaves a broken entry.

    Args:
        rows: The listed files.
        settings: How a file becomes an array.
        cache_dir: Where arrays are kept.
        progress: Called as images are decoded.
        white: The value that is white in files of more than 8 bits, as another set has it; 0: as these files together
            have it (`data_pipeline.decode.white_of`).

    Raises:
        DataError: The cache folder cannot be written, or a file has vanished since it was listed.
    """
    entry = cache_dir.expanduser() / _cache_key(rows, settings, white)
    if not entry.is_dir():
        try:
            _make_entry(entry, rows, settings, progress, white)
        except OSError as error:
            raise DataError(
                f"The prepared images need {len(rows) * np.prod(settings.shape) / 1e6:.0f} MB in a folder that can be "
                f"written. Received: {entry.parent} ({error.strerror}). Free some space, or choose another folder with "
                "data.cache=FOLDER."
            ) from error
    return PreparedImages(entry, _read_facts(entry), *_read_white(entry))


def open_prepared(cache_dir: Path, fingerprint: str) -> PreparedImages | None:
    """Images that were prepared before, by their fingerprint; None where the cache does not have them.

    Raises:
        DataError: The cached entry is damaged.
    """
    entry = cache_dir.expanduser() / fingerprint
    if not re.fullmatch(r"[0-9a-f]{32}", fingerprint) or not entry.is_dir():
        return None
    return PreparedImages(entry, _read_facts(entry), *_read_white(entry))


def _cache_key(rows: Sequence[ImageRow], settings: ImageSettings, white: int) -> str:
    values = asdict(settings)
    if not settings.keep_aspect:  # keys of before there was a choice
        del values["keep_aspect"]
    lines = [f"{_FORMAT} {json.dumps(values, sort_keys=True)}", *(row.content_hash for row in rows)]
    if _are_deep(rows):
        lines.append(f"white {white or 'of the set'}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _read_facts(entry: Path) -> tuple[ImageFacts, ...]:
    file = entry / "facts.json"
    try:
        return tuple(ImageFacts(*fact) for fact in json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> DataError:
    return DataError(
        f"The prepared images must be readable. Received: {file} ({error}). "
        f"Delete the folder {file.parent} and run again."
    )


def _are_deep(rows: Sequence[ImageRow]) -> bool:
    """Whether there is a file of more than 8 bits a value."""
    return any(row.bits > 8 for row in rows)


def _read_white(entry: Path) -> tuple[int, int]:
    """The value that became 255, and the images with values above it; zeros where no file has more than 8 bits."""
    file = entry / "white.json"
    if not file.exists():
        return 0, 0
    try:
        white, cut = json.loads(file.read_text())
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(file, error) from error
    return white, cut


def _save_looks(folder: Path, looks: NDArray[np.uint8]) -> None:
    """Write looks.npy in one step, as a second process may read it."""
    unfinished = folder / f"looks-{os.getpid()}-{uuid.uuid4().hex[:8]}.npy"
    np.save(unfinished, looks)
    unfinished.replace(folder / "looks.npy")


def _make_entry(
    entry: Path, rows: Sequence[ImageRow], settings: ImageSettings, progress: Progress | None, white: int
) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(entry.parent)
    unfinished = entry.parent / f"unfinished-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    unfinished.mkdir()
    try:
        peaks = _find_peaks(rows)
        white = white or white_of(max(peaks, default=0))
        if peaks:
            cut = sum(peak > white for peak in peaks)
            (unfinished / "white.json").write_text(json.dumps([white, cut]))
        with (unfinished / "images.npy").open("wb") as file:
            facts, looks = _write_images(file, rows, settings, progress, white)
        _save_looks(unfinished, looks)
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
        made = _UNFINISHED.fullmatch(folder.name)
        if made is None:  # no leftover: the cache may lie in a folder with the user's own files
            continue
        host, pid = made.groups()
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


def _find_peaks(rows: Sequence[ImageRow]) -> list[int]:
    """The largest value of each readable file of more than 8 bits."""
    paths = [row.path for row in rows if row.bits > 8]
    with ThreadPoolExecutor(max_workers=cpu_count()) as threads:
        return [peak for peak in threads.map(_find_peak, paths) if peak is not None]


def _find_peak(path: str) -> int | None:
    try:
        return decode(_read(path)).peak
    except DataError:  # listed with its reason when the image is made
        return None


def _write_images(
    file: BinaryIO, rows: Sequence[ImageRow], settings: ImageSettings, progress: Progress | None, white: int
) -> tuple[list[ImageFacts], NDArray[np.uint8]]:
    """Write the readable images as one npy file; returns the facts of every file and the looks of the readable ones."""
    # not through a memory map: on a full disk the system kills a process that writes to it
    _write_header(file, len(rows), settings)
    facts: list[ImageFacts] = []
    looks: list[NDArray[np.uint8]] = []
    for image, look, fact in _decode_all([row.path for row in rows], settings, white):
        if image is not None and look is not None:
            file.write(image.tobytes())
            looks.append(look)
        facts.append(fact)
        if progress is not None:
            progress(len(facts), len(rows))
    # numpy pads the header so that the number of rows can change in place
    file.seek(0)
    _write_header(file, sum(not fact.error for fact in facts), settings)
    return facts, np.stack(looks) if looks else empty_looks()


def _write_header(file: BinaryIO, count: int, settings: ImageSettings) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *settings.shape)}
    np.lib.format.write_array_header_1_0(file, header)


_Made = tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None, ImageFacts]  # an image, its look, its facts


def _decode_all(paths: Sequence[str], settings: ImageSettings, white: int) -> Iterator[_Made]:
    make = partial(_make_image, settings=settings, white=white)
    opencv()
    with ThreadPoolExecutor(max_workers=cpu_count()) as threads:
        for start in range(0, len(paths), _CHUNK):
            yield from threads.map(make, paths[start : start + _CHUNK])


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        # the disk's fault, not the content's: the cache must not keep it
        raise DataError(f"A listed file must stay readable. Received: {path} ({error.strerror}). Run again.") from error


def _make_image(path: str, settings: ImageSettings, white: int) -> _Made:
    data = _read(path)
    try:
        image, width, height = decode_image(data, settings, white)
    except DataError as error:
        return None, None, ImageFacts(error=str(error))
    return image, look_of(image), ImageFacts(width, height)


def decode_image(data: bytes, settings: ImageSettings, white: int = 65_535) -> tuple[NDArray[np.uint8], int, int]:
    """The image in an encoded file, uint8 (size, size, channels), and the file's width and height in pixels.

    Args:
        data: The content of the file.
        settings: How it becomes an array.
        white: The value that becomes 255 in a file of more than 8 bits that does not tell it itself: of the set,
            `PreparedImages.white`.

    Raises:
        DataError: As `data_pipeline.decode.decode`; the message is the reason.
    """
    decoded = decode(data, settings.channels)
    height, width = decoded.pixels.shape[:2]
    return to_input(decoded, settings, white), width, height


def to_input(decoded: Decoded, settings: ImageSettings, white: int) -> NDArray[np.uint8]:
    """The decoded pixels as a model takes them: uint8 (size, size, channels), 0 black to 255 white.

    Args:
        decoded: Of a file, with the channels of the settings.
        settings: How a file becomes an array.
        white: As in `decode_image`, 255 to 65,535.
    """
    height, width = decoded.pixels.shape[:2]
    inner = (settings.size, settings.size)
    if settings.keep_aspect:
        longer = max(height, width)
        inner = (max(1, round(settings.size * height / longer)), max(1, round(settings.size * width / longer)))
    image = _resized(decoded, inner, settings.interpolation, white)
    if inner != (settings.size, settings.size):
        below, right = settings.size - inner[0], settings.size - inner[1]
        around = [(below // 2, below - below // 2), (right // 2, right - right // 2)]
        image = np.pad(image, [*around, (0, 0)][: image.ndim])
    return image.reshape(settings.shape)


def _resized(decoded: Decoded, shape: tuple[int, int], interpolation: str, white: int) -> NDArray[np.uint8]:
    """The pixels at another height and width, in 8 bits; before these are made, so that nothing is rounded twice."""
    if decoded.pixels.shape[:2] == shape:
        return to_uint8(decoded, white)
    cv2 = opencv()
    method = {
        "area": cv2.INTER_AREA,
        "linear": cv2.INTER_LINEAR,
        "cubic": cv2.INTER_CUBIC,
        "lanczos": cv2.INTER_LANCZOS4,
        "nearest": cv2.INTER_NEAREST,
    }[interpolation]
    resized = cv2.resize(decoded.pixels, shape[::-1], interpolation=method)
    return to_uint8(replace(decoded, pixels=resized), white)
