"""The texts that show results say what the records beside them say."""

import re
from pathlib import Path

import pytest

from analysis.fill import main

ROOT = Path(__file__).parents[1]
TEXTS = ("README.md", "docs/results/README.md")


def test_every_table_is_what_its_records_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*(str(ROOT / name) for name in TEXTS), "--check"]) == 0, capsys.readouterr().err


def test_every_record_is_shown_and_its_command_is_told() -> None:
    text = (ROOT / "docs/results/README.md").read_text("utf-8")
    for path in (ROOT / "docs/results").glob("*.zip"):
        assert re.search(rf"python -m analysis\.tables [^>]*\b{re.escape(path.name)} ", text), path.name
        assert f"| `{path.name}` | `python -m search.run " in text, path.name
