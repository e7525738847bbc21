"""The analysis of runs: `run = analysis.load(PATH)`, then `run.trials`, `run.table("ranking")`, `analysis.figures`.

Reads records only, also those of a run that is still going on, and needs neither Ray nor TensorFlow. Submodules are
imported at first use, so that `import analysis` is quick.
"""

import importlib
from types import ModuleType

from analysis.notebook import Run, load, load_runs

__all__ = ["Run", "claims", "figures", "load", "load_runs", "report", "statistics", "tables"]

_SUBMODULES = ("app", "claims", "figures", "report", "statistics", "style", "tables")


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"analysis.{name}")
    raise AttributeError(
        f"An attribute of analysis must be load, load_runs, Run or a submodule ({', '.join(_SUBMODULES)}). "
        f"Received: {name!r}."
    )
