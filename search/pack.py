"""A run's records in one small file, without its weights: `python -m search.pack RUN FILE.zip`.

To publish, or to send to a colleague: tables and pages open the file as they open the folder
(`python -m analysis.report FILE.zip`). It cannot be resumed, evaluated again or exported: those need the weights.
"""

import io
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from search.record import PACKED, RecordError, RunFolder

_FILES = ("run.json", "config.yaml", "manifest.parquet", "bad_files.csv", "evaluation.jsonl")
_FOLDERS = (("log",), ("predictions",), ("winner",), ("winner", "gallery"))
_WEIGHTS = ".keras"
_TIME = (1980, 1, 1, 0, 0, 0)  # the same records make the same file, whenever they are packed


def packed(folder: RunFolder) -> bytes:
    """The records of a run as a ZIP file.

    Raises:
        RecordError: the folder holds no run.
    """
    folder.read_run()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for parts in _members(folder):
            file.writestr(zipfile.ZipInfo("/".join(parts), _TIME), folder.read(*parts), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def _members(folder: RunFolder) -> Iterator[tuple[str, ...]]:
    yield from ((name,) for name in _FILES if folder.exists(name))
    for parts in _FOLDERS:
        files = (name for name in folder.names(*parts) if "." in name)  # folders have no suffix
        yield from ((*parts, name) for name in files if not name.endswith(_WEIGHTS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack a run from the command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if len(words) != 2 or not words[1].endswith(PACKED):
        print("Give a run's folder and the file to write: python -m search.pack runs/NAME NAME.zip", file=sys.stderr)
        return 2
    try:
        content = packed(RunFolder(words[0]))
        Path(words[1]).write_bytes(content)
    except (RecordError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{words[1]}: {len(content) / 1e6:.1f} MB; python -m analysis.report {words[1]} shows it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
