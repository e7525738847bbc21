"""How long trials train and when they are first compared, in optimization steps: epochs of small sets are short.

`search.max_epochs=auto` and `search.asha.grace_period=auto` become numbers of epochs once the images are known.
"""

import math
from dataclasses import replace

from search.plan.settings import AUTO, Settings, check_settings

_BATCH = 32  # steps are counted in batches of this size, whatever a trial's own is
# On the full set one search with trials of 2,200 steps reached a shifted calibrated loss of 0.137; the best of thirty
# single trials of 1,400 to 4,200 steps had 0.132. Fewest and most bound the time of large and of small sets; they and
# the steps before the first rung are judgement, not measurement.
_STEPS, _FEWEST, _MOST = 2_400, 8, 40
_GRACE_STEPS = 72
_GRACE_SHARE = 8  # with a reduction factor of 2 the rungs lie at an eighth, a quarter and a half of a trial


def with_lengths(settings: Settings, images: int) -> tuple[Settings, list[str]]:
    """The settings with numbers of epochs in place of `auto`, and a line with the reason of each.

    Args:
        settings: of a search.
        images: how many train.

    Raises:
        SettingsError: a grace period that was set is longer than the trials become.
    """
    search, steps, reasons = settings.search, math.ceil(images / _BATCH), []
    if search.max_epochs == AUTO:
        epochs = min(_MOST, max(_FEWEST, round(_STEPS / steps)))
        search = replace(search, max_epochs=epochs)
        reasons.append(f"max_epochs {epochs}: {epochs * steps:,} steps of {_BATCH} images, {steps} an epoch")
    if search.asha.grace_period == AUTO:
        grace = max(math.ceil(_GRACE_STEPS / steps), search.max_epochs // _GRACE_SHARE)
        grace = max(1, min(grace, search.max_epochs // 2))
        search = replace(search, asha=replace(search.asha, grace_period=grace))
        if search.scheduler != "none":
            reasons.append(f"grace_period {grace}: trials are first compared after {grace * steps:,} steps")
    return check_settings(replace(settings, search=search)), reasons
