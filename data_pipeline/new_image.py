"""Reads one file as a trained model takes it, with what speaks against trusting the answer."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data_pipeline.decode import Decoded, decode, white_of
from data_pipeline.dicom import is_dicom, read_facts
from data_pipeline.dicom_tags import oddities
from data_pipeline.image_file import load_file
from data_pipeline.manifest import BadFile, DataError
from data_pipeline.preprocess import ImageSettings, to_input


@dataclass(frozen=True)
class InputRules:
    """How the images of a training set became arrays; a new image becomes one in the same way.

    Attributes:
        image: Size, channels and resizing.
        white: The value that is white in files of more than 8 bits; 0 where the set had none.
        accept: Kinds of DICOM images that the set took in: names of `data_pipeline.dicom_tags.REASONS`.
    """

    image: ImageSettings = field(default_factory=ImageSettings)
    white: int = 0
    accept: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewImage:
    """A new image as the model takes it.

    Attributes:
        pixels: uint8 (size, size, channels), 0 black to 255 white.
        warnings: Why its answer may be worth less, a sentence each.
    """

    pixels: NDArray[np.uint8]
    warnings: tuple[str, ...]


def read_new_image(path: str, rules: InputRules) -> NewImage | BadFile:
    """The image in a file of any format that training reads, or why it cannot be read.

    What training would set aside by a rule (another view, another part of the body, several frames) is read with a
    warning; of several frames it is the first.
    """
    data = load_file(path, path)
    if isinstance(data, BadFile):
        return data
    try:
        warnings = list(_dicom_warnings(data, rules.accept)) if is_dicom(data) else []
        decoded = decode(data, rules.image.channels)
    except DataError as error:
        return BadFile(path, str(error))
    white, warning = _choose_white(decoded, rules.white)
    return NewImage(to_input(decoded, rules.image, white), (*warnings, *warning))


def _dicom_warnings(data: bytes, accept: tuple[str, ...]) -> Iterator[str]:
    facts = read_facts(data)
    yield from oddities(facts, accept)
    yield from (f"decoded with a guess: {guess}" for guess in facts.guesses)


def _choose_white(decoded: Decoded, white: int) -> tuple[int, list[str]]:
    """The value that is white, and a warning where it is a guess or values lie above it."""
    if decoded.white or decoded.pixels.dtype == np.uint8:
        return white, []
    if not white:
        own = white_of(decoded.peak)
        guess = f"white is {own:,} by its own values, as no training image has more than 8 bits a value"
        return own, [f"decoded with a guess: {guess}"]
    above = decoded.peak > white
    return white, [f"values above {white:,}, the white of the training images, are cut"] * above
