"""What an exported model takes and gives, kept beside it as `winner/signature.json`: all that a new image needs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_pipeline.dataset import Dataset
from data_pipeline.new_image import InputRules
from data_pipeline.preprocess import ImageSettings
from data_pipeline.settings import DataSettings
from data_pipeline.typical import Typical, fit_typical
from search.evaluate.winner import held_shares
from search.record import RecordError, RunRecord, TrialRecord, Winner, to_json

SIGNATURE = "signature.json"


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives.

    Attributes:
        classes: in the order of the probabilities; of two, the second is the positive one.
        rules: how a file becomes an input.
        shares: the class shares at which the probabilities hold; empty where they are not known.
        training_images: the fingerprint of the prepared images that it was trained on, which names them in the cache;
            empty where it is not known.
        typical: what its training images have in common; None where that is not known.
        is_multilabel: whether the classes are findings, of which an image may show several.
    """

    classes: tuple[str, ...]
    rules: InputRules
    shares: tuple[float, ...]
    training_images: str = ""
    typical: Typical | None = None
    is_multilabel: bool = False

    def to_json(self) -> str:
        """Its JSON."""
        content = {
            "classes": self.classes,
            "rules": asdict(self.rules),
            "shares": self.shares,
            "training_images": self.training_images,
            "typical": None if self.typical is None else self.typical.to_dict(),
            "is_multilabel": self.is_multilabel,
        }
        return to_json(content)

    @classmethod
    def from_json(cls, content: bytes, where: str) -> "Signature":
        """What `to_json` wrote.

        Raises:
            RecordError: it is something else.
        """
        try:
            found = json.loads(content)
            return cls(
                classes=tuple(map(str, found["classes"])),
                rules=_read_rules(found["rules"]),
                shares=tuple(map(float, found["shares"])),
                training_images=str(found["training_images"]),
                typical=None if found["typical"] is None else Typical.from_dict(found["typical"]),
                is_multilabel=bool(found.get("is_multilabel", False)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(
                f"A {SIGNATURE} is what the search wrote beside its model. Received: {where} ({error!r}). "
                "Restore it, or write it again with python -m search.evaluate RUN."
            ) from error


def make_signature(dataset: Dataset, data: DataSettings, shares: Sequence[float]) -> Signature:
    """The signature of a winner that was trained on this data set; no test image is read.

    Args:
        dataset: of the run.
        data: its data settings.
        shares: as `Signature.shares`.
    """
    manifest, split = dataset.manifest, dataset.split
    return Signature(
        manifest.classes,
        InputRules(data.image, manifest.white, tuple(data.accept)),
        tuple(shares),
        dataset.pool.fingerprint,
        fit_typical(dataset.pool.open(), split.train, split.validation),
        manifest.is_multilabel,
    )


def recorded_signature(run: RunRecord, members: Sequence[TrialRecord], winner: Winner) -> Signature:
    """The signature of a winner from before there were any, as far as the run's record knows it."""
    data = run.config["data"]
    known = {name: data[name] for name in ("size", "channels", "interpolation", "keep_aspect") if name in data}
    rules = InputRules(ImageSettings(**known), run.data.get("white", 0), tuple(data.get("accept", ())))
    return Signature(run.classes, rules, held_shares(run, members, winner.calibrated_on))


def _read_rules(content: dict[str, Any]) -> InputRules:
    return InputRules(ImageSettings(**content["image"]), int(content["white"]), tuple(content["accept"]))
