"""Shows a search to the user: a live view on a terminal, occasional lines elsewhere, tables at the end.

Output of Ray and TensorFlow goes to a log file; only the console that `chatter_to` yields reaches the screen.
"""

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from search import record
from search.driver.state import SearchState
from search.plan.pace import duration_text
from search.plan.settings import UNLIMITED
from search.record import TrialRecord, rank, rank_configurations

if TYPE_CHECKING:
    from search.driver.share import FeatureNews

_LINE_SECONDS = 30.0  # between two lines on a screen that is no terminal, if no trial ends


@contextlib.contextmanager
def chatter_to(log: Path) -> Iterator[Console]:
    """Send the output of this process and its children to a file; yields a console on the real screen.

    Works on file descriptors, because Ray and TensorFlow also print from C++ and from other threads.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        with os.fdopen(os.dup(kept[0]), "w") as screen:
            yield Console(file=screen, width=None if screen.isatty() else 120, highlight=False)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, saved in zip((1, 2), kept, strict=True):
            os.dup2(saved, number)
            os.close(saved)


@contextlib.contextmanager
def image_progress(console: Console, work: str = "Preparing images") -> Iterator[Any]:
    """A progress bar over images; yields a function of (done, all) to call as the work on them goes on."""
    columns = TextColumn(work), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task("images", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class SearchView:
    """Shows the state of a running search on the screen.

    Args:
        console: the real screen.
        state: read at every refresh.
        expected_epochs: how many epochs the whole search is expected to take.
        features: progress of the feature store; None without frozen backbones.
    """

    def __init__(
        self, console: Console, state: SearchState, expected_epochs: float, features: "FeatureNews | None" = None
    ) -> None:
        self._console = console
        self._state = state
        self._expected = expected_epochs
        self._features = features
        self._started = time.monotonic()
        self._epochs_before = _epochs(state.trials.values())
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=2,
            transient=True,
            # rich would otherwise show what Ray writes to sys.stdout, which belongs in the log.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._shown_ended, self._shown_retried = len(state.ended), len(state.retried)
        self._shown_news = 0
        self._last_line = time.monotonic()

    def __enter__(self) -> "SearchView":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def on_change(self) -> None:
        """Print completed features and trials that a fault stopped; without a terminal, also trials that ended.

        Without a terminal, a line of counts follows when nothing was printed for a while. To be called several times
        a second.
        """
        if self._features is not None:
            for line in self._features.poll():
                self._print(line)
        for line in self._state.news[self._shown_news :]:
            self._print(line)
        self._shown_news = len(self._state.news)
        for number in self._state.retried[self._shown_retried :]:
            trial = self._state.trials[number]
            self._print(
                f"trial {trial.name} was stopped after epoch {len(trial.epochs)} and is tried again from there: "
                f"{trial.reason}"
            )
        self._shown_retried = len(self._state.retried)
        if self._console.is_terminal:
            return
        for number in self._state.ended[self._shown_ended :]:
            trial = self._state.trials[number]
            self._print(f"trial {trial.name} {_ending(trial, self._metric)}{_confirming(trial)}")
        self._shown_ended = len(self._state.ended)
        if time.monotonic() - self._last_line > _LINE_SECONDS:
            self._print("; ".join([self._counts(), *self._computing()]))

    def _computing(self) -> Sequence[str]:
        return () if self._features is None else self._features.computing

    @property
    def _metric(self) -> str:
        return self._state.settings.search.metric

    def _print(self, line: str) -> None:
        self._console.print(f"[{_clock(time.monotonic() - self._started)}] {line}", markup=False, soft_wrap=True)
        self._last_line = time.monotonic()

    def _counts(self) -> str:
        trials = list(self._state.trials.values())
        found = Counter(trial.status for trial in trials)
        at_rung = sum(map(self._state.is_at_rung, trials))
        is_limited = self._state.num_trials < UNLIMITED
        to_come = self._state.num_trials - len(trials) if is_limited else 0
        waiting = to_come + found[record.WAITING] - at_rung
        parts = [f"{found[record.RUNNING]} running", f"{waiting} waiting", f"{at_rung} waiting at a rung"]
        parts += [f"{found[record.STOPPED]} stopped early"]
        parts += [f"{found[record.FINISHED]} finished"]
        parts += [f"{found[status]} {status}" for status in (record.DIVERGED, record.FAILED) if found[status]]
        again = sum(trial.confirms is not None for trial in trials)
        parts += [f"{again} of them to confirm others"] if again else []
        idle = "" if found[record.RUNNING] else "; nothing runs: waiting for a worker"
        count = self._state.num_trials if is_limited else len(trials)
        return f"{record.counted(count, 'trial')}: {', '.join(parts)}; {self._pace(trials)}{idle}"

    def _pace(self, trials: Sequence[TrialRecord]) -> str:
        done, deadline = _epochs(trials), self._state.deadline
        elapsed = time.monotonic() - self._started
        fresh = done - self._epochs_before
        budget = "" if deadline is None else f", {_clock(max(0.0, deadline.budget - deadline.elapsed))} to the deadline"
        if not fresh or budget:
            return f"{record.counted(done, 'epoch')}{budget}"
        left = max((self._expected - done) * elapsed / fresh, *map(self._seconds_to_target, trials), 0.0)
        return f"{record.counted(done, 'epoch')}, {fresh / elapsed * 3600:.0f} an hour, about {_clock(left)} left"

    def _seconds_to_target(self, trial: TrialRecord) -> float:
        """How long a trial that runs needs to its next rung, or its end, at its own pace."""
        if trial.status != record.RUNNING or not trial.epochs:
            return 0.0
        return (self._state.target(trial.number) - len(trial.epochs)) * fmean(each.seconds for each in trial.epochs)

    def _render(self) -> RenderableType:
        lines: list[RenderableType] = [Text(self._counts())]
        best = self._state.best()
        if best is not None:
            lines.append(Text(f"best so far: trial {best.name}, {_best_values(best, self._metric)}", style="bold"))
        table = Table(box=None, padding=(0, 2), show_header=False)
        for trial in self._state.trials.values():
            if trial.status == record.RUNNING:
                values = _best_values(trial, self._metric)
                epoch = f"epoch {len(trial.epochs) + 1} of {trial.max_epochs}{_confirming(trial)}"
                table.add_row(trial.name, epoch, values)
        lines += [Text(line) for line in self._computing()]
        return Group(*lines, table, Text("Ctrl-C stops; what is done is kept.", style="dim"))


def scope_line(state: SearchState) -> str:
    """What a search is going to do: its number of trials, and its deadline where it has one."""
    trials = record.counted(state.num_trials, "trial") if state.num_trials < UNLIMITED else "as many trials as fit"
    deadline = state.deadline
    if deadline is None:
        return trials
    left = deadline.budget - deadline.elapsed
    when = time.strftime("%H:%M", time.localtime(time.time() + left))
    spent = f", {duration_text(deadline.elapsed)} of them spent" if deadline.elapsed >= 1 else ""
    due = f"the winner is due at {when}" if state.settings.evaluate.enabled else f"the search ends by {when}"
    due = due if left > 0 else "no time is left"
    return f"{trials} in {duration_text(deadline.budget)}{spent}; {due}"


def ending_line(state: SearchState) -> str:
    """Why a search with a time budget ended; empty for others."""
    deadline = state.deadline
    if deadline is None:
        return ""
    left = duration_text(deadline.budget - deadline.elapsed)
    if state.ended_by_clock:
        rest = "to evaluate" if state.settings.evaluate.enabled else "of it"
        return f"The time budget of {duration_text(deadline.budget)} ended the search; {left} are left {rest}."
    return f"All trials have ended, with {left} of the time budget left."


def ranked_table(trials: Sequence[TrialRecord], metric: str, weights: str, most: int = 10) -> Table:
    """The best finished trials by validation, with the hyperparameters that differ between them.

    Args:
        trials: of the run.
        metric: the validation score that they are ranked by.
        weights: the epoch that each is judged by, `best` or `last`.
        most: how many are shown.
    """
    ranked = rank([trial for trial in trials if trial.status == record.FINISHED], metric, weights)
    table = Table(title=f"Finished trials, best {metric} first", title_justify="left")
    scores = tuple(dict.fromkeys((metric, "val_balanced_accuracy", "val_auc", "val_accuracy", "val_loss")))
    for column in ("trial", "epoch", *scores, "parameters"):
        table.add_column(column, justify="right", no_wrap=True)
    varying = _varying(ranked)
    table.add_column("hyperparameters")
    for trial in ranked[:most]:
        epoch = trial.scored_epoch(metric, weights)
        if epoch is None:
            continue
        values = [_number(getattr(epoch, column)) for column in scores]
        chosen = "  ".join(f"{name}={_value(trial.parameters[name])}" for name in varying if name in trial.parameters)
        again = "" if trial.confirms is None else f"confirms {record.trial_name(trial.confirms)}"
        label = "  ".join(filter(None, (again, trial.row, chosen)))
        table.add_row(trial.name, str(epoch.epoch), *values, f"{trial.parameter_count:,}", label)
    if len(ranked) > most:
        table.caption = f"and {len(ranked) - most} more"
    return table


def confirmation_lines(trials: Sequence[TrialRecord], metric: str, weights: str) -> list[str]:
    """What was confirmed: each configuration's values and their mean, best first, then what did not finish."""
    lines = []
    for group in rank_configurations(trials, metric, weights):
        if any(trial.confirms is not None for trial in group):
            values = [trial.scored_value(metric, weights) or 0.0 for trial in group]
            each = ", ".join(f"trial {trial.name} {_number(v)}" for trial, v in zip(group, values, strict=True))
            lines.append(f"Confirmed: {metric} {_number(fmean(values))}, the mean of {each}")
    for trial in trials:
        if trial.confirms is not None and trial.is_final and trial.status != record.FINISHED:
            last = "ranks last" if trial.status == record.DIVERGED else "counts as not confirmed"
            confirmed = record.trial_name(trial.confirms)
            lines.append(f"Trial {trial.name}, to confirm trial {confirmed}, {trial.status}: that configuration {last}")
    return lines


def status_line(trials: Sequence[TrialRecord]) -> str:
    """How the trials ended, and how many epochs early stopping saved."""
    found = Counter(trial.status for trial in trials)
    ends = ", ".join(f"{found[status]} {status}" for status in record.FINAL if found[status])
    spent, most = _epochs(trials), sum(trial.max_epochs for trial in trials)
    ended = f": {ends}" if ends else ""
    return f"{record.counted(len(trials), 'trial')}{ended}; {spent:,} of {record.counted(most, 'epoch')} trained"


def _ending(trial: TrialRecord, metric: str) -> str:
    words = {record.STOPPED: "stopped early"}.get(trial.status, trial.status)
    reason = f" ({trial.reason})" if trial.reason else ""
    values = f", best {_best_values(trial, metric)}" if trial.best_epoch(metric) else ""
    return f"{words} after epoch {len(trial.epochs)}{reason}{values}"


def _confirming(trial: TrialRecord) -> str:
    return "" if trial.confirms is None else f", confirming trial {record.trial_name(trial.confirms)}"


def _best_values(trial: TrialRecord, metric: str) -> str:
    best = trial.best_epoch(metric)
    if best is None:
        return ""
    shown = dict.fromkeys((metric, "val_accuracy"))
    return ", ".join(f"{name} {_number(getattr(best, name))}" for name in shown) + f" (epoch {best.epoch})"


def _varying(trials: Sequence[TrialRecord]) -> list[str]:
    names = dict.fromkeys(name for trial in trials for name in trial.parameters)
    return [name for name in names if len({str(trial.parameters.get(name)) for trial in trials}) > 1]


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace(" ", "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _epochs(trials: Any) -> int:
    return sum(len(trial.epochs) for trial in trials)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
