import pytest

from models.registry import PUBLISHED
from search.plan.settings import SettingsError
from search.plan.space_file import read_space
from search.plan.spaces import (
    backbone_weights,
    combinations_of,
    count_configurations,
    grid,
    largest_batch,
    listed_plans,
    model_settings,
    model_variants,
    resolve,
)
from search.plan.words import conf_folder, load_settings, resume_settings

GRID = [
    "space.parameters.learning_rate=0.001",
    "space.parameters.dropout=0.0",
    "search.searcher=grid",
]


def space_of(*parameters: str, space: str = "plain2"):
    return read_space(load_settings([f"space={space}", *parameters]))


@pytest.mark.parametrize("space", sorted(file.stem for file in (conf_folder() / "space").glob("*.yaml")))
def test_every_space_but_the_reports_takes_a_rare_class(space: str) -> None:
    method = load_settings([f"space={space}"]).data.split.method
    assert method == ("balanced" if space.startswith("report") else "stratified")


def test_conditional_parameters_are_there_only_where_they_belong() -> None:
    space = space_of(space="all2")
    last = resolve(space, lambda parameter: list(getattr(parameter.domain, "values", [0.1]))[-1])
    assert last["backbone"] == "resnet152"
    assert "layers" not in last
    assert last["frozen"] == "all"
    first = resolve(space, lambda parameter: next(iter(getattr(parameter.domain, "values", [0.1]))))
    assert first["layers"] == 4
    assert "frozen" not in first


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("none", {"mobilenetv2": "none", "vgg16": "none"}),
        ("{mobilenetv2: /w (1).h5, vgg16: imagenet}", {"mobilenetv2": "/w (1).h5", "vgg16": "imagenet"}),
        ("{mobilenetv2: none, vgg16: none, resnet50: none}", {"mobilenetv2": "none", "vgg16": "none"}),
    ],
)
def test_every_backbone_has_its_weights(weights: str, expected: dict[str, str]) -> None:
    two = "space.parameters.backbone={choice: [mobilenetv2, vgg16]}"
    settings = load_settings(["space=transfer2", two, f"weights={weights}"])
    assert backbone_weights(read_space(settings), settings) == expected
    assert resume_settings(settings.to_dict(), [f"weights={weights}"]) == settings


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("/w.h5", r"fits one backbone.*'weights=\{mobilenetv2: FILE, mobilenetv3large: FILE\}"),
        ("{mobilenetv2: /w.h5}", "no weights of mobilenetv3large"),
        ("{mobilenetv: /w.h5}", "Did you mean mobilenetv2"),
        ("{cnn: /w.h5}", "names pretrained backbones"),
    ],
)
def test_weights_that_do_not_fit_the_space_are_refused(weights: str, message: str) -> None:
    two = "space.parameters.backbone={choice: [mobilenetv2, mobilenetv3large]}"
    settings = load_settings(["space=transfer2", two, f"weights={weights}"])
    with pytest.raises(SettingsError, match=message):
        backbone_weights(read_space(settings), settings)


def test_a_grid_has_every_configuration_once() -> None:
    space = space_of(*GRID)
    configurations = [str(entry) for entry in grid(space)]
    # batch size 3, augment 3, class weights 2, layers 3, filters 2, kernel 2, batch norm 4, dense 4
    assert len(configurations) == len(set(configurations)) == 3 * 3 * 2 * 3 * 2 * 2 * 4 * 4
    assert count_configurations(space) == len(configurations)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["space=plain2"], 64),
        (["space=plain2", "space.parameters.batch_size={integer: [8, 48]}"], 48),
        (["space=plain2", "space.parameters.batch_size=16"], 16),
        (["space=report2"], 32),
    ],
)
def test_the_largest_batch_of_a_space(words: list[str], expected: int) -> None:
    settings = load_settings(words)
    assert largest_batch(read_space(settings), settings) == expected


def test_a_grid_refuses_a_continuous_parameter() -> None:
    with pytest.raises(SettingsError, match="learning_rate with a continuous domain"):
        list(grid(space_of("search.searcher=grid")))


def test_published_rows_are_listed_with_their_repeats() -> None:
    settings = load_settings(["space=report3", "search.repeats=2"])
    plans = listed_plans(read_space(settings), settings)
    assert [(plan.row, plan.repeat) for plan in plans[6:10]] == [
        ("table2/7", 0),
        ("table2/8", 0),
        ("table2/1", 1),
        ("table2/2", 1),
    ]
    assert len(plans) == 16
    assert {plan.row: plan.max_epochs for plan in plans}["table2/6"] == 20
    for plan in plans:
        assert model_settings(plan.parameters) == PUBLISHED[plan.row].config


def test_more_repeats_only_add_to_the_list() -> None:
    fewer, more = (load_settings(["space=report3", f"search.repeats={repeats}"]) for repeats in (2, 3))
    plans = listed_plans(read_space(fewer), fewer) or []
    assert (listed_plans(read_space(more), more) or [])[: len(plans)] == plans


def test_repeats_of_a_sampler_are_refused() -> None:
    for given, once in (("search.repeats=2", "search.repeats=1"), ("data.split.folds=2", "data.split.folds=null")):
        settings = load_settings(["space=plain2", given])
        with pytest.raises(SettingsError, match=rf"'tpe' with {given}. Use {once}"):
            listed_plans(read_space(settings), settings)


def test_continuous_parameters_of_a_model_are_looked_at_from_both_ends() -> None:
    space = space_of("space.parameters.dropout={uniform: [0.0, 0.5]}", "space.parameters.layers=1")
    assert {variant["dropout"] for variant in model_variants(space)} == {0.0, 0.5}


def test_every_variant_of_every_shipped_space_is_a_model() -> None:
    seen = 0
    for name in ("cnn2", "cnn3", "vgg2", "resnet3", "transfer2", "transfer3", "all2", "all3", "report_transfer"):
        for variant in model_variants(space_of(space=name)):
            model_settings(variant)
            seen += 1
    assert seen > 100


WIDE = [f"space.parameters.{name}={{integer: [4, 256]}}" for name in ("filters", "batch_size", "early_stopping")]


def test_wide_ranges_of_whole_numbers_are_not_listed() -> None:
    wide = [
        *WIDE,
        "space.parameters.kernel={integer: [1, 100000]}",
        "space.parameters.plateau={integer: [1, 1000000000]}",
    ]
    space = space_of(*wide, "space.parameters.layers={integer: [1, 3]}")
    variants = list(model_variants(space))
    assert {variant["filters"] for variant in variants} == {4, 256}
    assert {variant["kernel"] for variant in variants} == {1, 100000}
    assert {variant["layers"] for variant in variants} == {1, 2, 3}
    assert len(variants) < 10_000
    assert "combinations of listed values, times the continuous" in combinations_of(space)


def test_a_grid_of_more_trials_than_a_search_may_have_is_refused() -> None:
    settings = load_settings([*GRID, *WIDE])
    with pytest.raises(SettingsError, match=r"may be 100,000\. Received: .* with \d{3},\d{3},\d{3}\. Give fewer"):
        listed_plans(read_space(settings), settings)
