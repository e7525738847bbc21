"""What a user should be told of the images before a search, a line each."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from data_pipeline.classes import AUTO
from data_pipeline.dataset import Dataset
from data_pipeline.folders import CLASSES
from data_pipeline.identity import HASHED
from data_pipeline.looks import MOST_IMAGES
from data_pipeline.manifest import POOL, VALIDATION, BadFile, Manifest
from data_pipeline.outside import OutsideSet, list_shared
from data_pipeline.settings import DataSettings
from data_pipeline.sources import SAMPLE_NOTICE
from data_pipeline.split import Split, SplitSettings

_SHOWN = 10  # of what a rule sets aside
_MISSING = {  # said of findings, by the part that has no image of them
    "train": "Findings without an image that trains, which are not learned",
    "validation": "Findings without an image in validation, which are left out of its mean scores",
}


def list_notices(manifest: Manifest, split: Split, settings: DataSettings) -> tuple[str, ...]:
    """What a user should be told of the images, a line each."""
    notices = [SAMPLE_NOTICE] if settings.root is None and settings.source == "sample" else []
    if manifest.held_out:
        notices.append(f"There is no test folder: {len(manifest.test_rows)} images were held out as the test set.")
    notices += manifest.notes
    notices += _bad_notices(manifest.bad)
    notices += _meaning_notices(manifest, settings)
    notices += _duplicate_notices(manifest, split, settings)
    notices += _patient_notices(manifest, settings)
    notices += _share_notices(manifest, split, settings.split)
    return tuple(notices)


def _bad_notices(bad: Sequence[BadFile]) -> Iterator[str]:
    """How many files are damaged, and what was set aside by a rule: a line for each rule with the first ten."""
    unusable = [each for each in bad if not each.by_rule]
    if unusable:
        yield f"Files set aside: {len(unusable)}, the first because: {unusable[0].reason}."
    by_reason: dict[str, list[str]] = {}
    for each in bad:
        if each.by_rule:
            by_reason.setdefault(each.reason, []).append(Path(each.path).name)
    for reason, names in by_reason.items():
        first = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        yield f"Set aside, {len(names)}: {reason} ({first})."


def _meaning_notices(manifest: Manifest, settings: DataSettings) -> Iterator[str]:
    """Which class is the positive one, and which value is white, where the settings do not say."""
    classes = manifest.classes
    if (
        not manifest.is_multilabel
        and settings.labels not in CLASSES
        and settings.positive == AUTO
        and len(classes) == 2
    ):
        yield f"Positive class: {classes[1]}; {classes[0]} reads as normal. data.positive=NAME names another."
    if manifest.white:
        bits = manifest.white.bit_length()
        yield (
            f"White is {manifest.white:,} in all files of more than 8 bits a value: no value of the set needs more "
            f"than {bits} bits."
        )
    if manifest.cut:
        yield f"Test images with values above the pool's white, which are cut to it: {manifest.cut}."


def _duplicate_notices(manifest: Manifest, split: Split, settings: DataSettings) -> Iterator[str]:
    is_stated = any(row.part == VALIDATION for row in manifest.pool_rows)
    identical, alike = manifest.duplicates(), manifest.look_alikes()
    if contradictions := manifest.contradictions():
        yield (
            f"Byte-identical images with different labels: {len(contradictions)}, such as "
            f"{' and '.join(contradictions[0][:2])}. At most one label of each is right: "
            "remove the files with the others."
        )
    if identical.across_pools:
        yield f"Images that are byte-identical in the pool and in the test set: {len(identical.across_pools)}."
    if alike.across_pools:
        yield (
            f"Images that look alike in the pool and in the test set: {len(alike.across_pools)}, such as "
            f"{' and '.join(alike.across_pools[0][:2])}. Test scores are too good by them."
        )
    if identical.across_groups:
        yield f"Images that are byte-identical under several patients: {len(identical.across_groups)}."
    if alike.across_groups:
        stay = ", which stay on one side of the split" if settings.split.by_looks and not is_stated else ""
        yield (
            f"Images that look alike under several patients: {len(alike.across_groups)}{stay}, such as "
            f"{' and '.join(alike.across_groups[0][:2])}."
        )
    trains, validates = ({manifest.pool_rows[at].twin: at for at in side} for side in (split.train, split.validation))
    both = sorted(trains.keys() & validates.keys() - {""})
    if both and is_stated:
        pair = " and ".join(manifest.pool_rows[at].image_id for at in (trains[both[0]], validates[both[0]]))
        yield (
            f"Images that the table has validate, and that look like images that train: {len(both)}, such as {pair}. "
            "Validation scores are too good by them."
        )
    if len(manifest.rows) > MOST_IMAGES:
        yield f"Images that look alike are not searched for: there are more than {MOST_IMAGES:,}."


def _patient_notices(manifest: Manifest, settings: DataSettings) -> Iterator[str]:
    if manifest.patient_folders:
        yield (
            f"Folders inside class folders are a patient each: {manifest.patient_folders}. "
            "data.patient=REGEX names patients otherwise."
        )
    nameless = sum(not row.names_patient for row in manifest.rows)
    if nameless:
        yield (
            f"Images whose name does not tell the patient, and which may stand on both sides of a split: {nameless} of "
            f"{len(manifest.rows)}. data.patient=REGEX tells where a name has it."
        )
    # Kaggle's numbers may begin anew in its test folder; a pattern, a folder, a table and DICOM name one person each
    tells = settings.patient not in (None, AUTO) or manifest.patient_folders
    shared = [name for name in manifest.shared_patients() if tells or name.startswith(HASHED)]
    if shared:
        yield f"Patients in the pool and in the test set as well: {len(shared)}."


def _share_notices(manifest: Manifest, split: Split, settings: SplitSettings) -> Iterator[str]:
    """What validation takes of a class where that is not what was asked for, or much."""
    if settings.folds is not None:
        return
    if settings.method == "stratified" and settings.fraction is not None and settings.fraction > 1 / 3:
        yield f"Validation takes a third of each class and not data.split.fraction={settings.fraction:g} of it."
    whole, counts = manifest.counts()[POOL], split.counts(manifest)["validation"]
    if manifest.is_multilabel:
        for part in ("train", "validation"):
            missing = [
                name for name, each in zip(manifest.classes, split.counts(manifest)[part], strict=True) if not each
            ]
            if missing:
                yield f"{_MISSING[part]}: {', '.join(missing)}."
        always = [name for name, each in zip(manifest.classes, counts, strict=True) if each == len(split.validation)]
        if always:
            yield f"Findings of each image in validation, which are left out of its mean AUC: {', '.join(always)}."
        return
    for name, validating, all_of_it in zip(manifest.classes, counts, whole, strict=True):
        if 2 * validating > all_of_it:
            yield (
                f"More than half of class {name} validates and does not train: {validating} of {all_of_it} images. "
                "data.split.fraction lowers it; data.split.method=stratified takes a third at most."
            )


def outside_notices(dataset: Dataset, settings: DataSettings) -> Iterator[str]:
    """What a user should be told of outside test sets, a line each: what they share with the pool comes last."""
    by_pattern = settings.patient not in (None, AUTO)
    for name, outside in dataset.extra_tests.items():
        yield from (f"Outside set {name}: {notice}" for notice in _label_notices(outside))
        yield from list_shared(name, outside, dataset.manifest, dataset.pool, by_pattern)


def _label_notices(outside: OutsideSet) -> Iterator[str]:
    """How the images of an outside set were found and labelled."""
    yield from outside.notes
    yield from _bad_notices(outside.bad)
    if outside.unknown:
        yield f"No row of its table has {', '.join(outside.unknown)}: these are not scored there."
