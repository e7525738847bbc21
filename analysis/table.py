"""A table's entry: the function that makes it, its title and headings, and where the report shows it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.load import Run, run_labels


def _fits_all(runs: Sequence[Run]) -> bool:
    return True


def _as_it_is(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


@dataclass(frozen=True)
class Table:
    """A table that can be asked for by name.

    Attributes:
        name: in commands and file names.
        title, title_fr: what it shows, in one line.
        make: from a run and options to its frame; from all runs where the table is `joint`.
        joint: whether all runs share one frame. Otherwise each run has its own.
        headings_fr: French headings of columns that `analysis.export` has no word for, by column.
        fits: whether the table has something to say about some runs; if not, it is made only where it is named.
        section: of the report that shows it; empty for a table that is only printed.
        caption: what the report says beside it.
        nothing: what the report shows in place of an empty frame.
        texts: columns of prose, whose cells may wrap.
        closed: whether the reader of the report opens it by a click.
        of_classes: whether it needs images of one class each.
        arrange: the last step before a page shows it, from frame to frame; intervals are folded by then.
    """

    name: str
    title: str
    title_fr: str
    make: Callable[..., pd.DataFrame]
    joint: bool = False
    headings_fr: Mapping[str, str] = field(default_factory=dict)
    fits: Callable[[Sequence[Run]], bool] = _fits_all
    section: str = ""
    caption: str = ""
    nothing: str = "Nothing to list."
    texts: tuple[str, ...] = ()
    closed: bool = False
    of_classes: bool = False
    arrange: Callable[[pd.DataFrame], pd.DataFrame] = _as_it_is

    def heading(self, language: str) -> str:
        """The title in one of `analysis.export.LANGUAGES`."""
        return self.title_fr if language == "fr" else self.title

    def suits(self, runs: Sequence[Run]) -> bool:
        """Whether it can be made of some runs and has something to say about them."""
        return self.can_be_of(runs) and self.fits(runs)

    def can_be_of(self, runs: Sequence[Run]) -> bool:
        """Whether it can be made of some runs."""
        return not (self.of_classes and any(run.record.is_multilabel for run in runs))

    def of(self, runs: Sequence[Run], **options: Any) -> pd.DataFrame:
        """The table of some runs; frames of several runs stand below each other, with the column `run` in front."""
        if self.joint:
            return self.make(runs, **options)
        frames = [self.make(run, **options) for run in runs]
        if len(runs) == 1:
            return frames[0]
        for label, frame in zip(run_labels(runs), frames, strict=True):
            frame.insert(0, "run", label)
        return pd.concat(frames, ignore_index=True)
