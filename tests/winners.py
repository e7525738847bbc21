"""A winner of trials whose predictions lie in a run's folder, as an evaluation makes it."""

from collections.abc import Mapping, Sequence

from search.evaluate.winner import propose_winner, record_winner
from search.plan.settings import EvaluateSettings
from search.record import RunFolder, TrialRecord, Winner


def make_winner(
    folder: RunFolder,
    members: Sequence[TrialRecord],
    settings: EvaluateSettings,
    groups: Mapping[str, str],
    patients: Mapping[str, str],
) -> Winner:
    """The winner, its predictions and its card written, its record not; arguments as `propose_winner`."""
    return record_winner(folder, members, propose_winner(folder, members, settings, groups, patients))
