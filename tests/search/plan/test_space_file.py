import pytest

from search.plan.settings import SettingsError
from search.plan.space_file import check_unused, read_space
from search.plan.words import load_settings


def space_of(*parameters: str, space: str = "plain2"):
    return read_space(load_settings([f"space={space}", *parameters]))


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("space.parameters.filterz={choice: [8]}", r"'filterz', which is no parameter.*filters"),
        ("space.parameters.layers={integr: [1, 2]}", r"needs one domain\. Received: integr.*integer"),
        ("space.parameters.layers={integer: [3, 1]}", r"low <= high\. Received: \[3, 1\]"),
        ("space.parameters.learning_rate={log_uniform: [0, 1]}", r"0 < low <= high"),
        ("space.parameters.layers={integer: [1.5, 2]}", r"whole numbers"),
        ("space.parameters.layers={choice: []}", r"choice takes a list"),
        ("space.parameters.backbone=vgg61", r"backbone\. Received: 'vgg61'.*vgg16"),
        ("space.parameters.optimizer={choice: [adam, sgd]}", r"space.parameters.optimizer must be one of adam, adamw"),
        ("space.parameters.augment={choice: [none, storng]}", r"one of none, .*'storng'.*strong"),
        ("space.parameters.class_weights=balancd", r"'balancd'.*balanced"),
        ("space.parameters.label_smoothing={uniform: [0.0, 1.0]}", r"between 0 and 1, 1 excluded. Received: 1.0"),
        ("space.parameters.batch_size={choice: [16.5]}", r"takes a whole number\. Received: 16.5"),
        ("space.parameters.learning_rate={choice: [fast]}", r"takes a number\. Received: 'fast'"),
        ("space.parameters.kernel={choice: [3], when: {later: 1}}", r"stand before it\. Received: 'later'"),
        (
            "space.parameters.kernel={choice: [3], when: {backbone: CNN}}",
            r"can have\. Received: backbone='CNN'",
        ),
    ],
)
def test_a_wrong_space_is_refused(parameter: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        space_of(parameter)


def test_settings_that_a_space_would_replace_are_refused() -> None:
    for words, instead in (
        (["space=plain2", "train.batch_size=8"], r"space\.parameters\.batch_size=8\."),
        (["space=report2", "train.learning_rate=0.1"], "Published rows are trained as the report says"),
    ):
        settings = load_settings(words)
        with pytest.raises(SettingsError, match=instead):
            check_unused(read_space(settings), settings)
    settings = load_settings(["space=plain2", "train.weight_decay=0.1"])
    check_unused(read_space(settings), settings)


def test_a_parameter_of_one_backbone_needs_a_condition() -> None:
    with pytest.raises(SettingsError, match="no parameter of vgg16 or of training"):
        space_of("space.parameters.backbone={choice: [cnn, vgg16]}")


def test_a_condition_on_a_wide_range_names_the_range() -> None:
    layers = "space.parameters.dense={choice: [[], [16]], when: {filters: 3}}"
    with pytest.raises(SettingsError, match=r"filters=3\. Valid: 4 to 1000000000\."):
        space_of("space.parameters.filters={integer: [4, 1000000000]}", layers)
