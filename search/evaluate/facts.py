"""What a run's records know about its winner, a sentence a fact, for the model card and the reporting checklists."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from search.evaluate.subgroups import Subgroup
from search.record import (
    SHIFTED,
    TEST,
    VALIDATION,
    Evaluation,
    Look,
    RunRecord,
    TrialRecord,
    Winner,
    counted,
    looks_words,
    trial_name,
)

_METRICS_OF_CLASSES = (
    "Loss, accuracy, balanced accuracy, AUC, average precision, and of two classes sensitivity, specificity, PPV and "
    "NPV; the run's page draws ROC, precision-recall, calibration and decision curves."
)
_METRICS_OF_FINDINGS = (
    "Of each finding AUC and average precision, with sensitivity and specificity at its threshold; of all the loss and "
    "the means of AUC and average precision."
)


def list_facts(
    run: RunRecord,
    members: Sequence[TrialRecord],
    winner: Winner,
    looks: Sequence[Look] = (),
    subgroups: Sequence[Subgroup] = (),
) -> dict[str, str]:
    """Sentences by the names that `checklist.yaml` calls them by; what the records do not know is left out.

    No sentence has a path or names a patient.

    Args:
        run: of the winner.
        members: the trials that it averages.
        winner: with its scores.
        looks: the evaluations of the run so far.
        subgroups: of the test images.
    """
    return {
        **data_facts(run),
        **_known(_facts_of_training(run, members, winner)),
        **_known(_facts_of_results(winner, looks, subgroups)),
    }


def data_facts(run: RunRecord) -> dict[str, str]:
    """As `list_facts`, of the run's data alone."""
    data, counts = run.config["data"], run.data.get("counts", {})
    parts = "; ".join(f"{part} {_part_counts(run, part, numbers)}" for part, numbers in counts.items())
    aside, stated, split = run.data.get("set_aside"), run.data.get("stated_split"), data.get("split", {})
    shown, apart = "Says of each image whether it shows {}.", "Tells {} apart on an image."
    found = {
        "task": (shown if run.is_multilabel else apart).format(_listed(run.classes)),
        "labels": f"The {'findings' if run.is_multilabel else 'classes'} come from {_label_source(data)}.",
        "counts": f"Images: {parts}." if parts else "",
        "fingerprint": f"The data's fingerprint is `{run.data['fingerprint']}`." if "fingerprint" in run.data else "",
        "set_aside": "" if aside is None else f"Files or rows set aside: {aside:,}; bad_files.csv has each reason.",
        "incomplete": "An image that cannot be read, or has no label, is set aside; nothing is imputed.",
        "de_identified": "Records hold no patient's name, birth date or PatientID of DICOM files.",
        "partition": "The table of labels says which images train and validate." if stated else _partition(run),
        "held_out": _test_origin(run.data.get("held_out")),
        "disjoint": "" if stated else _disjoint(split),
        "preprocessing": _preprocessing(data),
    }
    return _known(found)


def _known(found: Mapping[str, str]) -> dict[str, str]:
    return {name: sentence for name, sentence in found.items() if sentence}


def _facts_of_training(run: RunRecord, members: Sequence[TrialRecord], winner: Winner) -> dict[str, str]:
    environment, train = run.environment, run.config.get("train", {})
    packages = ", ".join(f"{name} {version}" for name, version in environment.get("packages", {}).items())
    weights = {str(trial.parameters.get("class_weights", train.get("class_weights", ""))) for trial in members} - {""}
    augment = {str(trial.parameters.get("augment", train.get("augment", ""))) for trial in members} - {""}
    parameters = sum(trial.parameter_count for trial in members)
    return {
        "model": f"A neural network of {parameters:,} weights; its configuration is in the card." if parameters else "",
        "initial_weights": _initial_weights(run.config.get("weights"), members),
        "software": f"Python {environment['python']}, {packages}." if packages and "python" in environment else "",
        "commit": f"The code's commit is `{environment['commit']}`." if environment.get("commit") else "",
        "tuning": _tuning(run.config),
        "augmentation": f"Augmentation: {_listed(sorted(augment))}." if augment else "",
        "selection": f"The winner was chosen by {run.metric} on validation; no test result had a part in it.",
        "ensemble": f"Its probabilities are the mean of {len(winner.trials)} models." if len(winner.trials) > 1 else "",
        "imbalance": f"Class weights in training: {_listed(sorted(weights))}." if weights else "",
        "reproduced": f"Seeds: {', '.join(str(trial.seed) for trial in members)} "
        f"(trials {', '.join(trial_name(number) for number in winner.trials)}).",
    }


def _facts_of_results(winner: Winner, looks: Sequence[Look], subgroups: Sequence[Subgroup]) -> dict[str, str]:
    tests = [each for each in winner.evaluations if each.dataset not in (VALIDATION, SHIFTED)]
    outside = [each for each in tests if each.dataset != TEST]
    shifted = any(each.dataset == SHIFTED for each in winner.evaluations)
    traits = list(dict.fromkeys(each.by for each in subgroups))
    patients = ", ".join(
        f"{each.dataset} {each.patients:,}" for each in winner.evaluations if each.patients and each.dataset != SHIFTED
    )
    counted = looks_words(looks)
    return {
        "patients": f"Patients: {patients}." if patients else "",
        "output": f"It gives the probability of each {'finding' if winner.finding_points else 'class'}.",
        "calibration": _calibration(winner),
        "threshold": ""
        if winner.finding_points or len(winner.bias) != 2
        else f"Decision: {winner.operating_point.words}.",
        "metrics": _METRICS_OF_FINDINGS if winner.finding_points else _METRICS_OF_CLASSES,
        "intervals": "Intervals are of 95 %, over patients (Wilson; predictive values by Mercaldo's logit).",
        "internal": _performance(each for each in tests if each.dataset == TEST),
        "external": _performance(outside),
        "shifted": "Trials were also scored on a copy of validation as another hospital might have made it."
        if shifted
        else "",
        "subgroups": f"The card has scores by {_listed(traits)}." if traits else "",
        "failures": ""
        if winner.finding_points
        else "The run's winner/gallery has the most confident mistakes on test images.",
        "explained": f"Grad-CAM, {'' if winner.finding_points else 'in the gallery and '}by search.predict --explain.",
        "looks": f"Looks at test images: {counted}." if counted else "",
        "prediction": "python -m search.predict answers about new files through the training's preprocessing.",
        "warnings": "search.predict warns of views, modalities and images unlike those of training; files that cannot "
        "be read are listed with the reason.",
    }


def _performance(evaluations: Iterable[Evaluation]) -> str:
    return " ".join(_scores(each) for each in evaluations)


def findings_words(each: Evaluation) -> str:
    """The scores of several findings an image on one set of images: means over those that it can tell."""
    judged = sum(finding.auc is not None for finding in each.findings)
    of = "" if each.patients is None else f" of {counted(each.patients, 'patient')}"
    auc, precision = ("unknown" if mean is None else f"{mean:.4f}" for mean in (each.auc, each.average_precision))
    return (
        f"{each.dataset}: mean AUC {auc}, mean average precision {precision}, over {judged} of {len(each.findings)} "
        f"findings; loss {each.loss:.3f} ({counted(each.images, 'image')}{of})"
    )


def _scores(each: Evaluation) -> str:
    if each.findings:
        return f"{findings_words(each)}."
    between = "" if each.accuracy_low is None else f" ({each.accuracy_low:.3f} to {each.accuracy_high:.3f})"
    area = "" if each.auc is None else f", AUC {each.auc:.3f}"
    return f"{each.dataset}, {counted(each.images, 'image')}: accuracy {each.accuracy:.3f}{between}{area}."


def _calibration(winner: Winner) -> str:
    if not winner.calibrated_on:
        return "Its probabilities are not calibrated."
    where = "the shifted copy of validation" if winner.calibrated_on == SHIFTED else winner.calibrated_on
    calibrated, findings = sum(each.changes for each in winner.finding_calibrations), len(winner.finding_calibrations)
    which = f" of {calibrated} of {findings} findings" if findings else ""
    return f"Its probabilities{which} are calibrated on {where}."


def _listed(names: Sequence[str]) -> str:
    """`a`, `a and b` or `a, b and c`."""
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + list(names[-1:]))


def _part_counts(run: RunRecord, part: str, counts: Sequence[int]) -> str:
    """How many images of a part are of each class, or how many it has and how many show each finding."""
    of_each = ", ".join(f"{count:,} {name}" for name, count in zip(run.classes, counts, strict=False))
    return f"{run.images(part):,} ({of_each})" if run.is_multilabel else of_each


def _label_source(data: Mapping[str, Any]) -> str:
    if data.get("classes"):
        return "a table of labels, whose findings data.classes maps to them"
    return {"two_class": "folder names", "folders": "folder names", "three_class": "folder and file names"}.get(
        data.get("labels", "two_class"), "a table of labels"
    )


def _partition(run: RunRecord) -> str:
    split = run.config["data"].get("split", {})
    share = "the same share of each finding, as nearly as whole patients allow" if run.is_multilabel else ""
    rules = {
        "stratified": share or "the same share of each class",
        "patient": "the same number of each class",
        "balanced": "the same number of each class",
    }
    if split.get("folds"):
        return (
            f"The training images are divided into {split['folds']} folds with {rules['stratified']}, with seed "
            f"{split['seed']}; each validates in one repeat."
        )
    rule = rules.get(split.get("method", ""))
    if rule is None:
        return ""
    again = ", anew for each repeat" if split.get("redraw") else ""
    return f"Validation is drawn from the training images, {rule}, with seed {split['seed']}{again}."


def _test_origin(held_out: bool | None) -> str:
    if held_out is None:
        return ""
    return (
        "The test set is a fifth of the images, held out by patient." if held_out else "The set has its own test part."
    )


def _disjoint(split: Mapping[str, Any]) -> str:
    """At which level training and validation are apart."""
    apart = {
        "stratified": "patient, as far as names, folders or tags tell them, and no look-alike images on both sides",
        "patient": "patient, as far as names, folders or tags tell them",
        "balanced": "image",
    }
    level = apart.get("stratified" if split.get("folds") else split.get("method", ""))
    return f"Training and validation are apart by {level}." if level else ""


def _preprocessing(data: Mapping[str, Any]) -> str:
    kept = "kept aspect, padded with black" if data.get("keep_aspect") else "stretched to the square"
    kinds = {1: "grey", 3: "colour"}
    accepted = f"; DICOM images accepted besides: {_listed(data['accept'])}" if data.get("accept") else ""
    return (
        f"{data['size']} x {data['size']} pixels, {kinds[data['channels']]}, interpolation "
        f"{data.get('interpolation', 'area')}, {kept}; values divided by 255{accepted}."
    )


def _tuning(config: Mapping[str, Any]) -> str:
    search, space = config.get("search", {}), config.get("space") or {}
    if not space or "searcher" not in search:
        return ""
    trials = search.get("num_trials")
    count = "" if trials is None else f"{counted(trials, 'trial')} of the "
    return f"{count}space {space['name']}, searcher {search['searcher']}, scheduler {search['scheduler']}."


def _initial_weights(weights: Any, members: Sequence[TrialRecord]) -> str:
    """Where training began; a file of weights is not named, because its path is of a machine."""
    backbones = sorted({str(trial.parameters["backbone"]) for trial in members if "backbone" in trial.parameters})
    pretrained = [name for name in backbones if name != "cnn"]
    if not backbones:
        return ""
    if not pretrained:
        return "Weights began random, seeded by trial."
    chosen = {weights.get(name) if isinstance(weights, Mapping) else weights for name in pretrained}
    origin = {"imagenet": "ImageNet", "none": "random"}
    named = _listed(sorted({origin.get(str(each), "a file") for each in chosen}))
    return f"Weights of {_listed(pretrained)} began as: {named}; the head's random, seeded by trial."
