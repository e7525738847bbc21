"""The files that a run keeps of its images: the manifest with its split as Parquet, the unusable files as CSV."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import BinaryIO

from data_pipeline.manifest import BadFile, DataError, ImageRow, Manifest
from data_pipeline.split import Split

_METADATA_KEY = b"manifest"
_LATER = ("held_out", "patient_folders", "white", "cut", "task")  # fields of Manifest that older files may lack


def write_manifest(manifest: Manifest, split: Split, file: BinaryIO) -> None:
    """Write the images as a Parquet table: the fields of ImageRow and `split` (train, validation or test).

    Of the files set aside, it holds those that cannot be used; `write_bad_files` lists all.

    Args:
        manifest: The prepared data set.
        split: The rows of the pool that train and that validate.
        file: Open for writing, on a disk or in a bucket.
    """
    import pyarrow
    import pyarrow.parquet

    split_of_position = dict.fromkeys(split.train.tolist(), "train")
    split_of_position |= dict.fromkeys(split.validation.tolist(), "validation")
    split_of_id = {row.image_id: split_of_position[at] for at, row in enumerate(manifest.pool_rows)}
    names = [field.name for field in fields(ImageRow) if manifest.is_multilabel or field.name != "findings"]
    columns: dict[str, list[object]] = {name: [getattr(row, name) for row in manifest.rows] for name in names}
    columns["path"] = [row.shown_path for row in manifest.rows]
    columns["split"] = [split_of_id.get(row.image_id, "test") for row in manifest.rows]
    about = {
        "root": manifest.root,
        "classes": manifest.classes,
        "bad": [asdict(bad) for bad in manifest.unusable],  # a table can have 100,000 rows too many
        "notes": manifest.notes,
        **{name: getattr(manifest, name) for name in _LATER},
    }
    table = pyarrow.table(columns).replace_schema_metadata({_METADATA_KEY: json.dumps(about).encode()})
    pyarrow.parquet.write_table(table, file)


def read_manifest(file: BinaryIO) -> tuple[Manifest, tuple[str, ...]]:
    """Read the table of `write_manifest`: the manifest, and for each of its rows train, validation or test.

    Raises:
        DataError: The file is not such a table.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        # On this thread: one of PyArrow's own may be the last to hold the file, and freeing it there aborts a process
        # that is about to end.
        content = pyarrow.BufferReader(file.read())
        table = pyarrow.parquet.ParquetFile(content).read(use_threads=False)
        about = json.loads(table.schema.metadata[_METADATA_KEY])
        splits = tuple(str(name) for name in table.column("split").to_pylist())
        records = table.drop_columns(["split"]).to_pylist()
        rows = tuple(ImageRow(**{**record, "findings": tuple(record.get("findings", ()))}) for record in records)
        bad = tuple(BadFile(**record) for record in about["bad"])
        later = {name: about[name] for name in _LATER if name in about}
        notes = tuple(about.get("notes", ()))
        return Manifest(about["root"], tuple(about["classes"]), rows, bad, **later, notes=notes), splits
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # PyArrow's and JSON's are ValueErrors
        raise DataError(
            f"A manifest must be a Parquet table written by write_manifest. Received: {error}. "
            "Check the file, or take it from its run again."
        ) from error


def write_bad_files(bad: Iterable[BadFile], file: BinaryIO) -> None:
    """Write the files set aside as CSV (UTF-8) with the columns path and reason."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["path", "reason"])
    writer.writerows((each.path, each.reason) for each in bad)
    file.write(text.getvalue().encode())
