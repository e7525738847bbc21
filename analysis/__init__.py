"""The analysis of runs: `run = analysis.load(PATH)`, then `run.trials`, `run.table("ranking")`, `analysis.figures`.

Reads records only, also those of a run that is still going on, and needs neither Ray nor TensorFlow. Submodules are
imported at first use, so that `import analysis` is quick.
"""

import importlib
import sys
from types import ModuleType

try:
    from analysis.notebook import Run, load, load_runs
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("search"):
        raise
    message = (
        "This project has a package called search, and so has the folder that Python looks in first. "
        f"Received: {error}. Run the command from another folder, or with PYTHONSAFEPATH=1 in its environment."
    )
    if sys.argv[:1] == ["-m"]:  # under `python -m`, which would show a traceback
        sys.exit(f"Error: {message}")
    raise ImportError(message) from error

__all__ = ["Run", "claims", "figures", "load", "load_runs", "report", "statistics", "tables"]

_SUBMODULES = ("app", "claims", "figures", "report", "statistics", "style", "tables")


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"analysis.{name}")
    raise AttributeError(
        f"An attribute of analysis must be load, load_runs, Run or a submodule ({', '.join(_SUBMODULES)}). "
        f"Received: {name!r}."
    )
