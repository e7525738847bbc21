"""The task of a peer in a race, and what it leaves behind: a line an epoch, and the models it would choose."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.task import Task, listing
from data_pipeline.dataset import prepare_dataset
from search.plan.domains import Choice, Domain
from search.plan.lengths import with_lengths
from search.plan.space_file import read_space
from search.plan.words import load_settings

EPOCHS = "epochs.jsonl"


@dataclass(frozen=True, kw_only=True)
class RaceTask(Task):
    """A space to search until the process is stopped.

    Attributes:
        domains: of each hyperparameter, its kind as in a space file (`log_uniform`) and its values, or its two ends.
            A value that is a list is given as its JSON text, as no peer takes lists.
        seed: of the search.
        folder: for the lines and the models.
    """

    domains: Mapping[str, tuple[str, list[Any]]]
    seed: int
    folder: str

    def parameters(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a trial, from the values that a peer chose; other values of it are left out."""
        own = {name: chosen[name] for name in self.domains}
        return {**self.fixed, **{name: _value(each) for name, each in own.items()}}


@dataclass(frozen=True)
class Epoch:
    """An epoch of any trial of a peer, with Keras' validation scores.

    Attributes:
        time: when it ended, in seconds since 1970.
        val_auc, val_loss: as Keras reports them.
        model: the file of the model after it; empty where an epoch before it had a higher `val_auc`.
    """

    time: float
    val_auc: float
    val_loss: float
    model: str = ""


def make_race_task(words: list[str], seed: int, folder: Path) -> RaceTask:
    """The task of searching the space of these settings, on the images, split and epochs of our own search.

    Args:
        words: settings, `key=value`.
        seed: of the search.
        folder: of the peer.
    """
    settings = load_settings(words)
    dataset = prepare_dataset(settings.data)
    settings, _ = with_lengths(settings, len(dataset.split.train), len(dataset.split.validation))
    parameters = read_space(settings).parameters
    fixed = {
        each.name: each.domain.values[0] for each in parameters if isinstance(each.domain, Choice) and each.is_constant
    }
    return RaceTask(
        **listing(dataset),
        size=settings.data.size,
        grid={},
        fixed={"class_weights": settings.train.class_weights, "schedule": settings.train.schedule, **fixed},
        epochs=int(settings.search.max_epochs),
        domains={each.name: describe_domain(each.domain) for each in parameters if each.name not in fixed},
        seed=seed,
        folder=str(folder.resolve()),
    )


def describe_domain(domain: Domain) -> tuple[str, list[Any]]:
    """A domain's kind and values, as `RaceTask` has them."""
    if isinstance(domain, Choice):
        return "choice", list(domain.labels)
    kind = "integer" if isinstance(domain.low, int) else "uniform"
    return f"log_{kind}" if domain.log else kind, [domain.low, domain.high]


def read_race_task(path: str) -> RaceTask:
    """The task that `write_task` wrote."""
    return RaceTask(**json.loads(Path(path).read_text()))


def add_epoch(folder: str, epoch: Epoch) -> None:
    """Append an epoch's line; processes may do so side by side."""
    line = os.open(Path(folder, EPOCHS), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(line, (json.dumps(asdict(epoch)) + "\n").encode())  # in one call: never half a line
    os.close(line)


def read_epochs(folder: str) -> list[Epoch]:
    """The epochs so far, in the order in which they ended."""
    path = Path(folder, EPOCHS)
    lines = path.read_text().splitlines() if path.is_file() else []
    return [Epoch(**json.loads(line)) for line in lines]


def _value(label: Any) -> Any:
    """A chosen value; a list is read from its JSON text."""
    return json.loads(label) if isinstance(label, str) and label.startswith("[") else label
