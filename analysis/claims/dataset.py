"""Images by split and class, beside the counts that the report prints (its figures 1 to 4)."""

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.claims.published import published_counts
from analysis.load import Run
from analysis.table import Table


def data_counts(
    counts: Mapping[str, Sequence[int]], classes: Sequence[str], sizes: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """Images a split and class, as counts and shares, beside the report's own (its figures 1 to 3).

    Args:
        counts: images of each class by split.
        classes: their names.
        sizes: images of each split; None: each image has one class.
    """
    sizes = {split: sum(numbers) for split, numbers in counts.items()} if sizes is None else sizes
    lines = [
        {"split": split, "class": name, "images": int(images)}
        for split, numbers in counts.items()
        for name, images in zip(classes, numbers, strict=True)
    ]
    frame = pd.DataFrame(lines, columns=["split", "class", "images"])
    frame["share_of_split"] = frame["images"] / frame["split"].map(sizes)
    frame["share_of_all"] = frame["images"] / sum(sizes.values())
    published = published_counts(len(classes))
    frame = frame.merge(published, on=["split", "class"], how="left")
    frame["difference"] = frame["images"] - frame["published"]
    return frame


def split_counts(counts: Mapping[str, Sequence[int]], classes: Sequence[str]) -> pd.DataFrame:
    """Images a split, as counts and shares, beside the report's own (its figure 4)."""
    table = data_counts(counts, classes)
    frame = table.groupby("split", sort=False, as_index=False)[["images", "share_of_all"]].sum()
    sums = table.groupby("split")["published"].sum(min_count=len(classes))
    frame["published"] = frame["split"].map(sums)
    frame["published_share"] = frame["published"] / frame["published"].sum()
    frame["difference"] = frame["images"] - frame["published"]
    return frame


def image_counts(run: Run) -> dict[str, list[int]]:
    """Images of each class by split: counted in the manifest; without one, as the run recorded them.

    Those of several findings an image are as recorded.
    """
    order = ("train", "validation", "test")
    if run.record.is_multilabel or not len(run.manifest):
        return {name: list(run.record.data.get("counts", {}).get(name, [])) for name in order}
    found = run.manifest.groupby(["split", "label"]).size()
    labels = range(len(run.classes))
    return {name: [int(found.get((name, label), 0)) for label in labels] for name in order}


def _data_table(run: Run) -> pd.DataFrame:
    counts = image_counts(run)
    sizes = {part: run.record.images(part) for part in counts} if run.record.is_multilabel else None
    return data_counts(counts, run.classes, sizes)


_HEADINGS_FR = {
    "split": "groupe",
    "class": "classe",
    "published": "publié",
    "published_share": "part publiée",
    "difference": "écart",
    "share_of_split": "part du groupe",
    "share_of_all": "part du total",
}

TABLES = (
    Table(
        "data",
        "Images by split and class (figures 1 to 3 of the report)",
        "Distribution des échantillons selon la classe (figures 1 à 3 du rapport)",
        _data_table,
        headings_fr=_HEADINGS_FR,
        section="data",
        caption="Beside the report's own counts, where it prints them.",
    ),
    Table(
        "splits",
        "Images by split (figure 4 of the report)",
        "Distribution de l'échantillon selon les groupes (figure 4 du rapport)",
        lambda run: split_counts(image_counts(run), run.classes),
        headings_fr=_HEADINGS_FR,
        of_classes=True,
    ),
)
