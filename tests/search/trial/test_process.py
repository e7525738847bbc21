import subprocess
import sys
from pathlib import Path

import pytest

from search.trial.process import out_of_memory, release_memory

ROOT = Path(__file__).parents[3]


def test_a_process_has_the_threads_of_its_trial_and_is_deterministic_with_all_that_draws_random_numbers() -> None:
    """Garbage is collected there, but not looked for among what is imported; what Keras imports in vain is not."""
    code = (
        "from search.trial.process import prepare_process\n"
        "prepare_process(3)\n"
        "import tensorflow as tf\n"
        "threading = tf.config.threading\n"
        "print(threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads())\n"
        "import gc, sys\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 100_000, 'sklearn' in sys.modules)\n"
        "from models.cnn import CnnConfig\n"
        "from search.plan.settings import TrainSettings\n"
        "from search.trial.peak import measure_peak\n"
        "from search.trial.training import TrialConfig\n"
        "train = TrainSettings(batch_size=4, precision='float32', augment='strong', deterministic=True)\n"
        "model = CnnConfig(batch_norm='conv', dense=(4,), dropout=0.5)\n"
        "assert measure_peak(TrialConfig(model, train, 1, 0), (16, 16, 1), 2, False) > 0\n"
        "from tensorflow.python.framework.config import is_op_determinism_enabled\n"
        "print(is_op_determinism_enabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["3", "1", "True", "True", "False", "True"], done.stderr


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Graph execution error:\n\nDetected at node x\nOOM when allocating tensor with shape[9]\n [[x]]", "OOM when"),
        ("{{function_node f}} OOM when allocating tensor with shape[9] [Op:Mul]", "OOM when"),
        ("Out of memory while trying to allocate 9 bytes.", "Out of memory while trying to allocate 9 bytes"),
        ("RESOURCE_EXHAUSTED", "out of memory"),
    ],
)
def test_what_found_no_memory_is_said_in_a_sentence(message: str, said: str) -> None:
    import tensorflow as tf

    reason = out_of_memory(tf.errors.ResourceExhaustedError(None, None, message))
    assert reason.startswith(f"A trial must fit into memory. Received: {said}")
    assert "\n" not in reason
    assert len(f"MemoryError: {reason}") <= 300  # a trial's reason is no longer
    assert out_of_memory(tf.errors.InternalError(None, None, message)) == out_of_memory(ValueError(message)) == ""


def test_traced_gradients_are_given_back() -> None:
    import tensorflow as tf
    from tensorflow.python.framework import ops

    @tf.function
    def square(x: tf.Tensor) -> tf.Tensor:
        @tf.custom_gradient
        def inner(y: tf.Tensor) -> tuple:
            return y * y, lambda upstream: 2 * y * upstream

        return inner(x)

    def traced() -> int:
        return sum(name.startswith("CustomGradient-") for name in ops.gradient_registry.list())

    square(tf.constant(2.0))
    assert traced() > 0
    release_memory()
    assert traced() == 0
