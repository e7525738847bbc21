"""The rules of a trial that read a plateau off its val_loss: its learning rate, and its early stopping.

Both are functions of the history, so that a resumed trial needs no state of a callback.
"""

import math
from collections.abc import Sequence

from search.plan.settings import TrainSettings
from search.record import EpochRecord


def learning_rate(train: TrainSettings, history: Sequence[EpochRecord], max_epochs: int) -> float:
    """The next epoch's rate: by the schedule, and reduced after each plateau of `train.plateau` epochs in val_loss.

    Source: Loshchilov and Hutter 2017, 'SGDR' (cosine); Keras, ReduceLROnPlateau (min_delta 1e-4, no cooldown), as a
    function of the history.
    """
    rate, best, waited = train.learning_rate, math.inf, 0
    if train.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * (len(history) + 0.5) / max_epochs))
    if train.plateau == 0:
        return rate
    for epoch in history:
        loss = _loss(epoch)
        if loss < best - 1e-4:
            best, waited = loss, 0
            continue
        waited += 1
        if waited >= train.plateau:
            rate, waited = rate * train.plateau_factor, 0
    return rate


def should_stop(history: Sequence[EpochRecord], patience: int) -> bool:
    """Whether the best val_loss is `patience` epochs old or older; never with a patience of 0.

    Source: Keras, EarlyStopping, as a function of the history.
    """
    if patience == 0 or not history:
        return False
    losses = [_loss(epoch) for epoch in history]
    return len(losses) - 1 - losses.index(min(losses)) >= patience


def _loss(epoch: EpochRecord) -> float:
    loss = epoch.val_loss
    return loss if loss is not None and math.isfinite(loss) else math.inf
