"""The winner's mistakes as pictures: the X-ray, Grad-CAM over it, and the predicted probabilities."""

import base64
import json
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from search.record import RunFolder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Mistake", "gallery", "mistakes"]


@dataclass(frozen=True)
class Mistake:
    """A misclassified image.

    Attributes:
        truth, predicted: class names.
        probabilities: by class name.
        picture, cam: `data:` URLs of the X-ray, and of Grad-CAM over it; empty where the run has none.
    """

    image_id: str
    truth: str
    predicted: str
    probabilities: dict[str, float]
    picture: str = ""
    cam: str = ""


def mistakes(predictions: "pd.DataFrame", classes: Sequence[str], most: int = 12) -> list[Mistake]:
    """The images that a model got wrong, the most confident mistakes first; without pictures."""
    columns = [f"p_{name}" for name in classes]
    if predictions.empty:
        return []
    p = predictions[columns].to_numpy(dtype=np.float64)  # (N, K)
    labels = predictions["label"].to_numpy(dtype=np.int64)
    predicted = p.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    order = wrong[np.argsort(-p[wrong].max(axis=1), kind="stable")][:most]
    ids = predictions["image_id"].to_numpy()
    return [
        Mistake(
            str(ids[place]),
            classes[labels[place]],
            classes[predicted[place]],
            {name: float(value) for name, value in zip(classes, p[place], strict=True)},
        )
        for place in order
    ]


def gallery(folder: RunFolder) -> list[Mistake]:
    """The mistakes that the search stored with its winner, with their pictures; empty where it stored none.

    A picture that is missing or named outside the gallery's folder is left out; its numbers stay.
    """
    if not folder.exists("winner", "gallery.json"):
        return []
    try:
        return [_mistake(folder, entry) for entry in json.loads(folder.read("winner", "gallery.json"))]
    except (AttributeError, KeyError, TypeError, ValueError):
        return []  # damaged; the predictions give the same mistakes without pictures


def _mistake(folder: RunFolder, entry: dict[str, Any]) -> Mistake:
    return Mistake(
        image_id=str(entry["image_id"]),
        truth=str(entry["label"]),
        predicted=str(entry["predicted"]),
        probabilities={str(name): float(value) for name, value in entry["probabilities"].items()},
        picture=_picture(folder, entry["file"]),
        cam=_picture(folder, entry["cam"]),
    )


def _picture(folder: RunFolder, name: Any) -> str:
    """A picture of the gallery as a `data:` URL."""
    # Only the last part of the name counts: a run from a stranger must not read files outside its folder.
    file = posixpath.basename(str(name))
    if not file or not folder.exists("winner", "gallery", file):
        return ""
    return f"data:image/png;base64,{base64.b64encode(folder.read_own('winner', 'gallery', file)).decode()}"
