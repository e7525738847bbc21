import json

import numpy as np
import pytest
import tensorflow as tf

from data_pipeline.share import TrainingData
from models.cnn import CnnConfig, build_cnn
from models.registry import build_model
from models.transfer import TransferConfig
from search.evaluate.gallery import grad_cam, most_confident_mistakes, overlay, write_gallery
from search.evaluate.sets import EvaluationSet
from search.record import RunFolder

CLASSES = ("normal", "pneumonia")


def convolution_of(model):
    return next(layer for layer in model.layers if isinstance(layer, tf.keras.layers.Conv2D))


def logit(model, images):
    p = float(model(images.astype(np.float32) / 255, training=False)[0, 0])
    return np.log(p) - np.log1p(-p)


def test_the_most_confident_mistakes_come_first():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [np.nan, np.nan], [0.05, 0.95]])
    labels = np.array([0, 0, 0, 1, 0])
    assert most_confident_mistakes(labels, p).tolist() == [4, 1, 2]
    assert most_confident_mistakes(labels, p, most=1).tolist() == [4]
    assert most_confident_mistakes(labels[:1], p[:1]).tolist() == []


def test_a_map_counts_by_the_sign_of_its_weight():
    """One map sees light pixels, the other dark ones; the class score is the first's mean less the second's."""
    model = build_cnn(CnnConfig(layers=1, filters=2, kernel=1, pooling="average"), (8, 8, 1), 2)
    convolution_of(model).set_weights([np.array([[[[1.0, -1.0]]]]), np.array([-0.5, 0.5])])
    model.get_layer("probability").set_weights([np.array([[1.0], [-1.0]]), np.zeros(1)])
    image = np.zeros((8, 8, 1), np.uint8)
    image[2:4, 2:4] = 255
    heat = grad_cam(model, np.stack([image, image]), np.array([1, 0]))
    light = image[::2, ::2, 0] / 255.0  # the maps are pooled
    np.testing.assert_allclose(heat, [light, 1 - light])


@pytest.mark.parametrize(
    ("config", "classes", "sides"),
    [
        (CnnConfig(layers=2, filters=4, batch_norm="conv+flatten", normalize=True, dense=(8,), dropout=0.3), 3, 6),
        (CnnConfig(layers=1, filters=4), 2, 15),
        # Of 32 pixels five blocks leave one, which would tell no place.
        (CnnConfig(layers=5, filters=4, padding="same", batch_norm="block", pooling="average"), 2, 4),
        (TransferConfig("vgg16", dense=(8,)), 2, 1),
        (TransferConfig("vgg16", dense=(), frozen="block3_pool"), 3, 1),
        (TransferConfig("vgg16", dense=(4,), frozen="none", pooling="flatten"), 3, 1),
    ],
)
def test_every_kind_of_model_is_explained(small_data: TrainingData, config, classes, sides):
    model = build_model(config, (32, 32, 1), classes)
    heat = grad_cam(model, small_data.images[:3], np.arange(3) % classes)
    assert heat.shape == (3, sides, sides)
    assert heat.dtype == np.float32
    assert set(heat.max(axis=(1, 2))) <= {0.0, 1.0}
    assert heat.min() >= 0


def test_the_class_asked_for_is_the_one_explained():
    """Three maps of one grey level each, and a class for each map."""
    model = build_cnn(CnnConfig(layers=1, filters=3, kernel=1, pooling="average"), (8, 8, 1), 3)
    convolution_of(model).set_weights([np.array([[[[1.0, -1.0, 0.0]]]]), np.array([-0.5, 0.5, 0.25])])
    model.get_layer("probability").set_weights([np.eye(3), np.zeros(3)])
    image = np.zeros((8, 8, 1), np.uint8)
    image[2:4, 2:4] = 255
    heat = grad_cam(model, np.stack([image] * 3), np.arange(3))
    light = image[::2, ::2, 0] / 255.0
    np.testing.assert_allclose(heat, [light, 1 - light, np.ones((4, 4))])


def test_weights_are_the_slopes_of_the_score(small_data: TrainingData):
    """Against finite differences of the whole model: a shift of a map's bias moves all its pixels."""
    model = build_cnn(CnnConfig(layers=1, filters=3, dense=(4,)), (32, 32, 1), 2, seed=3)
    convolution, image = convolution_of(model), small_data.images[:1]
    kernel, bias = np.abs(convolution.kernel.numpy()), np.ones(3)  # every pixel above 0, where relu has a slope
    slopes = []
    for shift in 0.01 * np.eye(3):
        convolution.set_weights([kernel, bias + shift])
        above = logit(model, image)
        convolution.set_weights([kernel, bias - shift])
        slopes.append(above - logit(model, image))
    convolution.set_weights([kernel, bias])
    maps = np.asarray(tf.nn.max_pool2d(convolution(image.astype(np.float32) / 255), 2, 2, "VALID"))[0]
    wanted = np.maximum(maps @ slopes, 0)
    assert wanted.max() > 0
    wanted = np.minimum(wanted / np.quantile(wanted, 0.99), 1)
    np.testing.assert_allclose(grad_cam(model, image, np.array([1]))[0], wanted, atol=1e-2)


def test_heat_lies_over_the_image():
    image = np.full((4, 4, 1), 100, np.uint8)
    heat = np.zeros((2, 2), np.float32)
    heat[0, 0] = 1
    drawn = overlay(image, heat)
    assert drawn.shape == (4, 4, 3)
    assert (drawn[3, 3] == 100).all()
    assert drawn[0, 0].astype(int)[0] > drawn[0, 0].astype(int)[2] > 100  # warm: more red than blue


def test_a_gallery_holds_the_mistakes_and_no_older_pictures(small_data: TrainingData, tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    folder.write(b"of an earlier winner", "winner", "gallery", "09.png")
    model = build_model(CnnConfig(filters=2), (32, 32, 1), 2)
    rows, labels = np.array([9, 3, 5, 1]), np.array([0, 1, 0, 1])
    test = EvaluationSet("test", small_data.images, rows, labels, ("a", "b", "c/../<d>", "e"), rows, "")
    p = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.9, 0.1]], np.float32)
    write_gallery(folder, model, test, p, CLASSES)
    entries = json.loads(folder.read("winner", "gallery.json"))
    assert [(e["image_id"], e["label"], e["predicted"]) for e in entries] == [
        ("a", "normal", "pneumonia"),
        ("e", "pneumonia", "normal"),
        ("c/../<d>", "normal", "pneumonia"),
    ]
    assert folder.names("winner", "gallery") == sorted(f"{n:02d}{end}.png" for n in range(3) for end in ("", "-cam"))
    shown = tf.io.decode_png(folder.read("winner", "gallery", entries[1]["file"])).numpy()
    np.testing.assert_array_equal(shown, small_data.images[1])
    assert entries[1]["probabilities"] == pytest.approx({"normal": 0.9, "pneumonia": 0.1})
    write_gallery(folder, model, test, np.eye(2, dtype=np.float32)[labels], CLASSES)
    assert json.loads(folder.read("winner", "gallery.json")) == []
    assert folder.names("winner", "gallery") == []
