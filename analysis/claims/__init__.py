"""The report's wing: its published rows and counts, their replays, and its claims, tested on runs.

Other images need nothing of it. `python -m analysis.claims RUN ...` prints the verdicts.
"""

from analysis.claims.claims import CLAIMS, Claim, SearchGroups
from analysis.claims.evidence import bearing_runs
from analysis.claims.verdicts import Verdict, claims_table, judge_claim, judge_claims

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
