import numpy as np
import pytest
from numpy.typing import NDArray

from data_pipeline import looks as module
from data_pipeline.looks import MOST_BITS, group_looks, look_of
from data_pipeline.opencv import opencv
from data_pipeline.preprocess import ImageSettings, decode_image
from tests.data_pipeline.conftest import BACTERIAL, NORMAL, VIRAL

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def xrays() -> list[Image]:
    files = NORMAL[:40] + BACTERIAL[:30] + VIRAL[:30]
    return [decode_image(file.read_bytes(), ImageSettings())[0] for file in files]


def saved_again(image: Image) -> Image:
    cv2 = opencv()
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)[..., None]


def cropped(image: Image) -> Image:
    inner = image[1:-1, 1:-1]
    return np.asarray(opencv().resize(inner, image.shape[1::-1], interpolation=opencv().INTER_AREA), np.uint8)[
        ..., None
    ]


def test_images_of_different_patients_do_not_look_alike(xrays: list[Image]) -> None:
    looks = np.stack([*map(look_of, xrays)])
    assert group_looks(looks).tolist() == list(range(len(xrays)))


@pytest.mark.parametrize("change", [saved_again, cropped])
def test_a_changed_copy_looks_like_its_original(xrays: list[Image], change: "object") -> None:
    assert callable(change)
    copies = [change(image) for image in xrays]
    looks = np.stack([*map(look_of, xrays), *map(look_of, copies)])
    assert group_looks(looks).tolist() == [*range(len(xrays))] * 2


def test_likeness_is_passed_on() -> None:
    looks = np.zeros((4, 32), np.uint8)
    looks[1, :3] = 255  # 24 bits from image 0
    looks[2, :6] = 255  # 24 bits from image 1, 48 from image 0
    looks[3] = 255
    assert MOST_BITS == 24
    assert group_looks(looks).tolist() == [0, 0, 0, 3]


def test_blocks_do_not_change_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = np.random.default_rng(0).integers(0, 256, (50, 32), np.uint8)
    looks[[7, 33, 48]] = looks[2]
    whole = group_looks(looks)
    monkeypatch.setattr(module, "_BLOCK", 7)
    np.testing.assert_array_equal(group_looks(looks), whole)
    assert np.flatnonzero(whole == 2).tolist() == [2, 7, 33, 48]


def test_too_many_images_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_IMAGES", 3)
    assert group_looks(np.zeros((4, 32), np.uint8)).tolist() == [0, 1, 2, 3]
    assert group_looks(np.zeros((0, 32), np.uint8)).tolist() == []
