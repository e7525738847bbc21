"""A run's data set as Croissant: a description in JSON-LD, and a table of its images with label and split.

Source: MLCommons 2024, 'Croissant Format Specification', version 1.0.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from data_pipeline.manifest import ImageRow, Manifest
from data_pipeline.manifest_file import read_manifest
from search.evaluate.checklist import FOR_THE_AUTHOR
from search.evaluate.facts import data_facts
from search.evaluate.sets import number_patients
from search.plan.settings import SettingsError
from search.record import RunFolder, RunRecord

DESCRIPTION, TABLE = "croissant.json", "images.csv"
# The columns of the table: name, Croissant's data type, meaning.
_COLUMNS = (
    ("image", "sc:Text", "path of the image below the data set's folder"),
    ("label", "sc:Text", "its class, or the findings that it shows with commas between"),
    ("split", "sc:Text", "train, validation or test"),
    ("patient", "sc:Integer", "a number of the patient, which names nobody; pool and test are numbered apart"),
    ("sha256", "sc:Text", "of the file"),
)
_ENCODINGS = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
    ".dcm": "application/dicom",
}
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def write_croissant(run: str, target: Path) -> list[str]:
    """Describe a run's data set in a folder; returns what was done, a line each. No image is copied.

    Args:
        run: a run's folder or URL, or a packed run.
        target: a folder that exists.

    Raises:
        RecordError: there is no run.
        SettingsError: the run has no manifest.
        DataError: its manifest is damaged.
    """
    folder = RunFolder(run)
    record = folder.read_run()
    if not folder.exists("manifest.parquet"):
        raise SettingsError(
            f"A data set is described from its run's manifest.parquet. Received: {run}, which has none. Restore it."
        )
    manifest, splits = read_manifest(io.BytesIO(folder.read("manifest.parquet")))
    table = image_table(manifest, splits).encode()
    (target / TABLE).write_bytes(table)
    described = describe_dataset(record, manifest.rows, hashlib.sha256(table).hexdigest())
    (target / DESCRIPTION).write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return [
        f"Written to {target}: {DESCRIPTION}, {TABLE} ({len(manifest.rows):,} images)",
        f"Both belong into the data set's own folder. Licence, source and citation are yours to add: see "
        f"'{FOR_THE_AUTHOR.strip('*')}' in {DESCRIPTION}.",
    ]


def image_table(manifest: Manifest, splits: Sequence[str]) -> str:
    """The images as CSV, a row each, with the columns image, label, split, patient and sha256.

    Args:
        manifest: of the data set.
        splits: train, validation or test, one a row of the manifest.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([name for name, _, _ in _COLUMNS])
    patients = number_patients(manifest.rows)
    for row, split, patient in zip(manifest.rows, splits, patients, strict=True):
        writer.writerow([row.image_id, manifest.label_name(row), split, patient, row.content_hash])
    return text.getvalue()


def describe_dataset(run: RunRecord, rows: Sequence[ImageRow], table_hash: str) -> dict[str, Any]:
    """The data set as JSON-LD.

    Args:
        run: that used it.
        rows: its images.
        table_hash: the hexadecimal sha256 of `images.csv`.
    """
    author = FOR_THE_AUTHOR.strip("*")
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"{run.name}-data",
        "description": " ".join(data_facts(run).values()),
        "dateCreated": datetime.fromtimestamp(run.created, UTC).date().isoformat(),
        "license": f"{author}: the licence",
        "url": f"{author}: the address",
        "citeAs": f"{author}: the citation",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": TABLE,
                "name": TABLE,
                "contentUrl": TABLE,
                "encodingFormat": "text/csv",
                "sha256": table_hash,
            },
            *_file_sets(rows),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "description": "The images with label and split.",
                "key": {"@id": "images/image"},
                "field": [_field(*column) for column in _COLUMNS],
            }
        ],
    }


def _file_sets(rows: Sequence[ImageRow]) -> list[dict[str, Any]]:
    """The image files, a set for each ending that they have."""
    endings = sorted({PurePosixPath(row.image_id).suffix for row in rows} - {""})
    return [
        {
            "@type": "cr:FileSet",
            "@id": f"files{ending}",
            "name": f"files{ending}",
            "encodingFormat": _ENCODINGS.get(ending.lower(), "application/octet-stream"),
            "includes": f"**/*{ending}",
        }
        for ending in endings
    ]


def _field(name: str, data_type: str, meaning: str) -> Mapping[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"images/{name}",
        "name": name,
        "description": meaning,
        "dataType": data_type,
        "source": {"fileObject": {"@id": TABLE}, "extract": {"column": name}},
    }
