import io
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from analysis.export import cell_text, latex_document, to_text
from analysis.tables import TABLES
from analysis.tables.command import write_tables


def test_statuses_are_french_in_french():
    words = ["2 repeats, 1 stopped, on 600 and 610 test images, not 624", "diverged", "1 repeat, not evaluated"]
    lines = to_text(pd.DataFrame({"status": words}), "markdown", language="fr").splitlines()
    assert [line.strip("| ") for line in lines[2:]] == [
        "2 répétitions, 1 arrêté, sur 600 et 610 images de test au lieu de 624",
        "divergé",
        "1 répétition, non évalué",
    ]


HOSTILE = "<script>alert('&')</script> | a_b 100% $x$ #1 {y} ~^\\ [z] `q` é ☃ -- \n\\end{tabular}"


def test_markup_in_values_stays_text():
    frame = pd.DataFrame({HOSTILE: [HOSTILE]})
    page = to_text(frame, "html", HOSTILE)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 3
    lines = to_text(frame, "markdown").splitlines()
    assert len(lines) == 3
    assert "<script" not in lines[2]
    latex = to_text(frame, "latex", HOSTILE)
    assert latex.count(r"\end{tabular}") == 1
    assert r"\textbackslash{}end\{tabular\}" in latex
    back = pd.read_csv(io.StringIO(to_text(frame, "csv")))
    assert back.iloc[0, 0] == HOSTILE


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_tables_compile(run, tmp_path):
    wide = pd.DataFrame({f"column_{place}": [HOSTILE, 0.5] for place in range(12)})
    texts = {
        name: to_text(run.table(name), "latex", table.title, "fr", table.headings_fr) for name, table in TABLES.items()
    }
    texts |= {"hostile": to_text(pd.DataFrame({HOSTILE: [HOSTILE] * 60}), "latex", HOSTILE)}
    texts |= {"wide": to_text(wide, "latex", "wide")}
    write_tables(texts, "latex", str(tmp_path))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert answer.returncode == 0, answer.stdout[-2000:]


def test_the_latex_document_names_its_tables():
    assert r"\input{ranking}" in latex_document(["ranking"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_087_393, "1,087,393"),
        (0.1, "0.1"),
        (0.90384, "0.9038"),
        (2.8e-5, "2.80e-5"),
        (1e-6, "1e-6"),
        (81.041, "81.041"),
        (float("nan"), ""),
        (None, ""),
        (pd.NA, ""),
        (True, "yes"),
        (np.float64(0.5), "0.5"),
        ("16-8", "16-8"),
        (float("-inf"), "-∞"),
    ],
)
def test_cells_read_as_people_write_them(value, text):
    assert cell_text(value) == text
