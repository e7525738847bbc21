"""A winner's answers about new images: probabilities, a decision and warnings for each file."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data_pipeline.limits import cpu_count
from data_pipeline.manifest import BadFile
from data_pipeline.new_image import InputRules, NewImage, read_new_image
from search.evaluate.signature import Signature
from search.record import OperatingPoint
from search.record.prevalence import at_shares
from search.trial.training import PREDICT_BATCH, predict

if TYPE_CHECKING:
    import keras

NO_FINDING = "no finding"
JOINT = "|"  # between the findings of a decision
_AHEAD = 2  # batches that are read while the model works on one
_UNLIKE = "unlike the training images: its distance from them is {:.2f}, and 99 in 100 of their own kind stay below 1"


@dataclass(frozen=True)
class Answer:
    """The answer about one file.

    Attributes:
        file: its path, as it was given or found.
        probabilities: of each class or finding; empty where the file could not be read.
        decision: a class's name; or the names of the findings that are called present, with `JOINT` between, or
            `NO_FINDING`; empty where the file could not be read.
        unlike: how unlike the training images it is, as `Typical.unlikeness`; None where that is not known.
        warnings: why the answer may be worth less, a sentence each.
        reason: why the file could not be read; empty where it could.
    """

    file: str
    probabilities: tuple[float, ...] = ()
    decision: str = ""
    unlike: float | None = None
    warnings: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Answered:
    """An answer with the image that it is about: uint8 (size, size, channels), None where it could not be read."""

    answer: Answer
    pixels: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Predictor:
    """Answers about files.

    Attributes:
        model: from float images in [0, 1] to probabilities.
        signature: of the model.
        point: of two classes, where the decision between them changes. It is held against the probabilities as the
            model gives them, whatever `shares`.
        shares: the class shares at which probabilities are wanted; None: those at which the model's hold.
        finding_points: of several findings an image, where each is called present.
    """

    model: "keras.Model"
    signature: Signature
    point: OperatingPoint
    shares: Sequence[float] | None = None
    finding_points: Sequence[OperatingPoint] = ()

    def answers(self, files: Sequence[str]) -> Iterator[Answered]:
        """An answer about each file, in their order; files are read on all cores while the model predicts."""
        room = min(PREDICT_BATCH, len(files))
        for batch in _read_ahead(files, self.signature.rules):
            answers = self._about([image for _, image in batch if isinstance(image, NewImage)], room)
            for file, read in batch:
                if isinstance(read, BadFile):
                    yield Answered(Answer(file, reason=read.reason))
                else:
                    yield Answered(replace(next(answers), file=file), read.pixels)

    def _about(self, images: Sequence[NewImage], room: int) -> Iterator[Answer]:
        """The answers about some images, `room` at most; their files are filled in later."""
        if not images:
            return
        classes, typical = self.signature.classes, self.signature.typical
        # Always as many: another number of images would be another graph, which takes longer to trace than to run.
        pixels = np.zeros((room, *images[0].pixels.shape), np.uint8)
        pixels[: len(images)] = [image.pixels for image in images]
        p = predict(self.model, pixels, np.arange(room))[: len(images)]  # (n, K)
        if self.signature.is_multilabel:
            decisions = [name_present(row, classes, self.finding_points) for row in p]
        else:
            decisions = [classes[label] for label in decide(p, self.point)]
        shown = p if self.shares is None else at_shares(p, self.signature.shares, self.shares)
        unlike = [None] * len(images) if typical is None else typical.unlikeness(pixels[: len(images)]).tolist()
        for image, row, decision, distance in zip(images, shown.tolist(), decisions, unlike, strict=True):
            far = [_UNLIKE.format(distance)] if distance is not None and distance > 1 else []
            yield Answer("", tuple(row), decision, distance, (*image.warnings, *far))


def decide(probabilities: NDArray[np.floating], point: OperatingPoint) -> NDArray[np.int64]:
    """The class that is decided on for each image, int64 (N,).

    Args:
        probabilities: float (N, K), as the model gives them.
        point: the threshold of class 1 where there are two; of more classes the most probable one is decided on.
    """
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= point.threshold).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), np.int64)


def name_present(probabilities: NDArray[np.floating], findings: Sequence[str], points: Sequence[OperatingPoint]) -> str:
    """The findings of an image that are called present, with `JOINT` between as in NIH's tables, or `NO_FINDING`.

    Args:
        probabilities: float (K,).
        findings: K names.
        points: of each finding, which is called present at its threshold or above.
    """
    called = zip(findings, probabilities.tolist(), points, strict=True)
    return JOINT.join(name for name, p, point in called if p >= point.threshold) or NO_FINDING


def _read_ahead(files: Sequence[str], rules: InputRules) -> Iterator[list[tuple[str, NewImage | BadFile]]]:
    """The files with their images, a batch at a time; the next batches are read meanwhile."""
    batches = [files[start : start + PREDICT_BATCH] for start in range(0, len(files), PREDICT_BATCH)]
    with ThreadPoolExecutor(max_workers=cpu_count()) as threads:
        reading: deque[list[tuple[str, Future[NewImage | BadFile]]]] = deque()
        for batch in batches:
            reading.append([(file, threads.submit(read_new_image, file, rules)) for file in batch])
            if len(reading) > _AHEAD:
                yield [(file, read.result()) for file, read in reading.popleft()]
        for each in reading:
            yield [(file, read.result()) for file, read in each]
