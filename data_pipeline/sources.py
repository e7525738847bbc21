"""Where the images come from: the shipped sample, Kaggle, or a folder."""

import importlib
from pathlib import Path

from data_pipeline.manifest import DataError

SOURCES = ("sample", "kaggle")
KAGGLE_DATASET = "paultimothymooney/chest-xray-pneumonia"
SAMPLE_NOTICE = (
    "These 600 X-rays are only a sample that ships with the project: good for trying it out, too small for "
    "conclusions. The full set has 5,856 images: data=kaggle downloads it, data.root=FOLDER reads your copy."
)


def locate(source: str, root: str | None = None) -> Path:
    """The folder that holds the images, downloaded first if need be.

    Args:
        source: "sample" (shipped with the project) or "kaggle" (the full public set, downloaded once;
            kagglehub shows the progress and keeps it in its own cache).
        root: A folder with images; when given, `source` is not looked at.

    Raises:
        DataError: The folder does not exist, the source is unknown, or the download is not possible.

    Source: https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia
    """
    if root is not None:
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise DataError(
                f"data.root must be an existing folder, received {root!r}. Check the path, or leave "
                "data.root out to use the shipped sample."
            )
        return folder.resolve()
    if source == "sample":
        return Path(__file__).resolve().parent / "sample"
    if source == "kaggle":
        return _download_from_kaggle()
    raise DataError(f"The data source is one of {', '.join(SOURCES)}, or a folder as data.root; received {source!r}.")


def _download_from_kaggle() -> Path:
    by_hand = (
        f"Or download https://www.kaggle.com/datasets/{KAGGLE_DATASET} in a browser, unpack it and pass "
        "data.root=FOLDER/chest_xray."
    )
    try:
        kagglehub = importlib.import_module("kagglehub")
    except ImportError as error:
        raise DataError(
            "data=kaggle needs the package kagglehub, which is not installed: pip install '.[kaggle]'. " + by_hand
        ) from error
    try:
        return Path(kagglehub.dataset_download(KAGGLE_DATASET))
    # kagglehub raises its own, requests' and the operating system's errors; to the user all mean: no data
    except Exception as error:
        raise DataError(
            f"Kaggle's {KAGGLE_DATASET} could not be downloaded ({type(error).__name__}: {error}). Check the "
            f"network and run again: a download that was cut short goes on. {by_hand}"
        ) from error
