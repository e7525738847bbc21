import pytest

from analysis import figures


@pytest.mark.parametrize(
    ("parameters", "classes", "total"),
    [
        ({"layers": 1, "filters": 8, "kernel": 3, "dense": "none"}, 3, 295_787),  # the report's model 1
        ({"layers": 1, "filters": 8, "kernel": 3, "batch_norm": "flatten"}, 3, 690_059),  # model 4
        ({"layers": 2, "filters": 8, "kernel": 3}, 3, 141_219),  # model 5
        ({"layers": 2, "filters": 8, "kernel": 3, "growth": 1.0}, 3, 70_651),  # model 7
        ({"layers": 1, "filters": 8, "kernel": 4, "batch_norm": "conv"}, 2, 96_969),  # 1conv
        ({"layers": 1, "filters": 8, "kernel": 4, "batch_norm": "block"}, 2, 96_969),
        ({"layers": 1, "filters": 8, "kernel": 4, "batch_norm": "conv+classifier", "dense": "16-8"}, 2, 1_549_161),
    ],
)
def test_an_architecture_summary_adds_up_to_the_published_count(parameters, classes, total):
    found = figures.summary(figures.layers_of({"backbone": "cnn", **parameters}, (224, 224, 1), classes))
    assert found["parameters"].iloc[-1] == total
    assert found["output shape"].iloc[0] == "224 x 224 x 1"


def test_a_backbone_has_what_the_head_leaves():
    layers = figures.layers_of({"backbone": "vgg16", "dense": "128"}, (224, 224, 1), 2, 14_780_481)
    assert {layer.name: layer.parameters for layer in layers}["vgg16"] == 14_714_688
    own = {"backbone": "resnet50", "dense": "128", "pooling": "flatten"}
    layers = figures.layers_of(own, (112, 112, 1), 2, 23_587_712 + (4 * 4 * 2048 + 1) * 128 + 129)
    assert (layers[1].shape, layers[1].parameters) == ((4, 4, 2048), 23_587_712)
    layers = figures.layers_of({"backbone": "densenet999"}, (224, 224, 1), 3, 7_000_000)
    assert (layers[-1].shape, layers[-1].parameters) == ((3,), 7_000_000)
