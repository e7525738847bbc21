"""Pictures of the winner's most confident mistakes on the test set, with Grad-CAM over them.

They are made when a search ends and stored with the run, so that a reader needs no TensorFlow.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search.evaluate.sets import EvaluationSet
from search.record import RunFolder, to_json

if TYPE_CHECKING:
    import keras

MOST_PICTURES = 24

# From cold to warm: red, green, blue in [0, 1] at equal steps of heat (matplotlib's inferno, its dark end left out).
_COLORS = np.array([[0.34, 0.06, 0.43], [0.73, 0.21, 0.33], [0.98, 0.56, 0.03], [0.99, 1.0, 0.64]])
_STRONGEST = 0.6  # opacity of the warmest pixel: the X-ray stays visible below it

# Pixels of the side of a heat map. What leaves six blocks is one pixel of an image of 96, and tells no place.
_LEAST = 4


@dataclass(frozen=True)
class Mistake:
    """A misclassified image of the gallery.

    Attributes:
        file, cam: names of the X-ray's picture, and of Grad-CAM over it, in the gallery's folder.
        label, predicted: class names.
        probabilities: by class name.
    """

    image_id: str
    file: str
    cam: str
    label: str
    predicted: str
    probabilities: dict[str, float]


def write_gallery(
    folder: RunFolder,
    model: "keras.Model",
    test: EvaluationSet,
    probabilities: NDArray[np.float32],
    classes: Sequence[str],
) -> None:
    """Write `winner/gallery.json` and its pictures, `winner/gallery/*.png`; pictures of an earlier winner are removed.

    Args:
        folder: the run's.
        model: the winner, as `grad_cam` takes it.
        test: N scored images.
        probabilities: float32 (N, K), the winner's.
        classes: K names.
    """
    chosen = most_confident_mistakes(test.labels, probabilities)
    predicted = probabilities[chosen].argmax(axis=1)
    images = test.images[test.rows[chosen]]
    heat = grad_cam(model, images, predicted)
    entries = []
    for place, row in enumerate(chosen):
        entry = Mistake(
            image_id=test.image_ids[row],
            file=f"{place:02d}.png",
            cam=f"{place:02d}-cam.png",
            label=classes[test.labels[row]],
            predicted=classes[predicted[place]],
            probabilities={name: float(p) for name, p in zip(classes, probabilities[row], strict=True)},
        )
        folder.write(png(images[place]), "winner", "gallery", entry.file)
        folder.write(png(overlay(images[place], heat[place])), "winner", "gallery", entry.cam)
        entries.append(entry)
    folder.write(to_json([asdict(entry) for entry in entries]).encode(), "winner", "gallery.json")
    written = {name for entry in entries for name in (entry.file, entry.cam)}
    for name in set(folder.names("winner", "gallery")) - written:
        folder.remove("winner", "gallery", name)


def most_confident_mistakes(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating], most: int = MOST_PICTURES
) -> NDArray[np.int64]:
    """The images that a model got wrong, the most confident mistake first: int64 (M,), M at most `most`.

    Args:
        labels: int64 (N,).
        probabilities: float (N, K); an image with a NaN or infinite one is left out.
        most: how many to return at most.
    """
    wrong = np.flatnonzero((probabilities.argmax(axis=1) != labels) & np.isfinite(probabilities).all(axis=1))
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:most]


def grad_cam(model: "keras.Model", images: NDArray[np.uint8], classes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Where in each image a model sees a class: heat maps of the size of its last feature maps.

    The weight of a feature map is the gradient of the class score (before the sigmoid or softmax) with respect to it,
    averaged over its pixels. The last feature maps are the output of a backbone, or of the last layer of a CNN that
    leaves at least `_LEAST` pixels a side. Where the maps are flattened instead of averaged, the score also depends on
    places, which Grad-CAM does not show: the heat then says which kind of pixel counts rather than where.

    Args:
        model: from `models.registry.build_model`.
        images: uint8 (N, H, W, C).
        classes: int64 (N,), the class to explain for each image.

    Returns:
        float32 (N, h, w) in [0, 1]; the warmest hundredth of a map is 1, and a map without any heat is 0.

    Source: Selvaraju et al. 2017, 'Grad-CAM: Visual Explanations from Deep Networks'.
    """
    import tensorflow as tf

    seeing, judging = _cut(model)
    heat = []
    for image, label in zip(images, classes, strict=True):  # one at a time: a convolution's maps are large
        maps = tf.convert_to_tensor(image[None].astype(np.float32) / 255)
        for layer in seeing:
            maps = layer(maps, training=False)
        with tf.GradientTape() as tape:
            tape.watch(maps)
            score = _class_score(judging, maps, int(label))
        weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)  # (1, 1, 1, F)
        heat.append(np.asarray(tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1)), np.float32)[0])  # (h, w)
    if not heat:
        return np.zeros((0, 1, 1), np.float32)
    # Not the maximum: one bright edge of a map of 111 x 111 pixels would leave all others cold.
    warm = np.quantile(heat, 0.99, axis=(1, 2), keepdims=True)
    warm = np.where(warm > 0, warm, np.max(heat, axis=(1, 2), keepdims=True))
    return np.asarray(np.clip(np.divide(heat, warm, out=np.zeros_like(heat), where=warm > 0), 0, 1), np.float32)


def _cut(model: Any) -> tuple[list[Any], list[Any]]:
    """A model's chain of layers: those up to the last feature maps (B, h, w, F) that tell a place, and the others."""
    layers = model.layers[1:]  # the first is the input
    if layers[-1].name == "head":
        layers = [*layers[:-1], *layers[-1].layers[1:]]
    flat = next(n for n, layer in enumerate(layers) if len(layer.output.shape) < 4)
    # A backbone that is one layer is not taken apart.
    first = max((n + 1 for n, layer in enumerate(layers[:flat]) if hasattr(layer, "layers")), default=0)
    place = max((n + 1 for n in range(first, flat) if min(layers[n].output.shape[1:3]) >= _LEAST), default=flat)
    return layers[:place], layers[place:]


def _class_score(judging: Sequence[Any], maps: Any, label: int) -> Any:
    """The logit of one class; of two classes, the sigmoid's for class 1 and its negative for class 0."""
    import tensorflow as tf

    *hidden, output = judging
    x = maps
    for layer in hidden:
        x = layer(x, training=False)
    # Not the layer itself: a saturated probability has no gradient.
    logits = tf.matmul(tf.cast(x, output.kernel.dtype), output.kernel.value) + output.bias.value  # (1, 1 or K)
    if logits.shape[1] > 1:
        return logits[0, label]
    return logits[0, 0] if label == 1 else -logits[0, 0]


def overlay(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Heat in colours over an image, more opaque where it is warmer: uint8 (H, W, 3).

    Args:
        image: uint8 (H, W, 1 or 3).
        heat: float32 (h, w) in [0, 1], enlarged to the image.
    """
    import tensorflow as tf

    size = image.shape[:2]
    warmth = np.asarray(tf.image.resize(heat[..., None], size))  # (H, W, 1)
    steps = np.linspace(0, 1, len(_COLORS))
    colors = np.concatenate([np.interp(warmth, steps, channel) for channel in _COLORS.T], axis=-1)  # (H, W, 3)
    opacity = _STRONGEST * warmth
    return np.asarray(np.round((1 - opacity) * image + opacity * colors * 255), np.uint8)


def png(image: NDArray[np.uint8]) -> bytes:
    """An image (H, W, 1 or 3) as a PNG file."""
    import tensorflow as tf

    content: bytes = tf.io.encode_png(image).numpy()
    return content
