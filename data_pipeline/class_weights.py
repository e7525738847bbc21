"""Weight of each class, or of each finding's presence and absence, in the training loss."""

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


def finding_weights(name: str, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights of a finding's absence and presence, float32 (2, K), above 0.

    "none" gives 1. "balanced" gives N / (2 n) for n of N images, so that both count the same however rare the finding
    is; 1 where no image or each shows it.

    Args:
        name: "none" or "balanced".
        labels: Training labels, 0 or 1, int (N, K).

    Raises:
        DataError: The name is another.
    """
    if name not in ("none", "balanced"):
        raise DataError(
            f"Findings have class_weights none or balanced: none of them is normal. Received: {name!r}. Choose one."
        )
    shown = labels.sum(axis=0)
    counts = np.stack([len(labels) - shown, shown])  # (2, K)
    is_weighed = (counts > 0).all(axis=0) & (name == "balanced")
    return np.where(is_weighed, len(labels) / (2 * np.maximum(counts, 1)), 1.0).astype(np.float32)
