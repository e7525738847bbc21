"""The same trials, or the same space, run by other tools: Keras alone, KerasTuner, Ray Tune, Optuna, AutoKeras.

Each module with a `main` is a command that reads a task, and follows the documentation of its tool; data, split,
models and trials are those of the task. Commands of a race search until they are stopped and write a line an epoch; the
others print, as their last line, when their last trial ended and how long each took.
"""
