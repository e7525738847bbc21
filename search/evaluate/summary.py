"""The summary on the screen: the trials, the winner, and where everything lies."""

import shlex
from typing import TYPE_CHECKING

from search import record
from search.driver.screen import confirmation_lines, ranked_table, status_line
from search.evaluate.card import winner_lines
from search.evaluate.winner import best_trials
from search.plan.earlier import resume_command
from search.plan.settings import Settings
from search.record import RunFolder

if TYPE_CHECKING:
    from rich.console import Console


def print_summary(settings: Settings, folder: RunFolder, console: "Console") -> None:
    """Print the ranked trials, the winner with its scores, and the paths and commands that come next."""
    trials = list(folder.read_trials().values())
    metric, weights = settings.search.metric, settings.evaluate.weights
    console.print(ranked_table(trials, metric, weights))
    for line in confirmation_lines(trials, metric, weights):
        console.print(line, markup=False, soft_wrap=True)
    console.print(status_line(trials))
    for trial in trials:
        if trial.status in (record.FAILED, record.DIVERGED):
            console.print(f"  trial {trial.name} {trial.status}: {trial.reason}", markup=False, soft_wrap=True)
    scored = {entry.trial for entry in folder.read_evaluations()}
    lost = [t.name for t in trials if t.status == record.FINISHED and t.number not in scored]
    if scored and lost:
        console.print(f"  not scored, their weights cannot be read: trials {', '.join(lost)}", markup=False)
    _print_winner(settings, folder, console)
    url = folder.url
    run, storage = shlex.quote(url), shlex.quote(url.rpartition("/")[0] or ".")
    scores, winner, answers = ", evaluation.jsonl, predictions/" if scored else "", "", ""
    if folder.exists("winner", "winner.json"):
        winner = f"Winner     {url}/winner/model.keras, card.md\n"
        answers = f"Answers    python -m search.predict {run} FILES_OR_FOLDERS\n"
    console.print(
        f"\nRun        {url}  (config.yaml, manifest.parquet, trials.jsonl{scores})\n"
        f"{winner}"
        f"Page       {url}/report.html\n"
        f"{answers}"
        f"Analysis   python -m analysis.app {storage}    "
        f"python -m analysis.tables {run}    python -m analysis.claims {run}\n"
        f"Also       tensorboard --logdir {run}/tensorboard    optuna-dashboard {run}/optuna.log",
        markup=False,
        soft_wrap=True,
    )


def _print_winner(settings: Settings, folder: RunFolder, console: "Console") -> None:
    winner, best = folder.read_winner(), best_trials(list(folder.read_trials().values()), settings)
    if winner is not None:
        console.print(f"Winner, chosen by validation alone: {winner.what}")
        for line in winner_lines(winner):
            console.print(f"  {line}", markup=False, soft_wrap=True)
    elif best:
        console.print(f"Best by validation: trial {best[0].name}; not evaluated.")
    else:
        console.print("No trial finished, so there is no winner to evaluate.")
        if settings.search.time_budget:
            longer = resume_command(folder, settings, f"search.time_budget={2 * settings.search.time_budget:g}s")
            console.print(f"A longer time budget goes on with new trials:\n  {longer}", markup=False, soft_wrap=True)
