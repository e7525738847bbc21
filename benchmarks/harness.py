"""The command of every benchmark: options in, a stored result and the page of all results out.

A benchmark is a module with `measure(options, machine) -> Measurement`, which stores nothing, and this main:

    if __name__ == "__main__":
        harness.main(measure, __doc__)

At its end it writes `docs/benchmarks/NAME.json`, and rewrites `docs/benchmarks.md` and `docs/benchmarks.json` from all
such files, so that a long `make bench` can be interrupted and resumed. A quick run (`--quick`) shows that a
benchmark works; its figures mean nothing and go to `build/quick/` instead.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.checkout import ROOT, code_commit, package_versions
from benchmarks.machine import measure_machine
from benchmarks.measurement import Machine, Measurement, Options
from benchmarks.page import section, write_page
from benchmarks.record import BenchmarkRecord, Circumstances, write_record


def main(
    measure: Callable[[Options, Machine], Measurement],
    description: str | None,
    repeats: int = 3,
    data: Callable[[Options], str] = lambda options: describe_data(options.root),
) -> None:
    """Measure from the command line, store the result and rewrite the page.

    Args:
        measure: the benchmark.
        description: the module's docstring, shown as help.
        repeats: the default of `--repeats`.
        data: what was measured on, in words.
    """
    module = Path(sys.modules[measure.__module__].__file__ or "")
    name = module.parent.name if module.stem == "__main__" else module.stem  # of a package, or of a module
    options = parse_options(sys.argv[1:], description, repeats)
    started = time.time()
    machine = measure_machine()
    measurement = measure(options, machine)
    circumstances = Circumstances(
        machine=machine,
        versions=package_versions(),
        commit=code_commit(),
        command=command_line(name, options, repeats),
        data=data(options),
        repeats=options.repeats,
        quick=options.quick,
        finished=time.time(),
        seconds=time.time() - started,
    )
    record = BenchmarkRecord(name, measurement, circumstances)
    docs = output_folder(options)
    write_record(record, docs)
    write_page(docs)
    print(section(record))


def parse_options(words: Sequence[str], description: str | None, repeats: int = 3) -> Options:
    """The options of a command line; `--quick` means one repeat unless `--repeats` is given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of images (default: the bundled sample)")
    parser.add_argument("--weights", default="imagenet", help="imagenet | FILE | none (default: imagenet)")
    parser.add_argument("--repeats", type=int, help=f"default: {repeats}")
    parser.add_argument("--quick", action="store_true", help="smallest sizes; the figures mean nothing")
    parser.add_argument("--outside", help="folder of an outside test set, where one is scored (default: none)")
    given = parser.parse_args(words)
    if given.repeats is not None and given.repeats < 1:
        parser.error(f"--repeats must be at least 1. Received: {given.repeats}. Try --repeats 3.")
    times = given.repeats or (1 if given.quick else repeats)
    return Options(given.root, given.weights, times, given.quick, given.outside)


def command_line(name: str, options: Options, repeats: int) -> str:
    """The command that repeats the measurement, with placeholders for its folders."""
    words = [f"python -m benchmarks.{name}"]
    words += ["--root FOLDER"] if options.root else []
    words += ["--outside OUTSIDE"] if options.outside else []
    if options.weights != "imagenet":
        words += ["--weights none" if options.weights == "none" else "--weights FILE"]
    words += ["--quick"] if options.quick else []
    words += [f"--repeats {options.repeats}"] if options.repeats != (1 if options.quick else repeats) else []
    return " ".join(words)


def output_folder(options: Options) -> Path:
    """The folder of results: `docs/`, or for a quick run `build/quick/`, so that no quick figure is ever published."""
    return ROOT / "build" / "quick" if options.quick else ROOT / "docs"


def picture_path(options: Options, file: str) -> Path:
    """The file of a benchmark's picture; its folder is made if necessary."""
    path = output_folder(options) / "benchmarks" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def repeated(
    name: str, options: Options, once: Callable[[int], Mapping[str, Any]], folder: Path | None = None
) -> list[dict[str, Any]]:
    """The result of each repeat of a long benchmark; those that this commit has measured already are read.

    Args:
        name: of the benchmark.
        options: of the command line; other images or weights are other repeats.
        once: measures the repeat of a number; what it returns must be JSON.
        folder: where repeats are kept, `build/repeats` unless given.
    """
    commit = code_commit()
    given = hashlib.sha256(f"{describe_data(options.root)} {options.weights} {options.quick}".encode()).hexdigest()[:12]
    place = (folder or ROOT / "build" / "repeats") / f"{name}-{commit}-{given}"
    is_known = bool(commit) and not commit.endswith("-dirty")
    found = []
    for number in range(options.repeats):
        path = place / f"{number}.json"
        if not (is_known and path.is_file()):
            place.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(once(number)))
            partial.replace(path)
        found.append(json.loads(path.read_text()))
    return found


def describe_data(root: str | None) -> str:
    """The data set in words: how many images, and the fingerprint of their files and labels."""
    from data_pipeline.dataset import list_dataset
    from data_pipeline.settings import DataSettings

    manifest = list_dataset(DataSettings(root=root))
    which = "the bundled sample: figures for the full set will differ" if root is None else "--root FOLDER"
    return f"{len(manifest.rows):,} images ({which}), fingerprint {manifest.fingerprint[:12]}"


def data_fingerprint(root: str | None) -> str:
    """The beginning of the data set's fingerprint: names folders of searches that are kept."""
    from data_pipeline.dataset import list_dataset
    from data_pipeline.settings import DataSettings

    return list_dataset(DataSettings(root=root)).fingerprint[:12]
