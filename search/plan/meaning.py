"""Checks the settings that speak of one class against the classes of the data."""

from collections.abc import Sequence

from data_pipeline.augment import POLICIES, policy_name
from data_pipeline.classes import reads_as_normal
from models.registry import PUBLISHED
from search.plan.domains import Choice
from search.plan.settings import Settings, SettingsError, TrainSettings
from search.plan.spaces import Space


def check_meaning(space: Space, settings: Settings, classes: Sequence[str]) -> list[str]:
    """Lines that say what of the settings the classes or findings decide.

    Args:
        space: of the search.
        settings: of the search.
        classes: of the data, as `data_pipeline.classes.order_classes` orders them.

    Raises:
        SettingsError: class weights favour normal where no class reads as normal, or decisions on two classes are
            asked for where there are more.
    """
    evaluate, is_multilabel = settings.evaluate, settings.data.is_multilabel
    if (
        len(classes) != 2
        and not is_multilabel
        and (evaluate.operating_point is not None or evaluate.prevalence is not None)
    ):
        raise SettingsError(
            "evaluate.operating_point and evaluate.prevalence are of the positive one of two classes. "
            f"Received: the classes {', '.join(classes)}. Leave them out."
        )
    favours = "favour_normal" in _values(space, settings.train, "class_weights")
    favours |= any(PUBLISHED[row].class_weights == "favour_normal" for row in space.rows)
    # runs of before `data.positive` took the first class for the normal one
    knows = settings.data.positive is None or len(classes) == 2 or reads_as_normal(classes[0])
    if favours and (is_multilabel or not knows):
        raise SettingsError(
            "class_weights=favour_normal weighs the normal class against all others. "
            f"Received: the classes {', '.join(classes)}, of which not one alone reads as normal. "
            "Name its folder so, or use 'space.parameters.class_weights={choice: [none, balanced]}'."
        )
    policies = [name for name in _values(space, settings.train, "augment") if name in POLICIES]
    unflipped = settings.train.flip is None and any(policy_name(name, None, classes) != name for name in policies)
    said = ["augmentation mirrors no image: a class names a side; train.flip=true mirrors"] if unflipped else []
    if is_multilabel:
        said.append(f"trials are judged by {settings.search.metric}, a mean over the findings")
    return said


def _values(space: Space, train: TrainSettings, name: str) -> Sequence[object]:
    """The values that trials can have of a training parameter."""
    for parameter in space.parameters:
        if parameter.name == name and isinstance(parameter.domain, Choice):
            return parameter.domain.values
    return [getattr(train, name)]
