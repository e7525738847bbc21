"""How long trials train and when they are first compared, in optimization steps.

Epochs of small sets are short. Of a large set an epoch is a part of a pass over its training images, so that the first
rung does not wait for a whole one. `train.epoch_images=auto`, `search.max_epochs=auto` and
`search.asha.grace_period=auto` become numbers once the images are known.
"""

import math
from dataclasses import replace

from search.plan.settings import AUTO, Settings, check_settings
from search.record.passes import epochs_of_pass, steps_of_epoch, steps_of_pass

BATCH = 32  # steps are counted in batches of this size, whatever a trial's own is
# On the full set one search with trials of 2,200 steps reached a shifted calibrated loss of 0.137; the best of thirty
# single trials of 1,400 to 4,200 steps had 0.132. Fewest and most bound the time of large and of small sets; they are
# judgement, not measurement.
_STEPS, _FEWEST, _MOST = 2_400, 8, 40  # fewest and most are passes
# Before that, a score does not foretell the end: over 63 configurations of cnn2 on the full set, trained for 16 epochs
# of 139 steps, the rank correlation with it is 0.02 after 2 epochs and 0.46 after 4 (docs/method.md).
_GRACE_SHARE, _GRACE_STEPS = 1 / 4, 556
# Passes are a multiple of it: of 17, the last rung came after 16, and stopped trials that had all but ended.
_SHARE = 8
_EPOCH_IMAGES = 8_192  # 256 steps


def with_lengths(settings: Settings, train: int, validation: int) -> tuple[Settings, list[str]]:
    """The settings with numbers in place of `auto`, and a line with the reason of each.

    Args:
        settings: of a search.
        train: how many images train.
        validation: how many validate.

    Raises:
        SettingsError: a grace period that was set is longer than the trials become.
    """
    search, reasons = settings.search, []
    scored = validation * (2 if search.judges_by_shifted else 1)
    limit = _epoch_images(settings, scored)
    parts, steps = epochs_of_pass(train, limit), steps_of_epoch(train, BATCH, limit)
    if parts > 1:
        reasons.append(f"epoch_images {limit:,}: {_part(parts, steps, train, scored)}")
    if search.max_epochs == AUTO:
        passes = min(_MOST, max(_FEWEST, _SHARE * round(_STEPS / _SHARE / steps_of_pass(train, BATCH))))
        epochs = passes * parts
        search = replace(search, max_epochs=epochs)
        of_passes = f" ({passes} passes)" if parts > 1 else ""
        reasons.append(f"max_epochs {epochs}{of_passes}: {epochs * steps:,} steps of {BATCH} images, {steps} an epoch")
    if search.asha.grace_period == AUTO:
        grace = first_rung(search.max_epochs, steps)
        search = replace(search, asha=replace(search.asha, grace_period=grace))
        if search.scheduler != "none":
            reasons.append(f"grace_period {grace}: trials are first compared after {grace * steps:,} steps")
    resolved = replace(settings, search=search, train=replace(settings.train, epoch_images=limit))
    return check_settings(resolved), reasons


def first_rung(epochs: int, steps: int) -> int:
    """The epoch after which trials of so many epochs, each of so many steps of 32 images, are first compared."""
    return max(1, min(int(_GRACE_SHARE * epochs), math.ceil(_GRACE_STEPS / steps)))


def _epoch_images(settings: Settings, scored: int) -> int | None:
    """The images of an epoch at most; None: a whole pass.

    Epochs that were counted by hand, or by the report, are passes, and without rungs shorter ones only cost time.
    Training takes about three times the work of scoring an image: an epoch that trains on as many images as validation
    scores after it spends a quarter of its time on validation.
    """
    search, asked = settings.search, settings.train.epoch_images
    if asked != AUTO:
        return asked
    if search.max_epochs != AUTO or search.scheduler == "none" or settings.space.rows:
        return None
    return max(_EPOCH_IMAGES, scored)


def _part(parts: int, steps: int, train: int, scored: int) -> str:
    """An epoch that is a part of a pass, in words."""
    return (
        f"an epoch is one of {parts} parts of a pass, about {min(steps * BATCH, train):,} of {train:,} images; "
        f"{scored:,} are scored after it"
    )
