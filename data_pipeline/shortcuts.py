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
    """For each of `PROPERTIES`, the AUC with which it alone separates each class from all others.

    0.5 means not at all; above 0.5, images of the class have more of the property; below, less.

    Args:
        rows: N images, each class among them.
        images: uint8 (M, H, W, C); `row.index` is the position of a row's image.
        classes: K names.

    Returns:
        K numbers in [0, 1] for each property.
    """
    from scipy.stats import mannwhitneyu

    labels = np.array([row.label for row in rows])
    found = {}
    for name, measure in PROPERTIES.items():
        values = np.array([measure(row, images[row.index]) for row in rows])
        aucs = []
        for place in range(len(classes)):
            own, others = values[labels == place], values[labels != place]
            aucs.append(float(mannwhitneyu(own, others).statistic) / (len(own) * len(others)))
        found[name] = tuple(aucs)
    return found
