"""The command `python -m analysis.claims`: prints a verdict on each claim."""

import argparse
from collections.abc import Sequence

import numpy as np

from analysis.claims.verdicts import Verdict, judge_claims
from analysis.command import exit_code
from analysis.load import load


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the verdicts on the report's claims from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.claims",
        description="The report's claims, each with a verdict from the trials of one or several runs.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder or URL")
    given = parser.parse_args(arguments)
    return exit_code(lambda: print_verdicts(judge_claims([load(url) for url in given.runs])))


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print verdicts as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("claim", "verdict", "effect [95 %]", "p (Holm)", "report's own", "basis", show_lines=True)
    for entry in verdicts:
        known = np.isfinite(entry.effect)
        effect = (
            f"{entry.effect:+.3f} [{entry.effect_low:+.3f}, {entry.effect_high:+.3f}]\n{entry.measure}" if known else ""
        )
        own = f"{entry.published:+.3f}" if np.isfinite(entry.published) else ""
        p_holm = f"{entry.p_holm:.3f}" if np.isfinite(entry.p_holm) else ""
        cells = (f"{entry.sentence}\n({entry.place})", entry.verdict, effect, p_holm, own, entry.basis)
        table.add_row(*map(Text, cells))  # Text, because names from runs are no markup
    Console().print(table)
