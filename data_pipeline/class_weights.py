"""Weight of each class in the training loss."""

import numpy as np
from numpy.typing import NDArray

from data_pipeline.manifest import DataError

CLASS_WEIGHTS = ("none", "balanced", "favour_normal")


def class_weights(name: str, labels: NDArray[np.int64], class_count: int) -> NDArray[np.float32]:
    """Weight of each class, float32 (class_count,), above 0.

    With N labels, K classes and n_k labels of class k: "none" gives 1; "balanced" N / (K n_k);
    "favour_normal" sets class 0 (normal) against all others together, N / (2 n_0) and N / (2 (N - n_0)),
    which equals "balanced" for two classes and stresses normal for three, as the report intends.

    Args:
        name: One of CLASS_WEIGHTS.
        labels: Training labels, int (N,), each below `class_count`.
        class_count: Number of classes K.

    Raises:
        DataError: The name is unknown, or a class that needs a weight has no label.

    Source: report, section 2.2 (weights that stress normal); scikit-learn's `class_weight="balanced"`.
    """
    if name not in CLASS_WEIGHTS:
        raise DataError(
            f"class_weights must be one of {', '.join(CLASS_WEIGHTS)}. Received: {name!r}. Choose one of these."
        )
    if name == "none":
        return np.ones(class_count, dtype=np.float32)
    counts = np.bincount(labels, minlength=class_count)
    if (counts == 0).any():
        raise DataError(
            f"class_weights={name} needs training images of every class. Received: {counts.tolist()} images by class. "
            "Add images, or choose class_weights=none."
        )
    if name == "balanced":
        weights = len(labels) / (class_count * counts)
    else:
        others = len(labels) - counts[0]
        weights = len(labels) / (2 * np.where(np.arange(class_count) == 0, counts[0], others))
    return weights.astype(np.float32)
