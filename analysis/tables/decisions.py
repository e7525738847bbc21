"""The table of the exported model's decisions at its operating point."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.load import Run
from analysis.table import Table
from search.record import RATES, TEST, Decisions

COLUMNS = (
    *("dataset", "images", "threshold", "prevalence", "stated"),
    *(f"{name}{end}" for name in RATES for end in ("", "_low", "_high")),
)


def decisions_table(run: Run) -> pd.DataFrame:
    """The exported model's decisions on every set of images, the test set first.

    Returns:
        `COLUMNS`, a row a set and prevalence; shares in [0, 1]. No rows for more than two classes, and for winners of
        older versions.
    """
    winner = run.winner
    if winner is None:
        return pd.DataFrame(columns=[*COLUMNS])
    ordered = sorted(winner.decisions, key=lambda each: each.dataset != TEST)
    lines = [_line(each, winner.operating_point.threshold) for each in ordered]
    return pd.DataFrame(lines, columns=[*COLUMNS])


def _line(each: Decisions, threshold: float) -> dict[str, Any]:
    line: dict[str, Any] = {name: getattr(each, name) for name in ("dataset", "images", "prevalence", "stated")}
    line["threshold"] = threshold
    for name in RATES:
        rate = getattr(each, name)
        line |= {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}
    return line


def _fits(runs: Sequence[Run]) -> bool:
    return any(run.winner is not None and run.winner.decisions for run in runs)


TABLES = (
    Table(
        "decisions",
        "The exported model's decisions at its operating point",
        "Les décisions du modèle retenu à son point de fonctionnement",
        decisions_table,
        headings_fr={
            "threshold": "seuil",
            "prevalence": "prévalence",
            "stated": "supposée",
            "ppv": "VPP",
            "npv": "VPN",
        },
        fits=_fits,
        section="winner",
        caption="An image is called positive where its probability reaches the threshold, which was set on validation "
        "(evaluate.operating_point). PPV and NPV, the shares of positive and of negative decisions that are right, are "
        "given at the prevalence of each set and at the stated one (evaluate.prevalence). Intervals of 95 %: Wilson's, "
        "and that of the logit at the stated prevalence.",
        nothing="The winner was exported by an older version, or there are more than two classes.",
    ),
)
