"""The winner's mistakes as pictures: the X-ray, Grad-CAM over it, and what the model thought."""

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
    """The images that a model got wrong, the surest mistakes first; without pictures."""
    columns = [f"p_{name}" for name in classes]
    if predictions.empty:
        return []
    p = predictions[columns].to_numpy(dtype=np.float64)  # (N, K)
    labels = predictions["label"].to_numpy(dtype=np.int64)
    predicted = p.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    order = wrong[np.argsort(p[wrong, labels[wrong]], kind="stable")][:most]
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


def gallery(folder: RunFolder, classes: Sequence[str]) -> list[Mistake]:
    """The pictures that the search stored with its winner; empty where it stored none.

    A picture that is missing or named outside the gallery's folder is left out; its numbers stay.
    """
    if not folder.exists("winner", "gallery.json"):
        return []
    try:
        entries = json.loads(folder.read("winner", "gallery.json"))
    except ValueError:
        return []
    return [_mistake(folder, entry, classes) for entry in entries if isinstance(entry, dict)]


def _mistake(folder: RunFolder, entry: dict[str, Any], classes: Sequence[str]) -> Mistake:
    given = entry.get("probabilities", {})
    pairs = given.items() if isinstance(given, dict) else zip(classes, given, strict=False)
    return Mistake(
        image_id=str(entry.get("image_id", "")),
        truth=_class_name(entry.get("label"), classes),
        predicted=_class_name(entry.get("predicted"), classes),
        probabilities={str(name): float(value) for name, value in pairs},
        picture=_picture(folder, entry.get("file")),
        cam=_picture(folder, entry.get("cam")),
    )


def _class_name(given: Any, classes: Sequence[str]) -> str:
    return classes[given] if isinstance(given, int) and 0 <= given < len(classes) else str(given)


def _picture(folder: RunFolder, name: Any) -> str:
    """A picture of the gallery as a `data:` URL."""
    # Only the last part of the name counts: a run from elsewhere must not make us read other files.
    file = posixpath.basename(str(name or ""))
    if not file or not folder.exists("winner", "gallery", file):
        return ""
    kind = "jpeg" if file.lower().endswith((".jpg", ".jpeg")) else "png"
    content = base64.b64encode(folder.read("winner", "gallery", file)).decode()
    return f"data:image/{kind};base64,{content}"
