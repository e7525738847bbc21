"""Updates the tables of a Markdown file from their runs: `python -m analysis.fill FILE.md`.

A table stands between two comments. The first is the command that makes it; its paths start at the file's folder:

```
<!-- python -m analysis.tables report2.zip --table report2 --columns row,test_accuracy,test_accuracy_measured -->
<!-- end -->
```

The text between them is replaced; all other text stays. `--check` writes nothing, and fails where a table is out of
date.
"""

import argparse
import contextlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from analysis.command import CommandError, exit_code
from analysis.load import Run, load
from analysis.tables.command import printed
from search.record import counted

_PLACE = re.compile(r"(<!-- python -m analysis\.tables (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, make: Callable[[Sequence[str]], str]) -> str:
    """The text with every table updated.

    Args:
        text: Markdown.
        make: from the arguments of a command to its table.
    """
    return _PLACE.sub(lambda found: f"{found[1]}\n{make(shlex.split(found[2]))}\n{found[3]}", text)


def fill_file(path: Path, check: bool = False, read: Callable[[str], Run] = load) -> bool:
    """Update the tables of a file; returns whether that changes it.

    Args:
        path: of a Markdown file.
        check: do not write the file.
        read: gives the run at a path, as `load` does.

    Raises:
        CommandError, RecordError, OSError: a table cannot be made.
    """
    before = path.read_text("utf-8")
    with contextlib.chdir(path.parent):
        after = filled(before, partial(printed, read=read))
    if after != before and not check:
        path.write_text(after, "utf-8")
    return after != before


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill files from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.fill", description="Update the tables of Markdown files from their runs."
    )
    parser.add_argument("files", nargs="+", metavar="FILE.md", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a table is not up to date")
    given = parser.parse_args(arguments)
    return exit_code(lambda: _fill(given.files, given.check))


def _fill(files: Sequence[Path], check: bool) -> None:
    kept = cache(load)  # tables and files share runs

    def read(path: str) -> Run:
        return kept(os.path.abspath(path) if os.path.exists(path) else path)

    changed = [str(path) for path in files if fill_file(path, check, read)]
    if check and changed:
        raise CommandError(
            f"Tables must be up to date. Received: old ones in {', '.join(changed)}. "
            f"Run python -m analysis.fill {' '.join(changed)}"
        )
    print(f"{counted(len(files), 'file')}, {len(changed)} changed")


if __name__ == "__main__":
    sys.exit(main())
