"""Checks on this machine what the README and docs say of GPUs: `make gpu-check`, less than ten minutes.

Searches run by the product's own command on the bundled sample, on the first GPU that is visible. The results go to
`build/gpu-check/`: a small JSON and a page, without the host's and the user's name, to be sent to the project.
Without a GPU one is pretended: the same steps run on the CPU and show that the logic works, and nothing of a GPU.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.checkout import ROOT
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.card import Card, find_card
from benchmarks.gpu.check import Check, Facts, Report, to_json
from benchmarks.gpu.checks import QUESTIONS, run_check
from benchmarks.gpu.page import page_html
from benchmarks.gpu.probe import Sight

PRETENDED = "No GPU here: one is pretended. This shows that the logic works, and nothing of a GPU."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and write their report; returns 1 where a claim does not hold, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9, help="after these the checks end (default: 9)")
    minutes = parser.parse_args(arguments).minutes
    use_one_gpu()
    card = find_card()
    print(f"GPU: {card.name}" if card else PRETENDED, flush=True)
    started = time.time()
    with tempfile.TemporaryDirectory(prefix="xray-gpu-") as folder:
        bench = Bench(Path(folder), card, 60 * minutes)
        checks = run_checks(bench)
        facts = find_facts(card, _sight(bench))
    report = Report(card is None, facts, checks, time.time(), time.time() - started)
    paths = write_report(report, ROOT / "build" / "gpu-check")
    print(f"{report.summary}.", *(f"{path}" for path in paths), sep="\n")
    print(PRETENDED if card is None else "Please send both files, in an issue.")
    return 1 if report.failed else 0


def use_one_gpu() -> None:
    """Leave this process and its children the first of the GPUs that are visible; the driver's order is CUDA's."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUDA_VISIBLE_DEVICES"] = "0" if visible is None else visible.split(",")[0]


def run_checks(bench: Bench) -> tuple[Check, ...]:
    """All checks in turn, each printed as it ends, while there is time."""
    checks = []
    for question in QUESTIONS:
        print(f"{question.name} ...", flush=True)
        check = run_check(question, bench)
        print(f"  {check.outcome}: {check.result}", flush=True)
        checks.append(check)
    return tuple(checks)


def find_facts(card: Card | None, sight: Sight) -> Facts:
    """The facts of this machine, its GPU and its software."""
    from search.driver.environment import describe_environment

    environment = describe_environment()
    return Facts(
        gpu=card.name if card else "",
        gpu_memory_mb=card.gpu.memory_mb if card else 0.0,
        capability=".".join(map(str, card.gpu.capability)) if card else "",
        driver=card.driver if card else "",
        cuda=sight.cuda,
        cudnn=sight.cudnn,
        processor=environment["processor"],
        cpus=len(os.sched_getaffinity(0)),
        memory_gib=environment["memory_gib"],
        platform=environment["platform"],
        python=environment["python"],
        packages=environment["packages"],
        commit=environment["commit"],
    )


def _sight(bench: Bench) -> Sight:
    try:
        return bench.sight
    except Exception:  # as its check says; the report is written all the same
        return Sight()


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write the JSON and the page of a report; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "gpu-check.json", folder / "gpu-check.html"
    for path, text in zip(paths, (to_json(report), page_html(report)), strict=True):
        path.write_text(text)
    return paths


if __name__ == "__main__":
    sys.exit(main())
