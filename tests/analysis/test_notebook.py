import ast
import json
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

import analysis
from benchmarks.analysis_data import write_run

NOTEBOOK = Path(analysis.__file__).with_name("example.ipynb")


def code_cells():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def value_of(source, names):
    """Run a cell; returns what a notebook would show below it."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names) if last else None


def test_the_example_notebook_runs_from_top_to_bottom(tmp_path):
    folder = write_run(str(tmp_path / "run"), trials=30, epochs=9, evaluated=3)
    names = {"RUN": folder.url}
    shown = []
    for cell in code_cells():
        if "parameters" not in cell["metadata"].get("tags", []):
            shown.append(value_of("".join(cell["source"]), names))
    tables = [value for value in shown if isinstance(value, pd.DataFrame)]
    figures = [value for value in shown if isinstance(value, go.Figure)]
    assert len(tables) >= 5
    assert all(len(table) for table in tables)
    assert len(figures) == 2
    assert all(len(figure.data) for figure in figures)


def test_the_notebook_is_kept_without_outputs():
    cells = code_cells()
    assert len(cells) > 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
