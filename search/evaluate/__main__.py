"""Scores a run's trials again: `python -m search.evaluate RUN [evaluate.weights=last] [data.root=FOLDER]`."""

import shlex
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from search.driver.command import check_prepared, exit_code, open_run, prepare, say_onednn, write_page
from search.driver.lease import drive
from search.driver.preflight import check_machine
from search.driver.runs import check_same_data, update_run
from search.driver.screen import chatter_to
from search.driver.session import open_session
from search.evaluate.score import evaluate_run
from search.evaluate.summary import print_summary
from search.plan.space_file import read_space


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate a run from the command line; returns the exit code."""
    return exit_code(lambda: _evaluate(list(sys.argv[1:] if arguments is None else arguments)))


def _evaluate(words: Sequence[str]) -> int:
    folder, settings = open_run("search.evaluate", words)
    check_machine(print)
    log = Path(tempfile.mkdtemp(prefix="xray-search-"), "evaluate.log")
    with chatter_to(log) as console:
        say_onednn(folder, console)
        dataset = prepare(settings, console)
        check_same_data(folder, dataset)
        space = read_space(settings)
        check_prepared(space, settings, dataset)
        with open_session(settings, space, dataset, console.print) as session, drive(folder):
            update_run(folder, session.settings)
            try:
                evaluate_run(session, folder, partial(console.print, markup=False, soft_wrap=True))
            except KeyboardInterrupt:
                again = shlex.join(["python", "-m", "search.evaluate", *words])
                console.print(f"Stopped; no trial is lost. Evaluate with:\n  {again}", markup=False, soft_wrap=True)
                return 130
        write_page(folder, console)
        print_summary(settings, folder, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
