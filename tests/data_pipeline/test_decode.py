import numpy as np
import pytest
from numpy.typing import NDArray

from data_pipeline.decode import Decoded, decode, to_uint8, white_of
from data_pipeline.manifest import DataError
from tests.data_pipeline.test_headers import GREYS, encode_tiff


@pytest.mark.parametrize(
    ("peak", "white"), [(0, 255), (200, 255), (1000, 1023), (4095, 4095), (4096, 8191), (65_535, 65_535)]
)
def test_white_is_the_largest_value_of_the_bits_in_use(peak: int, white: int) -> None:
    assert white_of(peak) == white


def test_twelve_bits_in_sixteen_use_the_whole_range() -> None:
    decoded = decode(encode_tiff(GREYS))
    assert decoded.peak == 4032
    pixels = to_uint8(decoded, white_of(decoded.peak))
    np.testing.assert_array_equal(pixels, np.rint(GREYS * (255 / 4095)))


def test_white_as_zero_is_inverted() -> None:
    plain, inverted = (to_uint8(decode(encode_tiff(GREYS, photometric)), 4095) for photometric in (1, 0))
    np.testing.assert_array_equal(inverted, 255 - plain)


def test_values_above_white_are_cut() -> None:
    values: NDArray[np.uint16] = np.array([[0, 4095, 5000, 65_535]], np.uint16)
    assert to_uint8(Decoded(values), 4095).tolist() == [[0, 255, 255, 255]]


def test_a_file_of_several_pages_is_refused() -> None:
    with pytest.raises(DataError, match="holds 2 pages: only files with a single image are read"):
        decode(encode_tiff(GREYS, kinds=(0, 0)))
