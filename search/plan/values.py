"""Reads the value of a `key=value` word, each setting in its own way: as its field's metadata say, else as Hydra does.

A setting that holds a path, a URL, a name or a regular expression takes whatever the file system or the shell gives; no
quotes are needed beyond the shell's own.
"""

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from search.plan.settings import AUTO, Settings, SettingsError

GROUPS = ("space", "data", "resources", "cluster")  # a word such as space=cnn2 chooses a file of search/conf


def read_value(key: str, value: str) -> Any:
    """The value of a setting as its type holds it.

    Args:
        key: a setting or one of `GROUPS`.
        value: what stands behind the `=` of a word.

    Raises:
        SettingsError: it cannot be read as what the setting takes.
    """
    if key in GROUPS:
        return _read_text(key, value)
    if key.startswith("data.extra_tests."):
        return _read_path(key, value)
    return _READERS[kinds().get(key, "plain")](key, value)


_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)  # the whole value, in one pair of quotes


def _read_text(key: str, value: str) -> str | None:
    """A value taken as it stands; in quotes, as Hydra's users write it, what is between them."""
    if value == "null":
        return None
    return str(_read_plain(key, value)) if _QUOTED.fullmatch(value) else value


def _read_path(key: str, value: str) -> str | None:
    """A path or URL: ~ is the home folder; what Hydra's grammar escapes with a backslash may be escaped."""
    text = _read_text(key, value)
    if text is not None and text == value:  # without quotes
        text = re.sub(r"\\([\\()\[\]{}:=, \t])", r"\1", text)
    return text if text is None or "://" in text else _home(text)


def _home(path: str) -> str:
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:  # ~NAME of an unknown user is a file's name like any other
        return path


def _read_runs(key: str, value: str) -> str | None:
    """Paths or names, joined by commas."""
    text = _read_text(key, value)
    return None if text is None else ",".join(_read_path(key, part.strip()) or "" for part in text.split(","))


# NAME: VALUE of `{adults: /data/chest xray (1), b: ~/x}`; a value goes on to the next `, NAME:`.
_NAME = r"""[^\s:,/{}'"][^:,/{}'"]*"""
_ENTRY = re.compile(rf"""\s*(?P<name>{_NAME}):\s*(?P<path>{_QUOTED.pattern}|.*?)\s*(?:,(?=\s*{_NAME}:)|$)""", re.DOTALL)


def _read_paths(key: str, value: str) -> dict[str, str | None]:
    """Paths by name: `{adults: /data/adults, b: ~/x}`."""
    inner = value.strip()
    problem = SettingsError(f"{key} takes names and folders. Received: {value!r}. Write {key}={{NAME: FOLDER}}.")
    if not (inner.startswith("{") and inner.endswith("}")):
        raise problem
    inner, place, paths = inner[1:-1].strip(), 0, {}
    while place < len(inner):
        entry = _ENTRY.match(inner, place)
        if entry is None or not entry["path"]:
            raise problem
        paths[entry["name"].rstrip()] = _read_path(key, entry["path"])
        place = entry.end()
    return paths


def _read_weights(key: str, value: str) -> str | dict[str, str | None] | None:
    """Weights for every backbone, or by backbone: `{mobilenetv2: /data/w (1).h5, vgg16: imagenet}`."""
    inner = value.strip()
    if inner.startswith("{") and inner.endswith("}") and _ENTRY.match(inner[1:-1]):
        return _read_paths(key, value)
    return _read_path(key, value)


def _read_plain(key: str, value: str) -> Any:
    """A number, a word, a list or a dictionary, in Hydra's grammar."""
    try:
        override = OverridesParser.create().parse_override(f"{key}={value}")
    except HydraException as error:
        raise SettingsError(
            f"{key} takes a number, a word, a list [a, b] or a dictionary {{name: value}}. Received: {value!r}. "
            "Text with other signs needs quotes inside the shell's."
        ) from error
    if override.is_sweep_override():
        raise SettingsError(
            f"A setting is given one value, key=value. Received: {f'{key}={value}'!r}. Choose one of them."
        )
    return override.value()


def _read_length(key: str, value: str) -> Any:
    """A number of epochs or images, or `auto`."""
    return AUTO if value == "auto" else _read_plain(key, value)


_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh])")


def _read_duration(key: str, value: str) -> float | None:
    """Seconds of a duration such as `30m`; `null` for none."""
    text = _read_text(key, value)
    if text is None:
        return None
    found = _DURATION.fullmatch(text.strip())
    if not found or not float(found[1]):
        raise SettingsError(
            f"{key} takes a duration, a number above 0 with its unit, s, m or h. Received: {value!r}. Write {key}=30m."
        )
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


_READERS: dict[str, Callable[[str, str], Any]] = {
    "text": _read_text,
    "path": _read_path,
    "runs": _read_runs,
    "length": _read_length,
    "duration": _read_duration,
    "paths": _read_paths,
    "weights": _read_weights,
    "plain": _read_plain,
}


def kinds(settings: Any = None, prefix: str = "") -> dict[str, str]:
    """The settings that are read in another way than Hydra's, each with its reader: as their fields' metadata say."""
    settings = Settings() if settings is None else settings
    found: dict[str, str] = {}
    for entry in fields(settings):
        inner = getattr(settings, entry.name)
        if is_dataclass(inner):
            found |= kinds(inner, f"{prefix}{entry.name}.")
        elif "reads" in entry.metadata:
            found[f"{prefix}{entry.name}"] = entry.metadata["reads"]
    return found
