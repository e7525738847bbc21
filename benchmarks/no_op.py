"""What a trial that trains nothing consists of, for `no_op_trial` and the benchmarks that run it; imports no Ray."""

import resource
import time

from search.record import EpochRecord

EPOCHS = 3  # of a trial whose epochs take no time
EPOCH_SECONDS = 2.0  # of an epoch of a trial that sleeps


def no_op_epoch(epoch: int, loss: float) -> EpochRecord:
    """The record of an epoch in which nothing was trained."""
    return EpochRecord(
        epoch=epoch,
        seconds=0.0,
        learning_rate=1e-3,
        train_loss=loss,
        train_accuracy=0.5,
        val_loss=loss,
        val_accuracy=0.5,
        val_balanced_accuracy=0.5,
        val_auc=0.5,
        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        time=time.time(),
    )
