"""The command: a run's views, or its winner in another tool's format.

`python -m search.export RUN` writes the views into the run's folder. `--to FORMAT FOLDER` writes a format elsewhere;
`--to mlflow URI` logs the run there.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from data_pipeline.identity import CACHE
from search.driver.command import exit_code, open_run
from search.export.convert import LITERT, ONNX, convert_winner
from search.export.croissant import write_croissant
from search.export.huggingface import write_huggingface
from search.export.mlflow import write_mlflow
from search.export.views import export_run
from search.plan.settings import SettingsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Export from the command line; returns the exit code."""
    given = _build_parser().parse_args(arguments)
    return exit_code(lambda: _export(given))


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m search.export",
        description="Writes a run's views (trials.jsonl, TensorBoard, Optuna) into its folder, or --to another format.",
    )
    parser.add_argument("words", metavar="RUN", nargs="*", help="a run's folder or URL")
    parser.add_argument(
        "--to",
        metavar=("FORMAT", "FOLDER"),
        nargs=2,
        help=f"write one of these formats into a folder instead: {', '.join(_writers(Path()))}; mlflow is followed by "
        "the address of its server",
    )
    parser.add_argument(
        "--cache",
        metavar="FOLDER",
        default=CACHE,
        help="where the validation images are, on which a converted model is compared (default: %(default)s)",
    )
    return parser


def _export(given: argparse.Namespace) -> int:
    if given.to is None:
        folder, _ = open_run("search.export", given.words)
        export_run(folder)
        print(f"Written to {folder.url}: trials.jsonl, tensorboard/, optuna.log")
        return 0
    name, target = given.to
    writers = _writers(Path(given.cache))
    if name not in writers:
        raise SettingsError(
            f"--to is followed by one of {', '.join(writers)} and a folder. Received: {name}. Choose one."
        )
    if len(given.words) != 1:
        raise SettingsError(
            f"--to exports one run. Received: {' '.join(given.words) or 'none'}. Use python -m search.export RUN "
            f"--to {name} FOLDER."
        )
    for line in writers[name](given.words[0], target):
        print(line)
    return 0


def _writers(cache: Path) -> Mapping[str, Callable[[str, str], list[str]]]:
    """What writes each format, from a run and where to; returns what was done, a line each."""
    folders: dict[str, Callable[[str, Path], list[str]]] = {
        "onnx": partial(convert_winner, ONNX, cache),
        "litert": partial(convert_winner, LITERT, cache),
        "huggingface": write_huggingface,
        "croissant": write_croissant,
    }
    return {**{name: partial(_into_folder, write) for name, write in folders.items()}, "mlflow": write_mlflow}


def _into_folder(write: Callable[[str, Path], list[str]], run: str, target: str) -> list[str]:
    Path(target).mkdir(parents=True, exist_ok=True)
    return write(run, Path(target))


if __name__ == "__main__":
    sys.exit(main())
