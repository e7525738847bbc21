"""The search: configuration, trials, driver, evaluation and records."""

import importlib.util
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def _check_neighbours() -> None:
    """Say so where another package stands before one of ours, as in a folder with a `models` package of its own.

    Raises:
        ImportError: There is one; under `python -m`, which would show a traceback, the process ends with the message.
    """
    for name in ("models", "data_pipeline", "analysis"):
        found = importlib.util.find_spec(name)
        place = Path(found.origin).resolve() if found and found.origin else None
        if place is None or place.is_relative_to(_ROOT):
            continue
        message = (
            f"This project has a package called {name}, and so has the folder that Python looks in first. "
            f"Received: {place}. Run the command from another folder, or with PYTHONSAFEPATH=1 in its environment."
        )
        if sys.argv[:1] == ["-m"]:
            sys.exit(f"Error: {message}")
        raise ImportError(message)


_check_neighbours()
