"""Asks a run's winner about one image: `python -m search.predict` in a process of its own, so that no page needs Keras.

The image and its pictures lie in a temporary folder that is removed with the answer.
"""

import base64
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models import users_environment

_SIMILAR = 4  # training images
_SECONDS = 300.0  # a loaded machine takes a minute to import TensorFlow
_EXPLAINED = "explained.json"  # of search.predict


@dataclass(frozen=True)
class Similar:
    """A training image that looks like the new one; `picture` is a `data:` URL, `likeness` goes up to 1."""

    image_id: str
    label: str
    likeness: float
    picture: str


@dataclass(frozen=True)
class Reply:
    """A winner's answer about an image.

    Attributes:
        name: of the image, as the reader's file is called.
        classes: in the order of the probabilities.
        shares: the class shares at which they hold; empty where these are not known.
        point, threshold: of two classes, the operating point and the probability from which on class 1 is decided on.
        probabilities: of each class or finding; empty where there is no answer.
        decision: a class, or the findings that are called present, with commas between.
        warnings: why the answer may be worth less.
        reason: why there is no answer.
        picture, cam: `data:` URLs of the image as the model saw it, and of Grad-CAM over it.
        cam_of: the class or finding that Grad-CAM is of.
        thresholds: of several findings an image, the probability from which on each is called present; else empty.
        similar: training images; empty where they are not in the cache.
    """

    name: str
    classes: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    point: str = ""
    threshold: float = 0.5
    probabilities: tuple[float, ...] = ()
    decision: str = ""
    warnings: tuple[str, ...] = ()
    reason: str = ""
    picture: str = ""
    cam: str = ""
    cam_of: str = ""
    thresholds: tuple[float, ...] = ()
    similar: tuple[Similar, ...] = field(default_factory=tuple)

    def to_store(self) -> dict[str, Any]:
        """Its fields, as the browser keeps them."""
        return asdict(self)

    @classmethod
    def from_store(cls, content: dict[str, Any]) -> "Reply":
        """What `to_store` gave."""
        return cls(**{**content, "similar": tuple(Similar(**each) for each in content["similar"])})


def ask(run_url: str, name: str, content: bytes, cache: str = "", finding: str = "") -> Reply:
    """The answer of a run's winner about an image file.

    Args:
        run_url: the run's folder.
        name: of the file; it is shown and no path is made of it.
        content: of the file.
        cache: folder of the prepared images; empty for the default.
        finding: of several, the one that Grad-CAM is of; empty for the most probable one that is called present.
    """
    with tempfile.TemporaryDirectory(prefix="xray-ask-") as scratch:
        image, pictures = Path(scratch, "image"), Path(scratch, "pictures")
        image.write_bytes(content)
        words = [sys.executable, *["-P"] * sys.flags.safe_path, "-m", "search.predict", run_url, str(image)]
        words += ["--explain", str(pictures), "--similar", str(_SIMILAR), *(["--cache", cache] if cache else [])]
        words += ["--finding", finding] if finding else []
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, env=users_environment())
        except subprocess.TimeoutExpired:
            return Reply(name, reason=f"The answer took longer than {_SECONDS:.0f} s. Try again when less runs here.")
        if not (pictures / _EXPLAINED).is_file():
            said = (done.stderr or done.stdout).strip().splitlines()[-1:]
            return Reply(name, reason=" ".join(said) or "search.predict ended without an answer.")
        return read_reply(name, pictures)


def read_reply(name: str, pictures: Path) -> Reply:
    """The answer about the first file in the folder that `search.predict --explain` wrote."""
    content = json.loads((pictures / _EXPLAINED).read_text())
    found = content["files"][0]
    answer, point = found["answer"], content["operating_point"]
    return Reply(
        name=name,
        classes=tuple(content["classes"]),
        shares=tuple(content["shares"]),
        point=point["name"],
        threshold=point["threshold"],
        probabilities=tuple(answer["probabilities"]),
        thresholds=tuple(each["threshold"] for each in content["finding_points"]),
        decision=answer["decision"].replace("|", ", "),
        warnings=tuple(answer["warnings"]),
        reason=answer["reason"],
        picture=_data_url(pictures, found["picture"]),
        cam=_data_url(pictures, found["cam"]),
        cam_of=found["cam_of"],
        similar=tuple(
            Similar(**{**each, "picture": _data_url(pictures, each["picture"])}) for each in found["similar"]
        ),
    )


def _data_url(folder: Path, file: str) -> str:
    if not file:
        return ""
    return f"data:image/png;base64,{base64.b64encode((folder / file).read_bytes()).decode()}"
