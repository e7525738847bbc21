"""The command that answers about new images."""

import csv
import json
import shutil
import warnings
from pathlib import Path

import pytest

from data_pipeline.dataset import Dataset
from models.cnn import CnnConfig
from models.registry import Findings, build_model
from search import predict
from search.evaluate.answers import Answer
from search.evaluate.exported import MODEL, RECORD
from search.evaluate.signature import SIGNATURE, make_signature
from search.plan.settings import SettingsError
from search.predict import answer_table, list_files, read_shares, summary, to_csv
from search.record import RunFolder
from tests.data_pipeline.conftest import NORMAL
from tests.data_pipeline.dicom_files import make_dataset, sample_pixels, save
from tests.exported_run import DATA

CLASSES = ("normal", "pneumonia")


@pytest.fixture(autouse=True)
def process_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's threads can be set once in a process, which other tests have done."""
    monkeypatch.setattr(predict, "prepare_process", lambda threads: None)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with a JPEG, a lateral DICOM image below it, a text and a broken file."""
    folder = tmp_path / "images"
    tags = {"ViewPosition": "LL", "WindowCenter": 2048, "WindowWidth": 4096}
    save(make_dataset(sample_pixels(), **tags), folder / "archive" / "lateral.dcm")
    shutil.copyfile(NORMAL[0], folder / "a.jpeg")
    (folder / "notes.txt").write_text("no image")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return folder


def test_every_file_of_a_folder_is_a_row(
    exported_run: RunFolder, images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, pictures = tmp_path / "answers.csv", tmp_path / "pictures"
    assert predict.main([exported_run.url, str(images), "--out", str(out), "--explain", str(pictures)]) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [Path(row["file"]).name for row in rows] == ["a.jpeg", "lateral.dcm", "broken.png", "notes.txt"]
    for row in rows:
        if row["reason"]:
            assert (row["p_normal"], row["p_pneumonia"], row["decision"]) == ("", "", "")
        else:
            assert float(row["p_normal"]) + float(row["p_pneumonia"]) == pytest.approx(1, abs=1e-5)
            assert row["decision"] in CLASSES
    assert [bool(row["reason"]) for row in rows] == [False, False, True, True]
    assert "the view lateral is not frontal" in rows[1]["warnings"]
    files = json.loads((pictures / "explained.json").read_text())["files"]
    assert [bool(each["cam"]) for each in files] == [True, True, False, False]
    shown = capfd.readouterr().out
    assert "Probabilities hold where every class is equally frequent" in shown
    assert "4 files: " in shown
    assert "not read 2." in shown


def test_a_prevalence_re_weights(exported_run: RunFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tables = []
    for name, words in (("plain.csv", []), ("rare.csv", ["--prevalence", "0.02"])):
        assert predict.main([exported_run.url, str(NORMAL[0]), "--out", str(tmp_path / name), *words]) == 0
        tables.append(next(csv.DictReader((tmp_path / name).read_text().splitlines())))
    plain, rare = (float(row["p_pneumonia"]) for row in tables)
    assert rare == pytest.approx(plain * 0.02 / (plain * 0.02 + (1 - plain) * 0.98), abs=1e-5)
    assert "re-weighted to normal 98 %, pneumonia 2 %" in capfd.readouterr().out


def test_only_files_that_cannot_be_read_are_a_failure(exported_run: RunFolder, images: Path) -> None:
    words = [str(images / name) for name in ("notes.txt", "broken.png", "no such file")]
    assert predict.main([exported_run.url, *words]) == 1
    assert predict.main([exported_run.url, *words, str(images / "a.jpeg")]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "x.png"], "Received: nowhere, which has none."),
        (["RUN", "EMPTY"], "which hold none"),
        (["RUN", "IMAGE", "--prevalence", "2"], "--prevalence is the share of pneumonia"),
        (["RUN", "IMAGE", "--out", "no/such/folder.csv"], "--out names a file in a folder that exists"),
        (["RUN", "IMAGE", "--out", "EMPTY"], "--out names a file in a folder that exists"),
    ],
)
def test_a_mistake_is_one_message(
    words: list[str], message: str, exported_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"RUN": exported_run.url, "EMPTY": str(tmp_path), "IMAGE": str(NORMAL[0])}
    assert predict.main([places.get(word, word) for word in words]) == 2
    assert message in capsys.readouterr().err


def test_shares_are_read_for_two_classes_and_for_more() -> None:
    assert read_shares("0.02", CLASSES, (0.5, 0.5)) == (0.98, 0.02)
    assert read_shares("0.7,0.3", CLASSES, (0.5, 0.5)) == (0.7, 0.3)
    assert read_shares("0.9,0.06,0.04", ("a", "b", "c"), (1 / 3,) * 3) == (0.9, 0.06, 0.04)


@pytest.mark.parametrize("text", ["", "0", "1", "x", "nan", "0.5,0.6", "0.2,0.3,0.5"])
def test_what_are_no_shares_of_two_classes_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"write for example --prevalence 0\.02"):
        read_shares(text, CLASSES, (0.5, 0.5))


def test_probabilities_of_no_known_shares_are_not_re_weighted() -> None:
    with pytest.raises(SettingsError, match=r"its members weigh the classes differently"):
        read_shares("0.02", CLASSES, ())


def test_files_are_listed_in_the_order_of_the_words(images: Path) -> None:
    words = [str(NORMAL[1]), str(images)]
    assert [Path(file).name for file in list_files(words)] == [
        NORMAL[1].name, "a.jpeg", "lateral.dcm", "broken.png", "notes.txt"
    ]  # fmt: skip


def test_a_long_table_is_cut_on_the_screen_and_whole_in_the_file() -> None:
    answers = [Answer(f"/x/{n}.png", (0.4, 0.6), "pneumonia") for n in range(150)]
    lines = list(summary(answers))
    assert lines == [
        "The first 100 of 150 files are shown; --out FILE.csv has all.",
        "150 files: pneumonia 150, with warnings 0, not read 0.",
    ]
    assert len(to_csv(answers, CLASSES).splitlines()) == 151


def test_markup_in_a_name_stays_text() -> None:
    from rich.console import Console

    console = Console(width=100, record=True)
    console.print(answer_table([Answer("/x/[red]a[/red].png", reason="[bold]empty")], CLASSES, "/x"))
    shown = console.export_text()
    assert "[red]a[/red].png" in shown
    assert "[bold]empty" in shown


@pytest.fixture(scope="module")
def findings_run(tmp_path_factory: pytest.TempPathFactory, findings_dataset: Dataset) -> RunFolder:
    """A folder with the files of a winner that tells three findings, untrained: the second is never called present."""
    folder = RunFolder(str(tmp_path_factory.mktemp("findings") / "winner"))
    path = Path(folder.url, MODEL)
    path.parent.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras copies its arrays as NumPy 1 did
        build_model(CnnConfig(filters=2), DATA.image.shape, Findings(3)).save(path)
    folder.write(make_signature(findings_dataset, DATA, ()).to_json().encode(), SIGNATURE)
    points = [{"name": "any", "threshold": threshold, "chosen_on": "validation"} for threshold in (0.0, 1.1, 0.0)]
    calibrations = [{"slope": slope, "bias": 0.0, "held_out_losses": []} for slope in (1.0, 1.0, 0.5)]
    record = {"finding_points": points, "finding_calibrations": calibrations}
    folder.write(json.dumps(record).encode(), RECORD)
    return folder


def test_several_findings_are_told_of_an_image(
    findings_run: RunFolder, images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "answers.csv"
    assert predict.main([findings_run.url, str(images), "--out", str(out)]) == 0
    first, *_, last = csv.DictReader(out.read_text().splitlines())
    assert first["decision"] == "pneumonia|dark"
    assert all(0 < float(first[f"p_{name}"]) < 1 for name in ("pneumonia", "rare", "dark"))
    assert (last["p_dark"], last["decision"]) == ("", "")
    shown = capfd.readouterr().out
    assert "rare: positive at 1.1 or above (any on validation); not calibrated" in shown
    assert "dark: positive at 0 or above (any on validation); calibrated" in shown
    assert "4 files: pneumonia 2, dark 2, with warnings" in shown
    assert f"dark {float(first['p_dark']):.3f}" in shown


@pytest.mark.parametrize(("words", "cam_of"), [([], ""), (["--finding", "RARE"], "rare")])
def test_one_of_several_findings_is_explained(
    findings_run: RunFolder, images: Path, tmp_path: Path, words: list[str], cam_of: str
) -> None:
    assert predict.main([findings_run.url, str(images), "--explain", str(tmp_path / "x"), *words]) == 0
    content = json.loads((tmp_path / "x" / "explained.json").read_text())
    assert [point["threshold"] for point in content["finding_points"]] == [0.0, 1.1, 0.0]
    read = [each for each in content["files"] if each["cam"]]
    assert len(read) == 2
    for each in read:
        p = dict(zip(("pneumonia", "rare", "dark"), each["answer"]["probabilities"], strict=True))
        assert each["cam_of"] == (cam_of or max(("pneumonia", "dark"), key=p.__getitem__))  # rare is not called present


def test_what_a_winner_cannot_be_asked_is_refused(
    findings_run: RunFolder, exported_run: RunFolder, images: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for run, option, message in (
        (findings_run, ["--prevalence", "0.1"], "--prevalence is for winners that give an image one class"),
        (findings_run, ["--finding", "mass"], "Received: mass with one which predicts pneumonia, rare, dark"),
        (exported_run, ["--finding", "mass"], "Received: mass with one which gives an image one class"),
    ):
        assert predict.main([run.url, str(images), *option]) == 2
        assert message in capfd.readouterr().err
