"""Finds the folder of the images: the shipped sample, Kaggle's download, or a folder of the user's."""

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
    """The folder that holds the images, downloaded first if necessary.

    Args:
        source: "sample" (shipped with the project) or "kaggle" (the full public set, downloaded once;
            kagglehub shows the progress and keeps it in its own cache).
        root: A folder with images; when given, `source` is ignored.

    Raises:
        DataError: The folder does not exist, the source is unknown, or the download is not possible.

    Source: https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia
    """
    if root is not None:
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise DataError(
                f"data.root must be an existing folder. Received: {root!r}. Check the path, or leave data.root out to "
                "use the shipped sample."
            )
        return folder.resolve()
    if source == "sample":
        return Path(__file__).resolve().parent / "sample"
    if source == "kaggle":
        return _download_from_kaggle()
    raise DataError(
        f"data.source must be one of {', '.join(SOURCES)}. Received: {source!r}. "
        "Choose one of these, or give a folder as data.root."
    )


def _download_from_kaggle() -> Path:
    by_hand = (
        f"Or download https://www.kaggle.com/datasets/{KAGGLE_DATASET} in a browser, unpack it and pass "
        "data.root=FOLDER/chest_xray."
    )
    try:
        kagglehub = importlib.import_module("kagglehub")
    except ImportError as error:
        raise DataError(
            f"data=kaggle needs the package kagglehub. Received: {error}. "
            f"Install it with pip install '.[kaggle]'. {by_hand}"
        ) from error
    try:
        return Path(kagglehub.dataset_download(KAGGLE_DATASET))
    # kagglehub raises errors of its own, of requests and of the operating system; each means that there are no data
    except Exception as error:
        raise DataError(
            f"data=kaggle downloads {KAGGLE_DATASET} from Kaggle. Received: {type(error).__name__}: {error}. Check the "
            f"network and run again: an interrupted download continues. {by_hand}"
        ) from error
