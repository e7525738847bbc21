import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

import data_pipeline
from data_pipeline.folders import scan_folder
from data_pipeline.headers import is_truncated
from data_pipeline.manifest import DataError, ImageRow
from data_pipeline.preprocess import ImageSettings, decode_image, prepare_images
from tests.waiting import LIMIT

SAMPLE = Path(data_pipeline.__file__).parent / "sample"
XRAY = sorted((SAMPLE / "train/NORMAL").iterdir())[0]
PLAIN = ImageSettings()


@pytest.fixture(scope="module")
def rows() -> tuple[ImageRow, ...]:
    return scan_folder(SAMPLE).test_rows[::6]


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def open_xray() -> Image.Image:
    return Image.open(XRAY).convert("L")


def difference(data: bytes, reference: Image.Image, settings: ImageSettings = PLAIN) -> int:
    """Largest difference of any pixel from Pillow's reading."""
    pixels, _, _ = decode_image(data, settings)
    expected = np.asarray(reference).reshape(pixels.shape)
    return int(np.abs(pixels.astype(int) - expected.astype(int)).max())


def test_prepared_images_are_the_files_as_pillow_reads_them(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    prepared = prepare_images(rows, PLAIN, tmp_path)
    images = prepared.open()
    assert images.shape == (len(rows), 224, 224, 1)
    assert images.dtype == np.uint8
    assert len(rows) == 20
    for image, row in zip(images, rows, strict=True):
        expected = np.asarray(Image.open(row.path).convert("L"), dtype=int)
        assert np.abs(image[..., 0].astype(int) - expected).max() <= 2
    assert {(fact.width, fact.height, fact.error) for fact in prepared.facts} == {(224, 224, "")}


def test_prepared_images_cannot_be_written_to(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    images = prepare_images(rows, PLAIN, tmp_path).open()
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_cache_is_used_again_and_keyed_by_content_order_and_settings(
    rows: tuple[ImageRow, ...], tmp_path: Path
) -> None:
    first = prepare_images(rows, PLAIN, tmp_path)
    decoded: list[int] = []
    renamed = [replace(row, path="/moved/elsewhere") for row in rows]
    assert prepare_images(renamed, PLAIN, tmp_path, lambda done, total: decoded.append(done)) == first
    assert decoded == []
    others = [
        prepare_images(rows[::-1], PLAIN, tmp_path),
        prepare_images(rows, ImageSettings(size=64), tmp_path),
        prepare_images(rows, ImageSettings(channels=3), tmp_path),
        prepare_images(rows, ImageSettings(interpolation="linear"), tmp_path),
    ]
    assert len({first.path, *(other.path for other in others)}) == 5
    assert others[1].open().shape == (20, 64, 64, 1)
    assert others[2].open().shape == (20, 224, 224, 3)


def test_progress_counts_every_image(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    prepare_images(rows, PLAIN, tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 20) for done in range(1, 21)]


def test_images_are_written_as_they_are_decoded(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    """A set need not fit into memory."""
    written: list[int] = []

    def look(done: int, total: int) -> None:
        (file,) = tmp_path.glob("unfinished-*/images.npy")
        written.append(file.stat().st_size - done * 224 * 224)

    prepare_images(rows, PLAIN, tmp_path, look)
    assert len(written) == 20
    assert min(written) >= 0


def test_unreadable_files_leave_no_gap(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    cut, noise = tmp_path / "cut.jpeg", tmp_path / "noise.bmp"
    cut.write_bytes(XRAY.read_bytes()[:3000])
    noise.write_bytes(b"BM" + bytes(range(256)))
    broken = [replace(rows[1], path=str(file), content_hash=file.name) for file in (cut, noise)]
    prepared = prepare_images([rows[0], *broken, rows[3]], PLAIN, tmp_path / "cache")
    assert [fact.error for fact in prepared.facts] == [
        "",
        "truncated: the end of the file is missing",
        "cannot be decoded: damaged, or above 100 megapixels",
        "",
    ]
    assert prepared.count == 2
    whole = prepare_images([rows[0], rows[3]], PLAIN, tmp_path / "cache").open()
    np.testing.assert_array_equal(prepared.open(), whole)
    assert prepare_images(broken, PLAIN, tmp_path / "cache").open().shape == (0, 224, 224, 1)


def test_vanished_file_is_an_error_that_the_cache_forgets(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    gone = [replace(row, path=str(tmp_path / "gone.jpeg")) for row in rows]
    with pytest.raises(DataError, match=r"stay readable. Received: .*gone.jpeg"):
        prepare_images(gone, PLAIN, tmp_path / "cache")
    assert prepare_images(rows, PLAIN, tmp_path / "cache").count == 20


def test_two_processes_at_once_leave_one_whole_cache(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from data_pipeline.preprocess import ImageSettings, prepare_images\n"
        "from data_pipeline.folders import scan_folder\n"
        "rows = scan_folder(Path(sys.argv[1])).pool_rows\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "prepare_images(rows, ImageSettings(), Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", script, str(SAMPLE), str(tmp_path)]
    project = str(Path(data_pipeline.__file__).parents[1])
    runs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=project)
        for _ in range(2)
    ]
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("go\n")
        run.stdin.flush()
    for run in runs:
        run.communicate(timeout=LIMIT)
    assert [run.returncode for run in runs] == [0, 0]
    (entry,) = tmp_path.iterdir()
    assert {file.name for file in entry.iterdir()} == {"images.npy", "looks.npy", "facts.json"}
    pool = scan_folder(SAMPLE).pool_rows
    decoded: list[int] = []
    prepared = prepare_images(pool, PLAIN, tmp_path, lambda done, total: decoded.append(done))
    assert decoded == []
    np.testing.assert_array_equal(prepared.open()[-1], prepare_images(pool[-1:], PLAIN, tmp_path).open()[0])


def test_interrupted_run_leaves_nothing(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_images(rows, PLAIN, tmp_path, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_runs_are_removed(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    killed = tmp_path / f"unfinished-{socket.gethostname()}-{ended.pid}-00aa11bb"
    running = tmp_path / f"unfinished-{socket.gethostname()}-{os.getpid()}-00aa11bb"
    elsewhere = tmp_path / "unfinished-another-host-1-00aa11bb"
    forgotten = tmp_path / "unfinished-another-host-2-00aa11bb"
    own = [tmp_path / name for name in ("unfinished-thesis", "unfinished-a-b", "unfinished-study-2-draft")]  # a user's
    for folder in (killed, running, elsewhere, forgotten, *own):
        folder.mkdir()
    for folder in (forgotten, *own):
        os.utime(folder, (0, 0))
    prepare_images(rows, PLAIN, tmp_path)
    assert set(tmp_path.glob("unfinished-*")) == {running, elsewhere, *own}


def test_cache_that_cannot_be_written_is_an_error(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    # a file in place of the folder: permissions do not stop a superuser, who runs the tests in some containers
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(DataError, match=r"can be written. Received: .*data\.cache=FOLDER"):
        prepare_images(rows, PLAIN, tmp_path / "cache")


def test_read_only_cache_is_an_error(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("a superuser may write to read-only folders")
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match=r"can be written. Received: .*Permission denied"):
        prepare_images(rows, PLAIN, tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_full_disk_is_an_error_and_leaves_nothing(
    rows: tuple[ImageRow, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_open = Path.open

    def open_full(path: Path, *given: Any, **named: Any) -> IO[Any]:
        return plain_open(Path("/dev/full") if path.name == "images.npy" else path, *given, **named)

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(DataError, match=r"need 1 MB .*No space left on device"):
        prepare_images(rows, PLAIN, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_damaged_cache_is_named(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    prepared = prepare_images(rows, PLAIN, tmp_path)
    os.truncate(prepared.path / "images.npy", 100_000)
    with pytest.raises(DataError, match="Delete the folder"):
        prepared.open()
    (prepared.path / "facts.json").write_text("[")
    with pytest.raises(DataError, match="Delete the folder"):
        prepare_images(rows, PLAIN, tmp_path)
    shutil.rmtree(prepared.path)
    assert prepare_images(rows, PLAIN, tmp_path).open().shape[0] == 20


def test_16_bit_png_keeps_its_whole_range() -> None:
    grey = np.asarray(open_xray()).astype(np.uint16)
    data = encode(Image.fromarray(grey * 257), "PNG")
    assert difference(data, open_xray()) == 0
    assert difference(data, open_xray().convert("RGB"), ImageSettings(channels=3)) == 0


def test_16_bit_tiff_keeps_its_whole_range() -> None:
    ramp: NDArray[np.uint16] = np.linspace(0, 65_535, 224 * 224).astype(np.uint16).reshape(224, 224)
    pixels, _, _ = decode_image(encode(Image.fromarray(ramp), "TIFF"), PLAIN)
    np.testing.assert_array_equal(pixels[..., 0], np.rint(ramp / 257))


def test_transparency_is_dropped() -> None:
    image = open_xray().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    assert difference(encode(image, "PNG"), open_xray()) <= 1


def test_palettes_become_grey_values() -> None:
    image = open_xray().quantize(64)
    assert difference(encode(image, "PNG"), image.convert("L")) <= 1


def test_cmyk_jpeg_is_not_inverted() -> None:
    image = open_xray().convert("RGB").convert("CMYK")
    data = encode(image, "JPEG", quality=95)
    expected = Image.open(io.BytesIO(data)).convert("RGB").convert("L")
    assert difference(data, expected) <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(open_xray().crop((0, 0, 200, 120)), "JPEG", exif=exif, quality=95)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    pixels, width, height = decode_image(data, ImageSettings(size=120, interpolation="nearest"))
    assert (width, height) == upright.size
    expected = decode_image(encode(upright, "PNG"), ImageSettings(size=120, interpolation="nearest"))[0]
    assert np.abs(pixels.astype(int) - expected.astype(int)).max() <= 2


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "WEBP"])
def test_other_formats_are_read(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert difference(encode(open_xray(), kind, **options), open_xray()) <= 1


def test_colour_channels_are_red_green_blue() -> None:
    red = Image.new("RGB", (224, 224), (250, 20, 3))
    assert difference(encode(red, "PNG"), red, ImageSettings(channels=3)) == 0


def test_area_averages_when_an_image_becomes_smaller() -> None:
    stripes = np.tile(np.array([0, 100], dtype=np.uint8), (224, 112))
    pixels, width, height = decode_image(encode(Image.fromarray(stripes), "PNG"), ImageSettings(size=112))
    assert (width, height) == (224, 224)
    assert np.unique(pixels).tolist() == [50]


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {})])
def test_truncated_files_are_refused(kind: str, options: dict[str, object], share: float) -> None:
    whole = encode(open_xray(), kind, **options)
    assert not is_truncated(whole)
    with pytest.raises(DataError, match="truncated"):
        decode_image(whole[: int(len(whole) * share)], PLAIN)


def test_preview_inside_a_truncated_jpeg_does_not_hide_it() -> None:
    whole = XRAY.read_bytes()
    preview = b"Exif\0\0" + encode(open_xray().resize((32, 32)), "JPEG")
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    data = whole[:2] + segment + whole[2:]
    assert not is_truncated(data)
    assert is_truncated(data[:-500])


def test_bytes_after_the_end_of_a_jpeg_do_no_harm() -> None:
    assert difference(XRAY.read_bytes() + b"\0" * 100, open_xray()) <= 2


def test_noise_is_not_an_image() -> None:
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(b"BM" + bytes(range(256)), PLAIN)


def test_huge_images_are_refused_by_their_header() -> None:
    # 144 megapixels of one colour fit in a file of some kilobytes
    data = encode(Image.new("1", (12_000, 12_000)), "PNG")
    assert len(data) < 100_000
    with pytest.raises(DataError, match="above 100 megapixels"):
        decode_image(data, PLAIN)


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(DataError, match="float32"):
        decode_image(encode(open_xray().convert("F"), "TIFF"), PLAIN)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 4}, "between 8 and 4096"),
        ({"channels": 2}, "Received: 2"),
        ({"interpolation": "best"}, "'best'"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ImageSettings(**values)  # type: ignore[arg-type]


def test_the_aspect_ratio_may_be_kept() -> None:
    wide: NDArray[np.uint8] = np.full((50, 100), 200, np.uint8)
    kept = ImageSettings(size=40, keep_aspect=True)
    for data, channels in (
        (encode(Image.fromarray(wide), "PNG"), 1),
        (encode(Image.fromarray(wide.T.copy()), "PNG"), 3),
    ):
        pixels, _, _ = decode_image(data, replace(kept, channels=channels))
        assert pixels.shape == (40, 40, channels)
        lines = pixels if channels == 1 else pixels.swapaxes(0, 1)
        assert (lines[10:30] == 200).all()
        assert (lines[:10] == 0).all()
        assert (lines[30:] == 0).all()
    square = encode(open_xray(), "PNG")
    np.testing.assert_array_equal(decode_image(square, kept)[0], decode_image(square, ImageSettings(size=40))[0])


def test_entries_of_before_keep_their_names(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    values = {"channels": 1, "interpolation": "area", "size": 224}
    lines = [f"1 {json.dumps(values)}", *(row.content_hash for row in rows)]
    expected = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
    assert prepare_images(rows, PLAIN, tmp_path).fingerprint == expected
    assert prepare_images(rows, ImageSettings(keep_aspect=True), tmp_path).fingerprint != expected


def test_looks_are_made_for_entries_of_before(rows: tuple[ImageRow, ...], tmp_path: Path) -> None:
    prepared = prepare_images(rows, PLAIN, tmp_path)
    looks = prepared.looks
    assert looks.shape == (len(rows), 32)
    (prepared.path / "looks.npy").unlink()
    np.testing.assert_array_equal(prepare_images(rows, PLAIN, tmp_path).looks, looks)
    assert (prepared.path / "looks.npy").exists()
