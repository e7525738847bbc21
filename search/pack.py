"""A run's records in one small file, without its weights: `python -m search.pack RUN FILE.zip`.

To publish, or to send to a colleague: tables and pages open the file as they open the folder
(`python -m analysis.report FILE.zip`). It cannot be resumed, evaluated again or exported: those need the weights. Where
files lie on the machine is nobody else's business: of each path only its last part is packed.
"""

import argparse
import io
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from search.record import PACKED, RecordError, RunFolder, error_words

_FILES = ("run.json", "config.yaml", "manifest.parquet", "bad_files.csv", "warm_start.json", "evaluation.jsonl")
_FOLDERS = (("log",), ("predictions",), ("winner",))
_PICTURES = ("winner", "gallery")  # of the winner's mistakes: often more than all else together
_WEIGHTS = ".keras"
_TEXTS = ("run.json", "config.yaml", "bad_files.csv", "warm_start.json")  # that may name paths
# An absolute path, or one in the home folder; no part of a URL.
_PATH = re.compile(r"""(?<![\w.:/~-])~?/(?:[^\s"',=/]+/)*([^\s"',/]+)""")
_TIME = (1980, 1, 1, 0, 0, 0)  # the same records make the same file, whenever they are packed


def packed(folder: RunFolder, pictures: bool = True) -> bytes:
    """The records of a run as a ZIP file.

    Args:
        folder: the run's.
        pictures: whether the X-rays that the winner mistook go with it.

    Raises:
        RecordError: the folder holds no run, or a link to a file elsewhere.
    """
    folder.read_run()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for parts in _members(folder, pictures):
            shown = without_paths(parts[-1], folder.read_own(*parts))
            file.writestr(zipfile.ZipInfo("/".join(parts), _TIME), shown, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def without_paths(name: str, content: bytes) -> bytes:
    """A file's content with the last part alone of each path of this machine.

    Args:
        name: of the file.
        content: of the file.
    """
    if name in _TEXTS:
        return _PATH.sub(r"\1", content.decode()).encode()
    if name != "manifest.parquet":
        return content
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    if "path" in table.column_names:
        table = table.set_column(table.column_names.index("path"), "path", table["image_id"])
    metadata = {key: _PATH.sub(r"\1", value.decode()) for key, value in (table.schema.metadata or {}).items()}
    table = table.replace_schema_metadata(metadata)
    written = io.BytesIO()
    pq.write_table(table, written)
    return written.getvalue()


def _members(folder: RunFolder, pictures: bool) -> Iterator[tuple[str, ...]]:
    yield from ((name,) for name in _FILES if folder.exists(name))
    for parts in (*_FOLDERS, _PICTURES) if pictures else _FOLDERS:
        files = (name for name in folder.names(*parts) if "." in name)  # folders have no suffix
        yield from ((*parts, name) for name in files if not name.endswith(_WEIGHTS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack a run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m search.pack", description="A run's records in one small file, without its weights."
    )
    parser.add_argument("run", metavar="RUN", help="a run's folder or URL")
    parser.add_argument("file", metavar=f"FILE{PACKED}", help="to be written")
    parser.add_argument("--no-pictures", action="store_true", help="leave out the X-rays that the winner mistook")
    given = parser.parse_args(arguments)
    if not given.file.endswith(PACKED):
        parser.error(f"A packed file's name ends in {PACKED}. Received: {given.file}. Add {PACKED}.")
    try:
        content = packed(RunFolder(given.run), pictures=not given.no_pictures)
        Path(given.file).write_bytes(content)
    except (RecordError, OSError) as error:
        print(f"Error: {error_words(error)}", file=sys.stderr)
        return 2
    print(f"{given.file}: {len(content) / 1e6:.1f} MB; python -m analysis.report {given.file} shows it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
