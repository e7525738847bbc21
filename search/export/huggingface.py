"""A winner as a folder for the Hugging Face hub: its files, and the model card with the header that the hub reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from search.evaluate.exported import MODEL, RECORD, open_winner
from search.evaluate.signature import SIGNATURE
from search.evaluate.winner import CARD, CHECKLIST, winner_documents
from search.plan.settings import SettingsError
from search.record import Evaluation, RunRecord

# The hub refuses an empty licence, but not a missing one.
LICENCE_LINE = "# license: FOR THE AUTHOR, such as mit; the licences of images and pretrained weights may bind it"
# The hub's name of each score.
_METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "auc": "roc_auc",
    "average_precision": "average_precision",
    "sensitivity": "recall",
    "specificity": "specificity",
    "loss": "loss",
}


def write_huggingface(run: str, target: Path) -> list[str]:
    """Write a run's winner as a folder that `hf upload` takes as it is; returns what was done, a line each.

    The folder is also a copy of the winner that `search.predict` opens. No image is in it.

    Args:
        run: a run's folder or URL.
        target: a folder that exists.

    Raises:
        RecordError: the run has no winner.
        SettingsError: what is given is a copy of a winner without its run.
    """
    winner = open_winner(run)
    record = winner.folder.read_winner() if winner.run is not None else None
    if winner.run is None or record is None:
        raise SettingsError(
            f"The card of a winner is made from its run's records. Received: {run}, a winner alone. Give the run's "
            "folder."
        )
    trials = winner.folder.read_trials()
    documents = winner_documents(winner.folder, [trials[number] for number in record.trials], record)
    (target / MODEL).write_bytes(winner.folder.read_own(*winner.inside, MODEL))
    (target / RECORD).write_bytes(winner.folder.read_own(*winner.inside, RECORD))
    (target / SIGNATURE).write_text(winner.signature.to_json(), encoding="utf-8")
    header = card_header(winner.run, record.evaluations)
    (target / "README.md").write_text(header + documents[CARD], encoding="utf-8")
    (target / CHECKLIST).write_text(documents[CHECKLIST], encoding="utf-8")
    return [
        f"Written to {target}: README.md, {CHECKLIST}, {MODEL}, {SIGNATURE}, {RECORD}",
        "README.md lacks its licence, which is yours to choose: see its line 'license'. Then: "
        f"hf upload NAME/{winner.run.name} {target}",
    ]


def card_header(run: RunRecord, evaluations: Sequence[Evaluation]) -> str:
    """The header of a card: what the hub lists and searches, in YAML between lines of three hyphens."""
    header = {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["keras", "image-classification", "medical-imaging", "xray-search"],
        "metrics": list(dict.fromkeys(_METRICS[name] for each in evaluations for name in each.scores)),
        "model-index": [{"name": run.name, "results": [_result(run.name, each) for each in evaluations]}],
    }
    text = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    return f"---\n{LICENCE_LINE}\n{text}---\n\n"


def _result(run: str, each: Evaluation) -> dict[str, Any]:
    """One entry of the hub's model-index: the scores on a set of images."""
    mean = "mean " if each.findings else ""
    return {
        "task": {"type": "image-classification"},
        "dataset": {"name": f"{each.dataset}, {each.images} images", "type": f"{run}-{each.dataset}"},
        "metrics": [
            {"type": _METRICS[name], "name": f"{mean}{name.replace('_', ' ')}", "value": round(value, 4)}
            for name, value in each.scores.items()
        ],
    }
