"""All benchmarks, one after the other: `python -m benchmarks [--root FOLDER] [--weights FILE] [--again]`.

Each runs in a process of its own. A benchmark with a stored result of this commit is skipped, so that an interrupted
session resumes where it stopped; `--again` measures it again.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks import harness
from benchmarks.checkout import code_commit
from benchmarks.measurement import Options
from benchmarks.record import read_record

# Short ones first: an interrupted session then has the most results.
BENCHMARKS = (
    "confirm",
    "data_memory",
    "prepare",
    "dicom",
    "predict",
    "data_feed",
    "engine",
    "driver_overhead",
    "scale",
    "growth",
    "large_data",
    "replays",
    "asha_tpe",
    "first_rung",
    "image_sizes",
    "image_changes",
    "image_changes_test",
    "seen_outside",
    "joint_search",
    "cnn_trials",
    "vgg_heads",
    "race",
)


def is_measured(name: str, docs: Path, commit: str) -> bool:
    """Whether a result of this commit is stored; never with uncommitted changes, which results do not identify."""
    path = docs / "benchmarks" / f"{name}.json"
    if not commit or commit.endswith("-dirty") or not path.is_file():
        return False
    return read_record(path).circumstances.commit == commit


def main() -> int:
    """Run the benchmarks that are not measured yet; returns the number that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--again", action="store_true", help="also benchmarks that are measured already")
    parser.add_argument("--quick", action="store_true", help="smallest sizes; the figures mean nothing")
    given, words = parser.parse_known_args()
    words += ["--quick"] if given.quick else []
    docs, commit = harness.output_folder(Options(quick=given.quick)), code_commit()
    failed = []
    for name in BENCHMARKS:
        if not given.again and is_measured(name, docs, commit):
            print(f"{name}: measured at {commit} already", flush=True)
            continue
        print(f"{name}: python -m benchmarks.{name} {' '.join(words)}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *words], check=False).returncode:
            failed.append(name)
    print(f"Results: {docs / 'benchmarks.md'}")
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
