"""Verdicts on the report's claims, from the trials of one or several runs.

A verdict rests on the claim's evidence (`analysis.claims.evidence`). A claim is *undecided* where the interval covers
its border, with too few trials or images, and where a backbone began with random weights in place of ImageNet's. So
many claims are tested that some would be decided by chance: a claim is decided only where its p value, corrected by
Holm's procedure for all claims tested together, is below 0.05.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from analysis import paired
from analysis.claims.claims import CLAIMS, GAP, SWING, Claim
from analysis.claims.evidence import NOTHING, bearing_runs, replay_evidence, search_evidence
from analysis.claims.published import published_rows
from analysis.claims.rules import ACCURACY_MARGIN, ALPHA, UNDECIDED, gain, judge
from analysis.load import Run
from analysis.table import Table

MEASURES = {
    "test_accuracy": "test accuracy",
    "test_loss": "test loss, lower is better",
    "val_accuracy": "validation accuracy",
    GAP: "validation loss - training loss, last epoch, lower is better",
    SWING: "change of ln(validation loss) an epoch, lower is better",
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim, and what it rests on.

    Attributes:
        verdict: `HOLDS`, `FAILS` or `UNDECIDED`.
        effect, effect_low, effect_high: how much better the first is than the second (accuracy, or loss saved), and its
            95 % interval.
        published: the effect in the report's own numbers, in the same measure; NaN where it prints none.
        measure: the score that `effect` is a difference of: the claim's metric, or validation accuracy in a search.
        p_value: two-sided, of the effect being the claim's border (0, or the margin); NaN where no interval decides.
        p_holm: the same, corrected for all claims judged together; below 0.05 the claim is decided.
        false_discovery: by Benjamini and Hochberg: of the claims with a value as low, this share at most is expected to
            be decided by chance.
        basis: which trials, how many, and by which statistic.
        trials: how many trials bear on it.
    """

    id: str
    sentence: str
    place: str
    verdict: str
    effect: float
    effect_low: float
    effect_high: float
    published: float
    measure: str
    p_value: float
    p_holm: float
    false_discovery: float
    basis: str
    trials: int


def judge_claims(runs: Sequence[Run]) -> list[Verdict]:
    """A verdict on every claim of the report, in its order, from all runs together; see the module."""
    alone = [judge_claim(claim, runs) for claim in CLAIMS]
    p_values = np.array([verdict.p_value for verdict in alone])
    corrected = zip(alone, paired.holm(p_values), paired.false_discovery_rates(p_values), strict=True)
    return [_corrected(verdict, float(holm), float(rate)) for verdict, holm, rate in corrected]


def _corrected(verdict: Verdict, p_holm: float, false_discovery: float) -> Verdict:
    """A verdict among others: undecided where its p value is not low enough for so many."""
    known = replace(verdict, p_holm=p_holm, false_discovery=false_discovery)
    if verdict.verdict == UNDECIDED or p_holm < ALPHA:
        return known
    basis = f"{verdict.basis}; alone it {verdict.verdict}, but not among so many claims (Holm)"
    return replace(known, verdict=UNDECIDED, basis=basis)


def judge_claim(claim: Claim, runs: Sequence[Run]) -> Verdict:
    """The verdict on one claim alone; `judge_claims` corrects it for the others."""
    bearing = bearing_runs(runs, claim.classes)
    evidence = replay_evidence(claim, bearing) if claim.pairs and bearing else NOTHING
    measure, published = claim.metric, published_effect(claim)
    if evidence.trials == 0 and claim.search is not None and bearing:
        found = search_evidence(claim.search, claim.relation, bearing)
        if found.trials:  # the report's numbers are test scores
            evidence, measure, published = found, "val_accuracy", float("nan")
    estimate = evidence.estimate
    verdict = evidence.verdict or judge(estimate, claim.relation)
    caution = f"; caution: {claim.caution}" if claim.caution and "replay" in evidence.basis else ""
    return Verdict(
        claim.id,
        claim.sentence,
        claim.place,
        verdict,
        estimate.value,
        estimate.low,
        estimate.high,
        published,
        MEASURES[measure],
        evidence.p_value,
        evidence.p_value,
        evidence.p_value,
        evidence.basis + caution,
        evidence.trials,
    )


def published_effect(claim: Claim) -> float:
    """The claim's effect in the report's own numbers: of the weakest pair, or the mean; NaN without rows."""
    rows = published_rows()
    if claim.metric not in rows:
        return float("nan")
    values = rows[claim.metric]
    effects = [gain(values[first], values[second], claim.metric) for first, second in claim.pairs]
    if not effects:
        return float("nan")
    return float(np.min(effects) if claim.every else np.mean(effects))


def claims_table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a claim: the fields of `Verdict`."""
    return pd.DataFrame([asdict(verdict) for verdict in judge_claims(runs)])


def bears_on_report(runs: Sequence[Run]) -> bool:
    """Whether some run has the classes of the report."""
    return any(bearing_runs(runs, classes) for classes in (2, 3))


def _arrange(frame: pd.DataFrame) -> pd.DataFrame:
    """The claims as pages show them: decided ones first, each sentence with its place, each basis with its measure."""
    pairs = zip(frame["sentence"], frame["place"], strict=True)
    frame["sentence"] = [f"{str(sentence).rstrip('.')} ({place})." for sentence, place in pairs]
    frame["basis"] = [f"{measure}: {basis}" for measure, basis in zip(frame["measure"], frame["basis"], strict=True)]
    shown = ("sentence", "verdict", "effect", "p_holm", "false_discovery", "published", "trials", "basis")
    frame = frame[[name for name in shown if name in frame]]
    return frame.sort_values("verdict", key=lambda verdicts: verdicts == UNDECIDED, kind="stable")


TABLES = (
    Table(
        "claims",
        "The report's claims, tested",
        "Les énoncés du rapport, mis à l'épreuve",
        claims_table,
        joint=True,
        headings_fr={
            "sentence": "énoncé",
            "place": "endroit",
            "effect": "effet",
            "published": "publié",
            "measure": "mesure",
            "false_discovery": "taux de fausses découvertes",
        },
        fits=bears_on_report,
        section="claims",
        caption="The effect is how much better the first is than the second, with its 95 % interval; published is the "
        "report's own. The basis says by which measure, and what was compared. A claim is decided where p, corrected "
        "for all claims tested (Holm), is below 0.05. Beside it is the false discovery rate (FDR, Benjamini and "
        f"Hochberg). That something does not help, or suffices, is judged with a margin of {ACCURACY_MARGIN}.",
        texts=("sentence", "measure", "basis"),
        arrange=_arrange,
    ),
)
