"""Sets up TensorFlow once in a worker process, and releases its memory after every trial."""

import gc
import re
import sys


def prepare_process(threads: int, deterministic: bool = False) -> None:
    """Set up TensorFlow once in a worker process: threads of the CPUs it owns, memory growth on GPUs.

    Args:
        threads: of the CPUs that the process owns.
        deterministic: whether an operation gives the same bits each time, which on a GPU is slower.
    """
    _import_quickly()
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    # One: prefetching has its own thread; a second would compete with the training step for its CPU.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    if deterministic:
        tf.random.set_seed(0)  # TensorFlow then asks for one; what a trial draws is seeded by the trial
        tf.config.experimental.enable_op_determinism()


def _import_quickly() -> None:
    """Import TensorFlow and Keras in 2.5 s instead of 4, and keep garbage collections from walking over them."""
    gc.disable()  # imports make a million objects and no garbage: looking for it takes a fifth of their time
    hidden = "sklearn" not in sys.modules
    if hidden:  # Keras imports scikit-learn, where there is one, for wrappers that nothing here uses
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
    finally:
        if hidden:
            del sys.modules["sklearn"]
        gc.enable()
    gc.collect()
    gc.freeze()  # what is imported stays as long as the process; a collection takes 0.2 s with it


def release_memory() -> None:
    """Release the memory of the last trial of this process: graphs, variables, optimizer.

    Call it when nothing refers to the trial's model any more.
    """
    import keras
    from tensorflow.python.framework import ops

    keras.backend.clear_session(free_memory=False)  # True would collect garbage, which comes last here
    # TensorFlow registers the gradient of every traced step under a new name and never removes one; each
    # keeps its graph, 5 to 30 MB a trial, and slows every garbage collection. No public call clears them.
    gradients = ops.gradient_registry._registry
    for name in [name for name in gradients if name.startswith("CustomGradient-")]:
        del gradients[name]
    gc.collect()


def out_of_memory(error: Exception) -> str:
    """One sentence, where TensorFlow found no memory for a tensor, in place of its many lines; else empty."""
    import tensorflow as tf

    if not isinstance(error, tf.errors.ResourceExhaustedError):
        return ""
    found = re.search(r"(OOM|out of memory).*", str(error), re.IGNORECASE)  # on one of many lines
    said = re.split(r" on /job:| \[Op:", found[0])[0][:110].rstrip(".") if found else "out of memory"
    return (
        f"A trial must fit into memory. Received: {said}. Lower batch_size, take the largest models out of the space, "
        "or give a trial more of the GPU (resources.gpus_per_trial)."
    )


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU in this process."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
