"""The settings `data.*` of a search: which images are used, how they are prepared and divided."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_pipeline.classes import AUTO
from data_pipeline.dicom_tags import REASONS
from data_pipeline.findings import TableSettings
from data_pipeline.identity import CACHE, Pseudonyms
from data_pipeline.image_file import FileRules
from data_pipeline.manifest import MULTICLASS, MULTILABEL, TASKS, DataError
from data_pipeline.preprocess import ImageSettings
from data_pipeline.split import SplitSettings
from data_pipeline.tables import is_table


@dataclass
class DataSettings:
    """Which images are used, how they are prepared and divided: the settings `data.*` of a search.

    Attributes:
        source: "sample" or "kaggle"; not looked at when `root` is given.
        root: A folder with images.
        labels: "two_class", "three_class" or "folders", or a table of labels: .csv, .tsv or .parquet.
        task: "multiclass" for images of one class each, or with a table "multilabel" for images of several findings.
        classes: With a table, from a class to the findings that make it, as `scan_table`.
        columns: With a table of no known format, as `data_pipeline.table_formats.read_table`.
        table: What becomes of rows of a table that do not name one class.
        patient: Where an image's path names the patient, as `data_pipeline.patients.read_patients`.
        positive: The positive one of two classes, as `data_pipeline.classes.order_classes`.
        size: Width and height that images are brought to, in pixels.
        channels: As in `ImageSettings`.
        interpolation: As in `ImageSettings`.
        keep_aspect: As in `ImageSettings`.
        split: How validation is drawn from the pool.
        max_bad_fraction: The share of unusable files above which the run stops.
        accept: Kinds of DICOM images that are used and not set aside: names of `data_pipeline.dicom_tags.REASONS`.
        cache: Folder of the prepared images, and of features.
        cache_gb: Of features on disk, and as many of images copied to a host, in GB.
        extra_tests: Outside test sets, from a name to a folder with one folder a class, or to a table of labels in the
            folder of its images.

    Raises:
        DataError: A value breaks its rule.
    """

    source: str = "sample"
    root: str | None = field(default=None, metadata={"reads": "path"})
    labels: str = field(default="two_class", metadata={"reads": "path"})
    task: str = MULTICLASS
    classes: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    table: TableSettings = field(default_factory=TableSettings)
    patient: str | None = field(default=AUTO, metadata={"reads": "text"})
    positive: str | None = field(default=AUTO, metadata={"reads": "text"})
    size: int = 224
    channels: int = 1
    interpolation: str = "area"
    keep_aspect: bool = False
    split: SplitSettings = field(default_factory=SplitSettings)
    max_bad_fraction: float = 0.01
    accept: list[str] = field(default_factory=list)
    cache: str = field(default=CACHE, metadata={"reads": "path"})
    cache_gb: float = 50.0
    extra_tests: dict[str, str] = field(default_factory=dict, metadata={"reads": "paths"})

    def __post_init__(self) -> None:
        _ = self.image  # checks it
        if not 0 <= self.max_bad_fraction <= 1:
            raise DataError(f"data.max_bad_fraction lies between 0 and 1. Received: {self.max_bad_fraction}.")
        if is_table(self.labels) and self.root is None:
            raise DataError(
                f"A table of labels needs the folder of its images. Received: data.labels={self.labels} without "
                "data.root. Add data.root=FOLDER."
            )
        for name in self.accept:
            if name not in REASONS:
                raise DataError(f"data.accept is a list of {', '.join(REASONS)}. Received: {name!r}. Correct it.")

        _check_task(self)

    @property
    def is_multilabel(self) -> bool:
        """Whether an image may show several findings, or none."""
        return self.task == MULTILABEL

    @property
    def image(self) -> ImageSettings:
        """How an image file becomes an array."""
        return ImageSettings(self.size, self.channels, self.interpolation, self.keep_aspect)

    @property
    def file_rules(self) -> FileRules:
        """Which files are used, and what hides their patients."""
        return FileRules(tuple(self.accept), Pseudonyms(self.cache_dir))

    @property
    def cache_dir(self) -> Path:
        """The cache folder with ~ resolved."""
        return Path(self.cache).expanduser()


def _check_task(data: DataSettings) -> None:
    """Raise DataError unless the task is known and the other settings fit it."""
    if data.task not in TASKS:
        raise DataError(f"data.task is one of {', '.join(TASKS)}. Received: {data.task!r}. Correct it.")
    if not data.is_multilabel:
        return
    method = data.split.method
    for is_wrong, rule, received, step in (
        (
            not is_table(data.labels),
            "takes its labels from a table",
            f"data.labels={data.labels}",
            "Write data.labels=FILE.csv",
        ),
        (
            data.positive != AUTO,
            "has no positive class: every finding is one",
            f"data.positive={data.positive}",
            "Leave it out",
        ),
        (
            method != "stratified",
            "draws validation by finding (stratified)",
            f"data.split.method={method}",
            "Add data.split.method=stratified",  # a space may have set the other
        ),
    ):
        if is_wrong:
            raise DataError(f"data.task=multilabel {rule}. Received: {received}. {step}, or leave data.task out.")
