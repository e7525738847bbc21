"""Parameter counts in arithmetic alone, so that a dry run can size a model without importing TensorFlow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ParameterCount:
    """How many numbers a model holds and how many of them training may change.

    Attributes:
        total: Every weight of the model, batch-norm statistics included.
        trainable: The weights that the optimizer updates; None where only the built model shows them.
    """

    total: int
    trainable: int | None

    def __add__(self, other: "ParameterCount") -> "ParameterCount":
        """The count of two parts together; its trainable weights are unknown if those of either part are."""
        if self.trainable is None or other.trainable is None:
            return ParameterCount(self.total + other.total, None)
        return ParameterCount(self.total + other.total, self.trainable + other.trainable)


NOTHING = ParameterCount(0, 0)


def dense_count(inputs: int, units: int) -> ParameterCount:
    """The weights and biases of a dense layer."""
    size = (inputs + 1) * units
    return ParameterCount(size, size)


def convolution_count(kernel: int, channels: int, filters: int) -> ParameterCount:
    """The weights and biases of a convolution with a square kernel."""
    return dense_count(kernel * kernel * channels, filters)


def batch_norm_count(channels: int) -> ParameterCount:
    """Four numbers per channel: scale and shift are trained, mean and variance are not."""
    return ParameterCount(total=4 * channels, trainable=2 * channels)
