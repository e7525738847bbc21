"""Separates the classes by what is no sign of a disease: brightness, contrast and shape of an image.

A network finds such a shortcut before it finds the signs in a lung. Where the shortcut holds in the test set too, the
score is too good; where another hospital's images lack it, the model fails there.

Source: Geirhos et al. 2020, 'Shortcut Learning in Deep Neural Networks'.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from data_pipeline.manifest import ImageRow

# Mean and standard deviation of the grey values, and the shape of the file.
PROPERTIES: dict[str, Callable[[ImageRow, NDArray[np.uint8]], float]] = {
    "brightness": lambda row, image: float(image.mean()),
    "contrast": lambda row, image: float(image.std()),
    "width / height": lambda row, image: row.width / row.height,
}


def shortcut_aucs(
    rows: Sequence[ImageRow], images: NDArray[np.uint8], classes: Sequence[str]
) -> dict[str, tuple[float, ...]]:
    """For each of `PROPERTIES`, the AUC with which it alone separates images of each class or finding from all others.

    0.5 means not at all; above 0.5, images of the class have more of the property; below, less.

    Args:
        rows: N images.
        images: uint8 (M, H, W, C); `row.index` is the position of a row's image.
        classes: K names.

    Returns:
        K numbers in [0, 1] for each property; NaN for a class that no image or each is of.
    """
    places = range(len(classes))
    shown = np.array([[row.label == place or place in row.findings for place in places] for row in rows])  # (N, K)
    found = {}
    for name, measure in PROPERTIES.items():
        values = np.array([measure(row, images[row.index]) for row in rows])
        found[name] = tuple(auc_alone(values, of_class) for of_class in shown.T)
    return found


def auc_alone(values: NDArray[np.float64], of_class: NDArray[np.bool_]) -> float:
    """The AUC with which a property, (N,), alone separates images of a class from all others; NaN without either."""
    from scipy.stats import mannwhitneyu

    own, others = values[of_class], values[~of_class]
    pairs = len(own) * len(others)
    return float(mannwhitneyu(own, others).statistic) / pairs if pairs else np.nan
