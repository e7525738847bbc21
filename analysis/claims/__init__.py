"""The report's wing: what it published, the runs that replay its rows, and its claims, tested on runs.

Nothing here is needed for other images. `python -m analysis.claims RUN ...` prints the verdicts.
"""

from analysis.claims.statements import CLAIMS, Claim, SearchGroups
from analysis.claims.verdicts import Verdict, bearing_runs, claims_table, judge_claim, judge_claims

__all__ = [
    "CLAIMS",
    "Claim",
    "SearchGroups",
    "Verdict",
    "bearing_runs",
    "claims_table",
    "judge_claim",
    "judge_claims",
]
