"""Makes classes of a table's findings: which findings make which class, and the labels of an image by them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_pipeline.classes import order_classes, reads_as_normal
from data_pipeline.manifest import MULTICLASS, MULTILABEL, DataError
from data_pipeline.table_formats import LabelRow, LabelTable

ANY = "*"  # in data.classes: every finding that no class names
_MOST_CLASSES = 10  # that are made without data.classes
_CHOICES = {
    "several": ("exclude", "first"),
    "uncertain": ("exclude", "positive", "negative"),
    "blank": ("negative", "exclude"),
    "unmatched": ("exclude", "stop"),
}


@dataclass
class TableSettings:
    """What becomes of rows that do not name one class, or no image: the settings `data.table.*`.

    Attributes:
        several: Findings of several classes: "exclude" the image, or take the "first" class of data.classes.
        uncertain: A finding that may be there and would decide: "exclude" the image, or count it as "positive" or
            "negative".
        blank: A finding of a class that the row does not mention: "negative", or "exclude" the image.
        unmatched: Rows without an image and images without a row: "exclude" them, or "stop".

    Raises:
        DataError: A value is none of these.
    """

    several: str = "exclude"
    uncertain: str = "exclude"
    blank: str = "negative"
    unmatched: str = "exclude"

    def __post_init__(self) -> None:
        for name, valid in _CHOICES.items():
            if getattr(self, name) not in valid:
                raise DataError(
                    f"data.table.{name} must be one of {', '.join(valid)}. Received: {getattr(self, name)!r}."
                )


@dataclass(frozen=True)
class Classes:
    """Which findings make which class.

    Attributes:
        names: The classes, in the order of their labels.
        by_finding: From a finding, as `finding_key` writes it, to the label.
        listed: The labels in the order of data.classes.
        rest: The label of every other finding; None where they have none.
    """

    names: tuple[str, ...]
    by_finding: Mapping[str, int]
    listed: tuple[int, ...]
    rest: int | None = None

    def of(self, findings: Iterable[str]) -> set[int]:
        """The labels of some findings."""
        found = {self.by_finding.get(finding_key(finding), self.rest) for finding in findings if finding}
        return {label for label in found if label is not None}


def read_classes(table: LabelTable, classes: Mapping[str, Any], positive: str | None) -> Classes:
    """The classes that data.classes makes of a table's findings, in the order of `order_classes`.

    Raises:
        DataError: A finding is in two classes or not in the table, without data.classes an image has several, or the
        positive class cannot be told.
    """
    counts, listing = _count_findings(table)
    example = "data.classes={pneumonia: [Pneumonia, Consolidation], normal: [No Finding]}"
    if not classes:
        if len(counts) > _MOST_CLASSES or any(len(row.present) > 1 for row in table.rows):
            raise DataError(
                f"Images with several findings need data.classes. Received: a table with the findings {listing}. "
                f"Write, such as, {example}; [*] stands for all others. Or write data.task=multilabel: each is "
                "predicted by itself."
            )
        classes = {name: [name] for name in sorted(counts)}
    by_finding = _named_classes(classes, counts, listing, example)
    names = order_classes([str(name) for name in classes], positive)
    return _with_labels(names, by_finding, classes)


def read_findings(table: LabelTable, classes: Mapping[str, Any]) -> Classes:
    """What is told of each image, in the order of data.classes; without it the table's findings, in that of names.

    A finding that reads as normal (No Finding) is none of the latter: it says that there are no others.

    Raises:
        DataError: A finding is in two of data.classes or not in the table, or there are fewer than two.
    """
    counts, listing = _count_findings(table)
    if not classes:
        classes = {name: [name] for name in sorted(counts) if not reads_as_normal(name)}
    if len(classes) < 2:
        raise DataError(
            f"data.task=multilabel tells at least two findings. Received: {', '.join(map(str, classes)) or 'none'}, of "
            f"a table with {listing}. Name more in data.classes, or leave data.task out."
        )
    by_finding = _named_classes(classes, counts, listing, "data.classes={opacity: [Mass, Nodule], fluid: [Effusion]}")
    return _with_labels(tuple(map(str, classes)), by_finding, classes)


def outside_classes(
    table: LabelTable, names: Sequence[str], classes: Mapping[str, Any], task: str
) -> tuple[Classes, tuple[str, ...]]:
    """Which findings of an outside table make which class of a run, and the classes of which it has no finding.

    Arguments as `data_pipeline.tables.scan_outside_table`.

    Raises:
        DataError: The table lacks the findings of a class; of several findings an image, of each.
    """
    counts, listing = _count_findings(table)
    given = {str(name): findings for name, findings in classes.items()}
    made_of = {name: _listed(given.get(name, _of_name(name, counts, task))) for name in names}
    present = {ANY, *map(finding_key, counts)}
    unknown = [name for name, findings in made_of.items() if not present.intersection(map(finding_key, findings))]
    if task == MULTILABEL and len(unknown) < len(names):
        made_of = {name: findings for name, findings in made_of.items() if name not in unknown}
    by_finding = _named_classes(made_of, counts, listing, "data.classes={pneumonia: [Pneumonia, Consolidation]}")
    return _with_labels(tuple(names), by_finding, made_of), tuple(unknown)


def _of_name(name: str, findings: Iterable[str], task: str) -> list[str]:
    """The findings that make a class of this name; Normal is also made of those that read as normal."""
    is_normal = task == MULTICLASS and reads_as_normal(name)
    others = [each for each in findings if finding_key(each) != finding_key(name) and reads_as_normal(each)]
    return [name, *(others if is_normal else [])]


def _count_findings(table: LabelTable) -> tuple[Counter[str], str]:
    """How many rows have each finding, certain or not; the most frequent in words."""
    counts = Counter(finding for row in table.rows for finding in row.present | row.uncertain)
    return counts, ", ".join(f"{finding} ({count:,})" for finding, count in counts.most_common(30)) or "none"


def _listed(findings: Any) -> list[str]:
    """The findings that data.classes gives a class, one or a list of them."""
    return [str(finding) for finding in (findings if isinstance(findings, (list, tuple)) else [findings])]


def _named_classes(classes: Mapping[str, Any], counts: Mapping[str, int], listing: str, example: str) -> dict[str, str]:
    """From each finding, as `finding_key` writes it, to the class of data.classes that it makes."""
    by_finding: dict[str, str] = {}
    present = {finding_key(finding) for finding in counts}
    for name, listed in classes.items():
        findings = _listed(listed)
        twice = [finding for finding in findings if finding_key(finding) in by_finding]
        if twice or not any(finding == ANY or finding_key(finding) in present for finding in findings):
            raise DataError(
                "data.classes gives each class findings of its own, at least one of which the table has. Received: "
                f"{name}: {', '.join(twice or findings)}. The table has {listing}. Correct it, such as {example}."
            )
        by_finding |= {finding_key(finding): str(name) for finding in findings}
    return by_finding


def _with_labels(names: tuple[str, ...], by_finding: Mapping[str, str], classes: Mapping[str, Any]) -> Classes:
    label_of_finding = {finding: names.index(name) for finding, name in by_finding.items()}
    rest = label_of_finding.pop(ANY, None)
    return Classes(names, label_of_finding, tuple(names.index(str(name)) for name in classes), rest)


def label_of(row: LabelRow, classes: Classes, settings: TableSettings) -> int | str:
    """The label of an image, or the rule by which it has none.

    An uncertain or blank finding matters only where it would give the image another class than it has.
    """
    counted = row.present | row.uncertain if settings.uncertain == "positive" else row.present
    found = classes.of(counted)
    if undecided := _undecided(row, found, classes, settings):
        return undecided
    if len(found) > 1 and settings.several == "exclude":
        return "findings of several classes (data.table.several)"
    if not found:
        return "the label is blank" if "" in row.blank else "no finding of data.classes"
    return min(found, key=classes.listed.index)


def findings_of(row: LabelRow, classes: Classes, settings: TableSettings) -> frozenset[int] | str:
    """The labels of all that an image shows, perhaps none, or the rule by which that is not known.

    No Finding is not among all other findings.
    """
    counted = row.present | row.uncertain if settings.uncertain == "positive" else row.present
    found = classes.of(each for each in counted if finding_key(each) in classes.by_finding or not reads_as_normal(each))
    if undecided := _undecided(row, found, classes, settings):
        return undecided
    return "the label is blank" if "" in row.blank else frozenset(found)


def _undecided(row: LabelRow, found: set[int], classes: Classes, settings: TableSettings) -> str:
    """The rule by which the labels beside those that were found keep an image out; empty where they do not."""
    if settings.uncertain == "exclude" and classes.of(row.uncertain) - found:
        return "a finding of data.classes is uncertain (data.table.uncertain)"
    if settings.blank == "exclude" and classes.of(row.blank) - found:
        return "a finding of data.classes is blank (data.table.blank)"
    return ""


def finding_key(finding: str) -> str:
    """A finding as it is compared: Pleural_Thickening is 'pleural thickening'."""
    return finding.casefold().replace("_", " ").strip()
