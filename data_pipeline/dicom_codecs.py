"""Decodes the compressed frames of DICOM files with imagecodecs, as a plugin of pydicom.

Every codec gives the GIL back, so that threads decode on all cores. pydicom's other plugins do not, lack 12-bit JPEG,
or are under the GPL.
"""

from typing import Any

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.pixels.common import PhotometricInterpretation
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

PLUGIN = "imagecodecs"
_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
_JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000)
# what pydicom asks of a plugin's module
DECODER_DEPENDENCIES = dict.fromkeys((*_JPEG, *_JPEG_LS, *_JPEG_2000, uid.RLELossless), ("imagecodecs>=2026.1",))


def is_available(syntax: str) -> bool:
    """Whether this plugin decodes a transfer syntax."""
    return syntax in DECODER_DEPENDENCIES


def register() -> None:
    """Add the plugin to pydicom's decoders; a second call changes nothing."""
    for syntax in DECODER_DEPENDENCIES:
        decoder = get_decoder(syntax)
        if PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(PLUGIN, (__name__, "decode_frame"))


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """The decoded pixels of an encoded frame; `runner` is told how they are laid out.

    Raises:
        NotImplementedError: The frame is coloured and run-length encoded; pydicom decodes it itself.
    """
    syntax = runner.transfer_syntax
    if syntax == uid.RLELossless:
        if runner.samples_per_pixel > 1:
            raise NotImplementedError("run-length encoded colours")
        dtype = np.dtype(f"u{runner.bits_allocated // 8}")
        return bytes(imagecodecs.dicomrle_decode(source, dtype))
    image: np.ndarray[Any, Any]
    if syntax in _JPEG_2000:
        image = imagecodecs.jpeg2k_decode(source)
        if runner.photometric_interpretation in (PhotometricInterpretation.YBR_ICT, PhotometricInterpretation.YBR_RCT):
            runner.set_option("photometric_interpretation", PhotometricInterpretation.RGB)
    elif syntax in _JPEG_LS:
        image = imagecodecs.jpegls_decode(source)
    else:
        image = imagecodecs.jpeg8_decode(source)
    if image.ndim > 2:
        runner.set_option("planar_configuration", 0)
    runner.set_option("bits_allocated", image.dtype.itemsize * 8)
    return image.tobytes()
