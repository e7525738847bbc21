import subprocess
import sys
from pathlib import Path

from search.trial.process import release_memory

ROOT = Path(__file__).parents[3]


def test_a_process_has_the_threads_of_its_trial() -> None:
    code = (
        "from search.trial.process import prepare_process\n"
        "prepare_process(3)\n"
        "import tensorflow as tf\n"
        "threading = tf.config.threading\n"
        "print(threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["3", "1"], done.stderr


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
