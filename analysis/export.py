"""Tables as text: CSV, Markdown, LaTeX (booktabs) and HTML, with headings in English or French.

A number and its interval share one cell, except in CSV, which keeps them in columns of their own.

Names, reasons and hyperparameters come from a run: they are escaped, so that no format takes them for markup.
"""

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from search import record

FORMATS = ("csv", "markdown", "latex", "html")
EXTENSIONS = {"csv": "csv", "markdown": "md", "latex": "tex", "html": "html"}
LANGUAGES = ("en", "fr")

# LaTeX: rows on a page, columns above which a table is scaled to the line, letters above which a cell wraps.
PAGE_ROWS = 40
WIDE_TABLE = 8
LONG_CELL = 60

_NO_WORDS: Mapping[str, str] = {}

_SUFFIXES = {
    "en": {"measured": "measured", "difference": "difference", "low": "95 % low", "high": "95 % high"},
    "fr": {
        "measured": "mesuré",
        "difference": "écart",
        "low": "IC 95 % bas",
        "high": "IC 95 % haut",
        "p": "p",
        "holm": "p (Holm)",
        "fdr": "FDR",
    },
}
_ENGLISH = {
    "auc": "AUC",
    "ece": "ECE",
    "p_value": "p",
    "p_holm": "p (Holm)",
    "holm": "p (Holm)",
    "false_discovery": "FDR",
    "fdr": "FDR",
    "ppv": "PPV",
    "npv": "NPV",
    "gib": "GiB",
    "mb": "MiB",
    "val": "val.",
}
# A trial's status, and how often a published row was run again; the keys are regular expressions.
_FRENCH_STATUS = {
    r"not run": "non exécuté",
    r"not evaluated": "non évalué",
    r"from random weights, not ImageNet's": "à partir de poids aléatoires, non ceux d'ImageNet",
    r"on (.+) test images, not (\d+)": r"sur \1 images de test au lieu de \2",
    r" and ": " et ",
    r"repeat": "répétition",
    record.FINISHED: "terminé",
    record.STOPPED: "arrêté",
    record.DIVERGED: "divergé",
    record.FAILED: "en échec",
    record.RUNNING: "en cours",
    record.WAITING: "en attente",
}
# Columns of several tables; those of one table stand in its entry. Hyperparameters keep the names of their settings.
_FRENCH = {
    "row": "ligne",
    "status": "état",
    "run": "recherche",
    "trial": "essai",
    "confirms": "confirme",
    "trials": "essais",
    "name": "nom",
    "images": "images",
    "dataset": "jeu de données",
    "value": "valeur",
    "hyperparameter": "hyperparamètre",
    "parameters": "paramètres",
    "loss": "loss",
    "sensitivity": "sensibilité",
    "specificity": "spécificité",
    "accuracy": "accuracy",
    "balanced_accuracy": "accuracy équilibrée",
    "average_precision": "précision moyenne",
    **{
        f"{short}_{name}": f"{words} {short}"
        for short in ("val", "test")
        for name, words in (
            ("loss", "loss"),
            ("accuracy", "accuracy"),
            ("auc", "AUC"),
            ("sensitivity", "sensibilité"),
            ("specificity", "spécificité"),
            ("balanced_accuracy", "accuracy équilibrée"),
            ("average_precision", "précision moyenne"),
        )
    },
    "model": "modèle",
    "memory_mb": "mémoire (Mio)",
    "process_hours": "heures de processus",
    "basis": "base",
    "total": "total",
}


def headings(columns: Sequence[str], language: str = "en", headings_fr: Mapping[str, str] = _NO_WORDS) -> list[str]:
    """The heading of each column, as a reader sees it.

    Args:
        columns: their names.
        language: of `LANGUAGES`.
        headings_fr: French headings of the table's own columns, by column.

    Raises:
        ValueError: there is no such language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"A language must be one of {', '.join(LANGUAGES)}. Received: {language!r}.")
    own = headings_fr if language == "fr" else _NO_WORDS
    return [_heading(str(column), language, own) for column in columns]


def _heading(column: str, language: str, own: Mapping[str, str]) -> str:
    known = {**_ENGLISH, **(_FRENCH if language == "fr" else _NO_WORDS), **own}
    if column in known:
        return known[column]
    base, _, suffix = column.rpartition("_")
    if suffix in _SUFFIXES[language] and base:
        return f"{_heading(base, language, own)}, {_SUFFIXES[language][suffix]}"
    return " ".join(_ENGLISH.get(word, word) for word in column.split("_"))


def folded(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with each number and its interval in one column of text: `0.904 [0.878, 0.925]`."""
    names = [str(name) for name in frame.columns]
    kept = {}
    for name in names:
        if name.endswith(("_low", "_high")) and name.rpartition("_")[0] in names:
            continue
        if f"{name}_low" in names and f"{name}_high" in names:
            triples = zip(frame[name], frame[f"{name}_low"], frame[f"{name}_high"], strict=True)
            kept[name] = pd.Series([_interval(*triple) for triple in triples], frame.index, dtype=object)
        else:
            kept[name] = frame[name]
    return pd.DataFrame(kept)


def _interval(value: Any, low: Any, high: Any) -> str | None:
    if pd.isna(value):
        return None
    return f"{value:.3f}" if pd.isna(low) else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def cell_text(value: Any) -> str:
    """A value as people write it: `1,087,393`, `0.9038`, `2.80e-5`, `16-8`; empty for an absent one."""
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if hasattr(value, "item"):
        return cell_text(value.item())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return _float_text(value) if isinstance(value, float) else str(value)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if len(f"{value:g}") <= 6 and not (0 < abs(value) < 1e-3):
        return f"{value:,g}"
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2e}".replace("e-0", "e-").replace("e+0", "e").replace(".00e", "e")
    if abs(value) >= 100:
        return f"{value:,.1f}".removesuffix(".0")
    # Four digits after the point: one test image more or less is 0.0016.
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def to_text(
    frame: pd.DataFrame,
    format_name: str,
    title: str = "",
    language: str = "en",
    headings_fr: Mapping[str, str] = _NO_WORDS,
) -> str:
    """A table in one of `FORMATS`; CSV keeps every digit and, in English, the columns' own names.

    Args:
        frame: the table.
        format_name: of `FORMATS`.
        title: above it, except in CSV; none where empty.
        language: of `LANGUAGES`.
        headings_fr: as in `headings`.

    Raises:
        ValueError: there is no such format or language.
    """
    if format_name not in FORMATS:
        raise ValueError(f"A format must be one of {', '.join(FORMATS)}. Received: {format_name!r}.")
    if language == "fr":
        frame = _with_french_words(frame)
    if format_name == "csv":
        titles = headings(list(map(str, frame.columns)), language, headings_fr)
        text: str = (frame if language == "en" else frame.set_axis(titles, axis=1)).to_csv(index=False)
        return text
    shown = folded(frame)
    titles = headings(list(map(str, shown.columns)), language, headings_fr)
    cells = [[cell_text(value) for value in row] for row in shown.itertuples(index=False, name=None)]
    right = [is_number(shown[column]) for column in shown.columns]
    writer = {"markdown": _to_markdown, "latex": _to_latex, "html": _to_html}[format_name]
    return writer(titles, cells, right, title)


def _with_french_words(frame: pd.DataFrame) -> pd.DataFrame:
    """A table with its status in French, and with `oui` and `non` for augmentation, as the report has it."""
    frame = frame.replace({"augment": {"none": "non", "report": "oui"}} if "augment" in frame else {})
    if "status" in frame:
        words = frame["status"].astype("str")
        for english, french in _FRENCH_STATUS.items():
            words = words.str.replace(english, french, regex=True)
        frame = frame.assign(status=words)
    return frame


def is_number(column: "pd.Series[Any]") -> bool:
    """Whether a column holds numbers, which stand to the right."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _to_markdown(titles: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], title: str) -> str:
    lines = [f"### {_markdown(title)}", ""] if title else []
    lines.append("| " + " | ".join(map(_markdown, titles)) + " |")
    lines.append("|" + "|".join("---:" if number else "---" for number in right) + "|")
    lines += ["| " + " | ".join(map(_markdown, row)) + " |" for row in cells]
    return "\n".join(lines) + "\n"


def _markdown(text: str) -> str:
    flat = " ".join(text.split())
    escaped = re.sub(r"([\\`*_{}\[\]|~#])", r"\\\1", flat)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",  # LaTeX reads one at the start of a line as a length
    "]": "{]}",
    "-": "{-}",  # LaTeX makes a dash of two hyphens
    "–": "--",
    "∞": r"\ensuremath{\infty}",
}


def _latex(text: str) -> str:
    """Text escaped for LaTeX; letters that the fonts of a plain installation lack become question marks."""
    flat = " ".join(text.split())
    return "".join(
        _LATEX.get(letter) or (letter if letter.isprintable() and letter <= "\u00ff" else "?") for letter in flat
    )


def _to_latex(titles: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], title: str) -> str:
    widths = [max((len(row[place]) for row in cells), default=0) for place in range(len(titles))]
    columns = "".join(
        "r" if number else "p{70mm}" if width > LONG_CELL else "l" for number, width in zip(right, widths, strict=True)
    )
    head = " & ".join(map(_latex, titles)) + r" \\"
    body = [" & ".join(map(_latex, row)) + r" \\" for row in cells]
    wide = len(titles) > WIDE_TABLE or columns.count("p") > 1
    parts = [body[start : start + PAGE_ROWS] for start in range(0, len(body), PAGE_ROWS)] or [[]]
    captions = [title if len(parts) == 1 else f"{title} ({part + 1} of {len(parts)})" for part in range(len(parts))]
    return "\n".join(
        _latex_part(columns, head, rows, caption if title else "", wide)
        for rows, caption in zip(parts, captions, strict=True)
    )


def _latex_part(columns: str, head: str, body: Sequence[str], caption: str, wide: bool) -> str:
    """One page of a table, scaled to the line where it is wide."""
    top = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule"]
    tabular = [*top, *body, r"\bottomrule", r"\end{tabular}"]
    if wide:
        tabular = [r"\resizebox{\linewidth}{!}{%", *tabular, "}"]
    captions = [rf"\caption{{{_latex(caption)}}}"] if caption else []
    return "\n".join([r"\begin{table}[p]", r"\centering", *captions, *tabular, r"\end{table}", r"\clearpage"]) + "\n"


def latex_document(files: Sequence[str]) -> str:
    """A LaTeX document that shows the tables in `files`, each a name without its extension."""
    packages = [
        r"\usepackage[T1]{fontenc}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage{textcomp,booktabs,graphicx}",
        r"\usepackage[a4paper,landscape,margin=15mm]{geometry}",
    ]
    inputs = [rf"\input{{{name}}}" for name in files]
    return "\n".join([r"\documentclass{article}", *packages, r"\begin{document}", *inputs, r"\end{document}"]) + "\n"


def _to_html(titles: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], title: str) -> str:
    kinds = [' class="number"' if number else "" for number in right]
    head = "".join(f'<th scope="col"{kind}>{html.escape(text)}</th>' for text, kind in zip(titles, kinds, strict=True))
    rows = [
        "<tr>" + "".join(f"<td{kind}>{html.escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in cells
    ]
    caption = [f"<caption>{html.escape(title)}</caption>"] if title else []
    body = [f"<thead><tr>{head}</tr></thead>", "<tbody>", *rows, "</tbody>"]
    return "\n".join(["<table>", *caption, *body, "</table>"]) + "\n"
