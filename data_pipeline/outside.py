"""Outside test sets: images of another place, and what they share with those that train and validate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data_pipeline.identity import is_hashed
from data_pipeline.looks import MOST_IMAGES, find_alike
from data_pipeline.manifest import BadFile, ImageRow, Manifest
from data_pipeline.preprocess import PreparedImages


@dataclass(frozen=True)
class OutsideSet:
    """An outside test set.

    Attributes:
        rows: Its images, labelled with the run's classes; their patients' names begin with the pool, TEST.
        images: The prepared images.
        unknown: Of several findings an image, those of which its labels say nothing.
        notes: As `Manifest.notes`.
        bad: As `Manifest.bad`: the files that were set aside.
    """

    rows: tuple[ImageRow, ...]
    images: PreparedImages
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    bad: tuple[BadFile, ...] = ()


def list_shared(
    name: str, outside: OutsideSet, manifest: Manifest, pool: PreparedImages, by_pattern: bool = False
) -> Iterator[str]:
    """What an outside set has in common with the images that train and validate, a line each.

    Args:
        name: Of the set.
        outside: The set.
        manifest: Of the run.
        pool: Its prepared images.
        by_pattern: Whether the user's own pattern tells the patients of both, and not only what files or tables state;
            numbers in the names of files begin anew in other sets.
    """
    known = {row.content_hash: row.image_id for row in manifest.pool_rows}
    same = [row.image_id for row in outside.rows if row.content_hash in known]
    if same:
        yield (
            f"Images of the outside set {name} that are byte-identical to images of the pool: {len(same)}, such as "
            f"{same[0]}. Its scores are too good by them."
        )
    firsts = find_alike(outside.images.looks, pool.looks)
    alike = [
        (row.image_id, int(firsts[row.index]))
        for row in outside.rows
        if firsts[row.index] >= 0 and row.content_hash not in known
    ]
    if alike:
        of_pool = {row.index: row.image_id for row in manifest.pool_rows}
        image, first = alike[0]
        yield (
            f"Images of the outside set {name} that look like images of the pool: {len(alike)}, such as {image} and "
            f"{of_pool[first]}. Its scores are too good by them."
        )
    if len(outside.rows) + len(manifest.pool_rows) > MOST_IMAGES:
        yield f"Images of {name} that look like images of the pool are not searched for: both are too many."
    shared = _named(outside.rows, by_pattern) & _named(manifest.pool_rows, by_pattern)
    if shared:
        yield (
            f"Patients of the outside set {name} who have the number of a patient of the pool: {len(shared)}. Two "
            "hospitals may give a number to two people."
        )


def _named(rows: Sequence[ImageRow], by_pattern: bool) -> set[str]:
    """The patients whom files or tables state, or names by a pattern too."""
    told = (row for row in rows if row.names_patient and (by_pattern or is_hashed(row.group)))
    return {row.group.partition("/")[2] for row in told}
