"""Pictures that explain answers: the image as the model saw it, Grad-CAM over it, and similar training images."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search.evaluate.answers import JOINT, Answer, Answered
from search.evaluate.gallery import grad_cam, overlay, png
from search.evaluate.similar import TrainingImages
from search.record import OperatingPoint, to_json

if TYPE_CHECKING:
    import keras

EXPLAINED = "explained.json"


@dataclass(frozen=True)
class SimilarPicture:
    """A similar training image in the folder of pictures: its name in the manifest, class, likeness and file."""

    image_id: str
    label: str
    likeness: float
    picture: str


@dataclass(frozen=True)
class Explanation:
    """An answer with its pictures, by their names in the folder; they are empty where the file could not be read.

    Attributes:
        answer: about the file.
        picture: the image as the model saw it.
        cam: Grad-CAM over it.
        cam_of: what Grad-CAM is of: the class that was decided on; of several findings the one that was asked for, else
            the most probable one of those that are called present, or of all where none is.
        similar: training images, the most similar first.
    """

    answer: Answer
    picture: str = ""
    cam: str = ""
    cam_of: str = ""
    similar: tuple[SimilarPicture, ...] = ()


@dataclass
class Explainer:
    """Writes the pictures of answers into a folder.

    Attributes:
        folder: it exists.
        model: as `grad_cam` takes it; where the winner averages several models, the best of them.
        classes: names, in the order of the probabilities.
        shares: the class shares at which the probabilities hold; empty where they are not known.
        point: where the decision between two classes changes.
        training: the training images; None where they are not at hand or not asked for.
        most: similar training images an answer.
        finding_points: of several findings an image, where each is called present.
        finding: of these, the one that Grad-CAM is of; empty for the one that `Explanation.cam_of` says.
        explained: what was written.
    """

    folder: Path
    model: "keras.Model"
    classes: Sequence[str]
    shares: Sequence[float]
    point: OperatingPoint
    training: TrainingImages | None = None
    most: int = 0
    finding_points: Sequence[OperatingPoint] = ()
    finding: str = ""
    explained: list[Explanation] = field(default_factory=list)

    def explain(self, answered: Answered) -> None:
        """Write the pictures of an answer."""
        answer, pixels = answered.answer, answered.pixels
        if pixels is None:
            self.explained.append(Explanation(answer))
            return
        name = f"{len(self.explained):05d}-{_plain_name(answer.file)}"
        cam_of = answer.decision
        if self.finding_points:
            cam_of = self.finding or self._foremost(answer)
        heat = grad_cam(self.model, pixels[None], np.array([self.classes.index(cam_of)]))[0]
        picture, cam = self._write(name, pixels), self._write(f"{name}-cam", overlay(pixels, heat))
        self.explained.append(Explanation(answer, picture, cam, cam_of, self._similar(name, pixels)))

    def _foremost(self, answer: Answer) -> str:
        """The most probable finding of those that are called present, or of all where none is."""
        present = answer.decision.split(JOINT)
        named = list(zip(self.classes, answer.probabilities, strict=True))
        return max([each for each in named if each[0] in present] or named, key=lambda each: each[1])[0]

    def close(self) -> None:
        """Write `explained.json`, which names the pictures of each file."""
        content = {
            "classes": list(self.classes),
            "shares": list(self.shares),
            "operating_point": asdict(self.point),
            "finding_points": [asdict(point) for point in self.finding_points],
            "files": [asdict(each) for each in self.explained],
        }
        (self.folder / EXPLAINED).write_text(to_json(content))

    def _similar(self, name: str, pixels: NDArray[np.uint8]) -> tuple[SimilarPicture, ...]:
        found = self.training.similar(pixels, self.most) if self.training is not None else []
        return tuple(
            SimilarPicture(
                each.image_id, each.label, each.likeness, self._write(f"{name}-similar-{number}", each.pixels)
            )
            for number, each in enumerate(found, start=1)
        )

    def _write(self, name: str, image: NDArray[np.uint8]) -> str:
        file = f"{name}.png"
        (self.folder / file).write_bytes(png(image))
        return file


def _plain_name(file: str) -> str:
    """A file's name without its folder and ending, of characters that every disk and page takes."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", Path(file).stem)[:60]
