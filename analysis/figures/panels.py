"""All panels, in the order in which pages show them.

A module of figures lists its own in `RUN_PANELS` (of many trials) and `TRIAL_PANELS` (of one model).
"""

from analysis.figures import course, curves, dataset, decision, parallel, predictions, replays, space, workers
from analysis.figures.panel import RunPanel, TrialPanel

RUN_PANELS: tuple[RunPanel, ...] = (
    *course.RUN_PANELS,
    *curves.RUN_PANELS,
    *workers.RUN_PANELS,
    *space.RUN_PANELS,
    *parallel.RUN_PANELS,
    *predictions.RUN_PANELS,
    *replays.RUN_PANELS,
    *dataset.RUN_PANELS,
)
TRIAL_PANELS: tuple[TrialPanel, ...] = (*curves.TRIAL_PANELS, *predictions.TRIAL_PANELS, *decision.TRIAL_PANELS)
