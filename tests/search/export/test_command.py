"""The command that exports a run."""

from pathlib import Path

import pytest

from search.export.__main__ import main
from search.record import RunFolder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "The first word is a run's folder. Received: nothing."),
        (["RUN", "--to", "word", "out"], "--to is followed by one of onnx, litert"),
        (["--to", "onnx", "out"], "--to exports one run. Received: none."),
        (["RUN", "RUN", "--to", "onnx", "out"], "--to exports one run."),
        (["nowhere", "--to", "onnx", "FOLDER"], "Received: nowhere, which has none."),
    ],
)
def test_a_mistake_is_one_message(
    words: list[str], message: str, exported_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"RUN": exported_run.url, "FOLDER": str(tmp_path)}
    assert main([places.get(word, word) for word in words]) == 2
    assert message in capsys.readouterr().err
