"""Checks that the packages of an export are installed: `pip install` has them only with the extra `export`."""

import importlib.util
from collections.abc import Mapping

from search.plan.settings import SettingsError


def check_packages(title: str, packages: Mapping[str, str]) -> None:
    """Check that what an export needs is installed.

    Args:
        title: of the format, as its makers write it.
        packages: modules, with the name that pip installs each by.

    Raises:
        SettingsError: one is not.
    """
    missing = [name for module, name in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise SettingsError(
            f"An export to {title} needs {' and '.join(packages.values())}. Received: an environment without "
            f"{' and '.join(missing)}. Install them: "
            'pip install --constraint constraints.txt --editable ".[export]"'
        )
