"""The same trials as others would run them: Keras alone, KerasTuner, Ray Tune.

Each module is a command that reads a task and prints, as its last line, when its last trial ended and how long each
took. They are written as the documentation of each tool has it; data, split, models and trials are those of the task.
"""
