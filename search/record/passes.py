"""How a pass over the training images is cut into epochs, for the trials, the lengths of a search and its tables."""

import math


def epochs_of_pass(images: int, epoch_images: int | None) -> int:
    """How many epochs a pass is cut into; 1 where an epoch is a whole pass.

    Args:
        images: that train.
        epoch_images: of an epoch at most; None or 0: a whole pass.
    """
    return math.ceil(images / epoch_images) if epoch_images else 1


def steps_of_epoch(images: int, batch_size: int, epoch_images: int | None) -> int:
    """The batches of every epoch of a trial: those of a pass, divided by its epochs and rounded up.

    Args:
        images: that train.
        batch_size: of the trial.
        epoch_images: as in `epochs_of_pass`.
    """
    return math.ceil(steps_of_pass(images, batch_size) / epochs_of_pass(images, epoch_images))


def steps_of_pass(images: int, batch_size: int) -> int:
    """The batches of one pass over so many images; the last one may be smaller."""
    return math.ceil(images / batch_size)
