"""A winner's answers about new images: `python -m search.predict RUN FILES_OR_FOLDERS`.

The images may have any format that training reads, DICOM too, and become arrays exactly as in training. The table has
the probability of each class, the decision and warnings; a file that cannot be read is a row with its reason.
"""

import argparse
import csv
import io
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.folders import walk_files
from data_pipeline.identity import CACHE
from data_pipeline.image_file import printable
from data_pipeline.limits import cpu_count
from data_pipeline.manifest import BadFile
from search.driver.command import exit_code
from search.driver.environment import recorded_onednn, set_onednn
from search.driver.screen import chatter_to, image_progress
from search.evaluate.answers import JOINT, Answer, Predictor
from search.evaluate.explain import EXPLAINED, Explainer
from search.evaluate.exported import ExportedWinner, open_winner
from search.evaluate.signature import Signature
from search.evaluate.similar import open_training_images
from search.evaluate.winner import best_member
from search.plan.settings import SettingsError
from search.record import FindingCalibration, counted
from search.trial.process import prepare_process

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_MOST_ROWS = 100  # on the screen


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer from the command line; returns the exit code, 1 if no file could be read."""
    given = _build_parser().parse_args(arguments)
    return exit_code(lambda: _predict(given))


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m search.predict",
        description="Answers about new images by a run's winner: probabilities, a decision and warnings for each file.",
    )
    parser.add_argument("winner", metavar="RUN_OR_MODEL", help="a run's folder or URL, or a copy of its winner/ folder")
    parser.add_argument("paths", metavar="FILE_OR_FOLDER", nargs="+", help="images, DICOM too, and folders of them")
    parser.add_argument("--out", metavar="FILE.csv", help="write the table, a row a file")
    parser.add_argument(
        "--explain",
        metavar="FOLDER",
        help="write each image as the model saw it, Grad-CAM over it, and explained.json, which names the pictures",
    )
    parser.add_argument(
        "--finding",
        metavar="NAME",
        help="with --explain, of a winner that predicts several findings: the one that Grad-CAM is of (default: the "
        "most probable one of those called present)",
    )
    parser.add_argument(
        "--similar",
        metavar="N",
        type=int,
        default=0,
        help="with --explain: also so many of the most similar training images of a run, where the cache holds them",
    )
    parser.add_argument("--cache", metavar="FOLDER", default=CACHE, help="with --similar (default: %(default)s)")
    parser.add_argument(
        "--prevalence",
        metavar="SHARE",
        help="of the positive class among your images, such as 0.02, or of several classes each one's share, such as "
        "0.9,0.08,0.02: the probabilities are re-weighted to it",
    )
    return parser


def _predict(given: argparse.Namespace) -> int:
    winner = open_winner(given.winner)
    signature = winner.signature
    finding = "" if given.finding is None else read_finding(given.finding, signature)
    if signature.is_multilabel and given.prevalence is not None:
        raise SettingsError(
            "--prevalence is for winners that give an image one class. Received: --prevalence with a winner that tells "
            "several findings. Leave it out."
        )
    shares = None if given.prevalence is None else read_shares(given.prevalence, signature.classes, signature.shares)
    files = list_files(given.paths)
    if given.out and not _can_be_written(Path(given.out).absolute()):
        raise SettingsError(
            f"--out names a file in a folder that exists and can be written. Received: {given.out}. Make the folder or "
            "name another file."
        )
    with tempfile.TemporaryDirectory() as scratch, chatter_to(Path(scratch, "predict.log")) as console:
        predictor = _load(winner, shares, console)
        explainer = _open_explainer(given, winner, predictor, finding) if given.explain else None
        answers = list(_answers(predictor, files, explainer, console))
        for line in describe(winner, shares):
            console.print(line, markup=False, soft_wrap=True)
        shown = answers[:_MOST_ROWS]
        make_table = findings_answer_table if signature.is_multilabel else answer_table
        console.print(make_table(shown, signature.classes, _shared_folder(files)))
        for line in summary(answers):
            console.print(line, markup=False, soft_wrap=True)
        if given.out:
            Path(given.out).write_text(to_csv(answers, signature.classes), encoding="utf-8")
            console.print(f"Table      {given.out}", markup=False, soft_wrap=True)
        if explainer is not None:
            explainer.close()
            console.print(f"Pictures   {given.explain}, {EXPLAINED}", markup=False, soft_wrap=True)
    return 0 if any(answer.probabilities for answer in answers) else 1


def _can_be_written(file: Path) -> bool:
    """Whether a file can be written there, as far as can be known before; answers that cannot be kept cost time."""
    return os.access(file if file.exists() else file.parent, os.W_OK) and file.parent.is_dir() and not file.is_dir()


def read_finding(name: str, signature: Signature) -> str:
    """The finding that `--finding` names, whatever its case.

    Raises:
        SettingsError: the winner predicts no such finding.
    """
    findings = signature.classes if signature.is_multilabel else ()
    for finding in findings:
        if finding.casefold() == name.casefold():
            return finding
    has = f"which predicts {', '.join(findings)}. Choose one." if findings else "which gives an image one class."
    raise SettingsError(f"--finding names one of several findings of a winner. Received: {name} with one {has}")


def read_shares(text: str, classes: Sequence[str], held: Sequence[float]) -> tuple[float, ...]:
    """The class shares that `--prevalence` states.

    Args:
        text: one number for two classes, the share of the second; or a number for each class, with commas.
        classes: K names.
        held: the shares at which the model's probabilities hold; empty where they are not known.

    Raises:
        SettingsError: the text says something else, or the model's probabilities hold at no known shares.
    """
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) == 1 and len(classes) == 2:
        shares = (1 - shares[0], shares[0])
    if len(shares) != len(classes) or not all(0 < share < 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        wanted = f"the share of {classes[1]}, between 0 and 1" if len(classes) == 2 else "a share of each class"
        example = "0.02" if len(classes) == 2 else ",".join([f"{1 / len(classes):.2f}"] * len(classes))
        raise SettingsError(
            f"--prevalence is {wanted}; all shares add up to 1. Received: {text}. The classes are "
            f"{', '.join(classes)}: write for example --prevalence {example}."
        )
    if not held:
        raise SettingsError(
            "Probabilities are re-weighted from the class shares at which they hold, which this winner does not know: "
            f"its members weigh the classes differently. Received: --prevalence {text}. Leave it out."
        )
    return shares


def list_files(paths: Sequence[str]) -> list[str]:
    """The files that are named, and those in the folders that are named and below them, a folder's in order.

    Raises:
        SettingsError: the folders hold no file.
    """
    found = [file for path in paths for file in (_below(path) if os.path.isdir(path) else [path])]
    if not found:
        raise SettingsError(
            f"There is at least one file to answer about. Received: {', '.join(paths)}, which hold none. Name others."
        )
    return found


def _below(folder: str) -> list[str]:
    """The files in a folder and below it, and folders that cannot be read, which are rows too."""
    return sorted(found.path if isinstance(found, BadFile) else found for found in walk_files(Path(folder)))


def _load(winner: ExportedWinner, shares: Sequence[float] | None, console: "Console") -> Predictor:
    set_onednn(None if winner.run is None else recorded_onednn(winner.run.environment))
    with console.status("Loading the model"):
        prepare_process(cpu_count())
        return Predictor(winner.load_model(), winner.signature, winner.point, shares, winner.finding_points)


def _open_explainer(given: argparse.Namespace, winner: ExportedWinner, predictor: Predictor, finding: str) -> Explainer:
    folder, signature = Path(given.explain), winner.signature
    folder.mkdir(parents=True, exist_ok=True)
    training = None
    if given.similar > 0 and winner.run is not None:
        training = open_training_images(winner.folder, signature.training_images, Path(given.cache).expanduser())
    shares = predictor.shares or signature.shares
    member = best_member(predictor.model)
    points = winner.finding_points if signature.is_multilabel else ()
    about = signature.classes, shares, winner.point, training, given.similar
    return Explainer(folder, member, *about, points, finding)


def _answers(
    predictor: Predictor, files: Sequence[str], explainer: Explainer | None, console: "Console"
) -> Iterator[Answer]:
    """The answers, with a progress bar while they come."""
    with image_progress(console, "Predicting") as progress:
        for done, answered in enumerate(predictor.answers(files), start=1):
            if explainer is not None:
                explainer.explain(answered)
            yield answered.answer
            progress(done, len(files))


def describe(winner: ExportedWinner, shares: Sequence[float] | None) -> Iterator[str]:
    """What the numbers of the table mean: at which class shares they hold, and where the decision changes."""
    signature = winner.signature
    classes = signature.classes
    if shares is not None:
        words = ", ".join(f"{name} {100 * share:g} %" for name, share in zip(classes, shares, strict=True))
        yield f"Probabilities are re-weighted to {words}; the decision is the model's own, whatever the shares."
    elif len(set(signature.shares)) == 1:
        yield (
            "Probabilities hold where every class is equally frequent; --prevalence re-weights them to the share that "
            "a class has among your images."
        )
    elif signature.shares:
        words = ", ".join(f"{name} {100 * share:.0f} %" for name, share in zip(classes, signature.shares, strict=True))
        yield f"Probabilities hold at the class shares of the training images ({words}); --prevalence re-weights them."
    if signature.is_multilabel:
        yield "Each finding has a probability by itself, and is called present at its threshold:"
        calibrations = winner.finding_calibrations or (FindingCalibration(),) * len(classes)
        for name, point, calibration in zip(classes, winner.finding_points, calibrations, strict=True):
            yield f"  {name}: {point.finding_words}; {'' if calibration.changes else 'not '}calibrated"
    elif len(classes) == 2:
        yield f"Decision between {classes[0]} and {classes[1]}: {winner.point.words}."
    if signature.typical is None:
        yield (
            "Whether an image is like the training images is not known of this winner; python -m search.evaluate RUN "
            "finds it out."
        )


def answer_table(answers: Sequence[Answer], classes: Sequence[str], folder: str = "") -> "Table":
    """The answers, a row a file: for a file that could not be read, the reason alone.

    Args:
        answers: a row each.
        classes: K names.
        folder: that all files are in, which is shown once; empty where there is none.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"Files in {printable(folder)}") if folder else None, title_justify="left")
    table.add_column("file", overflow="fold")
    for name in classes:
        table.add_column(name, justify="right")
    table.add_column("decision")
    table.add_column("warnings")
    for answer in answers:
        numbers = [f"{p:.3f}" for p in answer.probabilities] or [""] * len(classes)
        remarks = Text("; ".join(answer.warnings)) if not answer.reason else Text(answer.reason, style="red")
        file = os.path.relpath(answer.file, folder) if folder else answer.file
        table.add_row(Text(printable(file)), *numbers, Text(answer.decision or "not read"), remarks)
    return table


def findings_answer_table(answers: Sequence[Answer], findings: Sequence[str], folder: str = "") -> "Table":
    """The answers of several findings an image: those that are called present, each with its probability.

    Args:
        answers: a row each.
        findings: K names.
        folder: as in `answer_table`.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"Files in {printable(folder)}") if folder else None, title_justify="left")
    for name in ("file", "called present, with the probability", "warnings"):
        table.add_column(name, overflow="fold")
    for answer in answers:
        present = answer.decision.split(JOINT)
        named = zip(findings, answer.probabilities, strict=False)  # none where the file could not be read
        called = ", ".join(f"{name} {p:.3f}" for name, p in named if name in present)
        remarks = Text("; ".join(answer.warnings)) if not answer.reason else Text(answer.reason, style="red")
        file = os.path.relpath(answer.file, folder) if folder else answer.file
        table.add_row(Text(printable(file)), Text(called or answer.decision or "not read"), remarks)
    return table


def _shared_folder(files: Sequence[str]) -> str:
    """The folder that all files are in; empty where that is no folder but the top."""
    folders = {os.path.isabs(file) for file in files}
    shared = os.path.commonpath([os.path.dirname(file) for file in files]) if len(folders) == 1 else ""
    return "" if shared == os.sep else shared


def summary(answers: Sequence[Answer]) -> Iterator[str]:
    """How many files there are of each decision or finding, with a warning, and that could not be read."""
    if len(answers) > _MOST_ROWS:
        yield f"The first {_MOST_ROWS} of {len(answers):,} files are shown; --out FILE.csv has all."
    counts = Counter(part for answer in answers if answer.decision for part in answer.decision.split(JOINT))
    parts = [f"{name} {count:,}" for name, count in counts.most_common()]
    parts += [f"with warnings {sum(bool(answer.warnings) for answer in answers):,}"]
    parts += [f"not read {sum(bool(answer.reason) for answer in answers):,}"]
    yield f"{counted(len(answers), 'file')}: {', '.join(parts)}."


def to_csv(answers: Sequence[Answer], classes: Sequence[str]) -> str:
    """The answers as CSV, with the columns file, p_<class> of each class, decision, unlike, warnings and reason."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["file", *(f"p_{name}" for name in classes), "decision", "unlike", "warnings", "reason"])
    for answer in answers:
        numbers = [f"{p:.6f}" for p in answer.probabilities] or [""] * len(classes)
        unlike = "" if answer.unlike is None else f"{answer.unlike:.3f}"
        remarks = "; ".join(answer.warnings), answer.reason
        writer.writerow([printable(answer.file), *numbers, answer.decision, unlike, *remarks])
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
