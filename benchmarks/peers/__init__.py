"""The same trials run by other tools: Keras alone, KerasTuner, Ray Tune.

Each module is a command that reads a task and prints, as its last line, when its last trial ended and how long each
took. Each follows the documentation of its tool; data, split, models and trials are those of the task.
"""
