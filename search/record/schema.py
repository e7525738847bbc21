"""The records of a run, its trials, their epochs, their evaluations and its winner, with their JSON."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

R = TypeVar("R")

SCHEMA_VERSION = 1

# A trial's status. The first two can still go on; the others are final.
WAITING = "waiting"  # for a process, or at a rung for its turn
RUNNING = "running"
FINISHED = "finished"  # all its epochs, or its own early stopping
STOPPED = "stopped"  # by the scheduler: others at its rung did better
DIVERGED = "diverged"  # its loss became NaN or infinite
FAILED = "failed"  # its process died, or it raised, more than `search.max_failures` times
FINAL = (FINISHED, STOPPED, DIVERGED, FAILED)

OWN_FAULT = "trial"  # the cause of a retry that counts against the trial

# The sets of images that trials are scored on; outside test sets have names of their own.
VALIDATION = "validation"
SHIFTED = "shifted"  # validation as another hospital might have made it
TEST = "test"


MULTILABEL = "multilabel"  # the value of data.task for images that may show several findings
UNKNOWN = -1  # in place of 0 or 1 where the labels do not say whether an image shows a finding


class RecordError(ValueError):
    """A run folder that cannot be read as one."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch of one trial; accuracies, AUC and rates in [0, 1], `None` where undefined.

    Fields that begin with `shifted` are scores on a copy of validation as another hospital might have made it
    (data_pipeline.shift). They are measured only where `search.metric` asks for them.

    Attributes:
        epoch: 1 for the first.
        seconds: wall time of the epoch, training and validation.
        learning_rate: the rate that this epoch was trained with.
        memory_mb: peak resident memory of the trial's process so far, in MiB.
        time: when the epoch ended, in seconds since 1970.
    """

    epoch: int
    seconds: float
    learning_rate: float
    train_loss: float | None
    train_accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    val_balanced_accuracy: float | None
    val_auc: float | None
    val_sensitivity: float | None = None
    val_specificity: float | None = None
    shifted_loss: float | None = None
    shifted_accuracy: float | None = None
    shifted_balanced_accuracy: float | None = None
    shifted_auc: float | None = None
    memory_mb: float = 0.0
    time: float = 0.0
    val_calibrated_loss: float | None = None
    shifted_calibrated_loss: float | None = None


@dataclass
class TrialRecord:
    """One trial as the log tells it.

    Attributes:
        number: 0 for the first trial of the run.
        parameters: the hyperparameters that were sampled or listed, by name.
        seed: of weights, shuffling, augmentation and dropout.
        max_epochs: how many epochs it may train.
        row: the published row that it repeats (`table2/6`), or empty.
        repeat: 0 for the first seed of a configuration.
        confirms: the number of the trial whose configuration it trains again, with another seed; `None` for a trial of
            the search's own.
        status: one of `WAITING`, `RUNNING` and `FINAL`.
        reason: why it ended, in words; empty while it runs.
        epochs: one record an epoch, in order.
        parameter_count: weights of the whole model.
        trainable_count: weights that training changes; `None` where the number is not known.
        host, process: where its latest epoch ran: the machine's name and the process id.
        retries: how often it was tried again after its process was lost or stopped.
        failures: how many of these retries were its own fault; those of older runs are not known and do not count.
        suggested, started, ended: seconds since 1970; 0 where that has not happened yet.
    """

    number: int
    parameters: dict[str, Any]
    seed: int
    max_epochs: int
    row: str = ""
    repeat: int = 0
    confirms: int | None = None
    status: str = WAITING
    reason: str = ""
    epochs: list[EpochRecord] = field(default_factory=list)
    parameter_count: int = 0
    trainable_count: int | None = 0
    host: str = ""
    process: int = 0
    retries: int = 0
    failures: int = 0
    suggested: float = 0.0
    started: float = 0.0
    ended: float = 0.0

    @property
    def name(self) -> str:
        """The trial's name in folders and tables: its number in four digits."""
        return trial_name(self.number)

    @property
    def is_final(self) -> bool:
        """Whether the trial has ended for good."""
        return self.status in FINAL

    @property
    def busy_seconds(self) -> float:
        """Wall time of all its epochs, in seconds."""
        return sum(epoch.seconds for epoch in self.epochs)

    def scored_epoch(self, metric: str, weights: str = "best") -> EpochRecord | None:
        """The epoch that the trial is judged by: its best one, or its `last` one as in the report."""
        if weights == "last":
            return self.epochs[-1] if self.epochs else None
        return self.best_epoch(metric)

    def scored_value(self, metric: str, weights: str = "best") -> float | None:
        """The `metric` of the epoch that the trial is judged by; `None` where there is none."""
        epoch = self.scored_epoch(metric, weights)
        return getattr(epoch, metric) if epoch else None

    def best_epoch(self, metric: str) -> EpochRecord | None:
        """The epoch with the best `metric`; the first of equals; `None` before the first epoch."""
        values = [(getattr(epoch, metric), epoch) for epoch in self.epochs]
        scored = [epoch for value, epoch in values if value is not None and math.isfinite(value)]
        if not scored:
            return None
        sign = 1 if lower_is_better(metric) else -1
        return min(scored, key=lambda epoch: (sign * getattr(epoch, metric), epoch.epoch))


@dataclass(frozen=True)
class FindingScore:
    """The scores of one finding on a set of images, of which each may show several findings.

    Attributes:
        positives: how many images show it; `None` where their labels do not say of any.
        auc, average_precision: in [0, 1]; `None` where no image or each shows it.
    """

    positives: int | None
    auc: float | None
    average_precision: float | None


@dataclass(frozen=True)
class Evaluation:
    """Scores of one trial's weights on one set of images; fractions in [0, 1].

    Attributes:
        trial: the trial's number.
        dataset: `VALIDATION`, `SHIFTED`, `TEST`, or the name of an outside test set.
        weights: `best` (best validation epoch) or `last`.
        epoch: the epoch that those weights come from.
        images: how many images were scored.
        confusion: rows are true classes, columns predicted ones.
        average_precision: of the positive class of two, else the mean over classes; `None` in older records.
        patients: how many patients the images are of; `None` in older records.
        accuracy_low, accuracy_high: the 95 % interval of the accuracy over patients; `None` in older records, and with
            several findings an image.
        findings: with several findings an image, the scores of each, in the order of the classes; the other scores are
            then means over findings, at a probability of 0.5, and there is no confusion.
    """

    trial: int
    dataset: str
    weights: str
    epoch: int
    images: int
    loss: float
    accuracy: float
    balanced_accuracy: float
    auc: float | None
    sensitivity: float | None
    specificity: float | None
    confusion: list[list[int]]
    average_precision: float | None = None
    patients: int | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    findings: tuple[FindingScore, ...] = ()

    @property
    def scores(self) -> dict[str, float]:
        """The scores that are defined, by name; of several findings those whose means say something."""
        names = ["loss", "auc", "average_precision"]
        if not self.findings:
            names += ["accuracy", "balanced_accuracy", "sensitivity", "specificity"]
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class OperatingPoint:
    """The probability from which on an image is called positive; of two classes.

    Attributes:
        name: what it was chosen for: `sensitivity 0.95`, `specificity 0.9`, `Youden's index`, the largest sum of both,
            or `equal`, the more probable class.
        threshold: of the winner's own probability of the positive class, which is called at the threshold or above.
        chosen_on: the set of images that the threshold was set on; empty for `equal`.
    """

    name: str = "equal"
    threshold: float = 0.5
    chosen_on: str = ""

    @property
    def words(self) -> str:
        """The rule in words: `positive at 0.31 or above (sensitivity 0.95 on validation)`."""
        return f"positive at {self.threshold:.3g} or above ({self.reason})"

    @property
    def reason(self) -> str:
        """What it was chosen for, and on which images, in words."""
        where = "shifted validation" if self.chosen_on == SHIFTED else self.chosen_on
        return f"{self.name} on {where}" if where else "the more probable class"

    @property
    def finding_words(self) -> str:
        """The rule of one of several findings in words: without images that tell, it is 0.5."""
        return self.words if self.chosen_on else "at 0.5, since validation tells no threshold"


@dataclass(frozen=True)
class FindingCalibration:
    """The calibration of one of several findings: probabilities p become sigmoid(slope * logit p + bias).

    Attributes:
        slope, bias: 1 and 0 where it is not calibrated.
        held_out_losses: as in `Winner`; empty where calibration was not tried, because no image or each shows it.
    """

    slope: float = 1.0
    bias: float = 0.0
    held_out_losses: tuple[float, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether it is calibrated."""
        return (self.slope, self.bias) != (1.0, 0.0)


@dataclass(frozen=True)
class Rate:
    """A share in [0, 1] with its 95 % interval; `None` where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


RATES = ("sensitivity", "specificity", "ppv", "npv")


@dataclass(frozen=True)
class Decisions:
    """What the winner's decisions at its operating point are worth on a set of images, at a prevalence.

    Attributes:
        dataset: as in `Evaluation`.
        images: how many were decided on.
        prevalence: the share of the positive class: the set's own, or a stated one.
        stated: whether the prevalence is a stated one. Sensitivity and specificity are the same at every prevalence.
        ppv, npv: the share of positive, of negative decisions that are right.
    """

    dataset: str
    images: int
    prevalence: float
    stated: bool
    sensitivity: Rate
    specificity: Rate
    ppv: Rate
    npv: Rate


@dataclass(frozen=True)
class Winner:
    """The model that a search exports: the mean of the best trials' probabilities, calibrated.

    Attributes:
        trials: the numbers of its members, best first. The weights of each are those that were evaluated.
        calibrated_on: the set of images that slope and bias were fitted on; empty where it is not calibrated.
        slope, bias: probabilities p become softmax(slope * log p + bias), one bias a class.
        evaluations: of the winner, one a set of images; their `trial` is the first member, their `epoch` is 0.
        held_out_losses: what decides on calibration: the loss as it is, and the loss with each group of images
            calibrated on all other groups. A group is one way of change of the shifted copy or, without a shifted
            copy, one fold of patients. Empty where calibration was not tried.
        shares: the share of each class at which its probabilities hold; empty where that is not known.
        operating_point: where it divides two classes.
        prevalence: of the positive class where it will be used, as `evaluate.prevalence` states it.
        decisions: at its operating point, of two classes: for each set of images at the set's own prevalence, then at
            the stated one.
        finding_points: with several findings an image, where each is called present, in the order of the classes.
        finding_calibrations: of these, in the same order, in place of slope and bias; their probabilities hold where a
            finding is as frequent as among the images that they were fitted on.
    """

    trials: tuple[int, ...]
    calibrated_on: str
    slope: float
    bias: tuple[float, ...]
    evaluations: tuple[Evaluation, ...]
    held_out_losses: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    operating_point: OperatingPoint = OperatingPoint()
    prevalence: float | None = None
    decisions: tuple[Decisions, ...] = ()
    finding_points: tuple[OperatingPoint, ...] = ()
    finding_calibrations: tuple[FindingCalibration, ...] = ()

    @property
    def what(self) -> str:
        """What it is, in words: `trial 0007, calibrated on validation`."""
        names = [trial_name(number) for number in self.trials]
        what = f"trial {names[0]}" if len(names) == 1 else f"the mean of trials {', '.join(names)}"
        return what + (f", {self.how_calibrated}" if self.calibrated_on else "")

    @property
    def how_decided(self) -> str:
        """How its probabilities become a decision, in words."""
        if self.finding_points:
            reasons = dict.fromkeys(point.reason for point in self.finding_points if point.chosen_on)
            rule = f"{', '.join(reasons)}, or 0.5 where that tells none" if reasons else "0.5: validation tells none"
            return f"each finding at its own threshold ({rule})"
        return self.operating_point.words if len(self.bias) == 2 else "the most probable class"

    @property
    def how_calibrated(self) -> str:
        """Whether and on what it is calibrated, in words; empty where it is not."""
        calibrated = sum(each.changes for each in self.finding_calibrations)
        which = f"{calibrated} of {len(self.finding_calibrations)} findings " if calibrated else ""
        return f"{which}calibrated on {self.calibrated_on}" if self.calibrated_on else ""

    @property
    def why_calibrated(self) -> str:
        """The losses that decided on calibration, in words; empty where calibration was not tried."""
        tried = [each for each in self.finding_calibrations if each.held_out_losses]
        if not self.held_out_losses and not tried:
            return ""
        shifted = any(entry.dataset == SHIFTED for entry in self.evaluations)
        where = (
            "on images changed in a way that it was not fitted on" if shifted else "on patients it was not fitted on"
        )
        if tried:
            lowers = sum(each.changes for each in tried)
            return f"{where}, calibration clearly lowers the loss of {lowers} of {len(tried)} findings with images"
        as_is, calibrated = self.held_out_losses
        unclear = "" if self.calibrated_on or calibrated >= as_is else ", a gain that may be chance"
        return f"{where}, calibration takes the loss from {as_is:.4f} to {calibrated:.4f}{unclear}"


@dataclass(frozen=True)
class EarlierTrial:
    """What a run took from a trial of an earlier one.

    Attributes:
        run: the earlier run's name.
        trial: the trial's number there.
        parameters: its configuration in the space of this run.
        value: the best metric of its epochs; `None` where it is taken as a guess.
    """

    run: str
    trial: int
    parameters: dict[str, Any]
    value: float | None = None


@dataclass(frozen=True)
class WarmStart:
    """What a run took from earlier ones (`search.warm_start`), written when the run is created.

    Attributes:
        guesses: the best configuration of each earlier run, which a trial repeats.
        history: finished trials whose values count like those of trials of this run.
    """

    guesses: tuple[EarlierTrial, ...] = ()
    history: tuple[EarlierTrial, ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """A run's settings, data and environment, written when the run is created.

    Attributes:
        created: seconds since 1970.
        command: as it was typed.
        metric: the validation score that trials are ranked by.
        classes: in the order of labels and probabilities.
        config: the resolved configuration, as nested dictionaries.
        environment: versions, git commit, hardware.
        data: fingerprint, classes, counts per split and class.
        schema: the version of the records, `SCHEMA_VERSION`.
    """

    name: str
    created: float
    command: str
    metric: str
    classes: tuple[str, ...]
    config: dict[str, Any]
    environment: dict[str, Any]
    data: dict[str, Any]
    schema: int = SCHEMA_VERSION

    @property
    def is_multilabel(self) -> bool:
        """Whether an image may show several of the classes, or none: they are findings, each predicted by itself."""
        return bool(self.config.get("data", {}).get("task") == MULTILABEL)

    @property
    def positive(self) -> str | None:
        """The class that sensitivity, precision and their curves are of; `None` unless there are two classes."""
        return self.classes[1] if len(self.classes) == 2 and not self.is_multilabel else None

    def images(self, part: str) -> int:
        """How many images are in train, validation or test."""
        counts = self.data.get("counts", {}).get(part, ())  # of older records: each image has one class
        return int(self.data.get("images", {}).get(part, sum(counts)))


def trial_name(number: int) -> str:
    """The name of trial `number`: `0007`."""
    return f"{number:04d}"


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of `metric` is the better one (losses)."""
    return metric.endswith("loss")


def finite(value: Any) -> Any:
    """`value` with every NaN and infinity, at any depth, replaced by `None`: strict JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def to_json(value: Any) -> str:
    """One line of strict JSON for a dataclass, dictionary or list."""
    # Python's own json, because records stay byte for byte as earlier versions wrote them. msgspec 0.22 was tried: it
    # writes 0.00001 where Python writes 1e-05, and non-ASCII text as it is (592 of the 3,251 lines in docs/results
    # differ). Its decoder alone would replace `from_json`, and would refuse a loss of null, which stands for NaN.
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.dumps(finite(value), allow_nan=False, separators=(",", ":"))


def from_json(record: type[R], content: Mapping[str, Any]) -> R:
    """The record that a JSON object holds.

    Entries that are no fields of the record are left out: a newer version of this schema may add some.

    Args:
        record: a dataclass.
        content: its fields by name.

    Raises:
        TypeError: a field without a default is missing.
    """
    names = {entry.name for entry in dataclasses.fields(record)}  # type: ignore[arg-type]
    return record(**{key: value for key, value in content.items() if key in names})
