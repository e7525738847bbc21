"""What the documents name is there: links, files, tests, settings, modules and commands; and their lines are short."""

import functools
import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from search.plan.settings import Settings
from search.plan.words import load_settings, parse_words

ROOT = Path(__file__).parents[1]
MADE = ROOT / "docs/benchmarks.md"  # by `make bench`
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "deploy/aws/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FOLDERS = ("analysis", "benchmarks", "data_pipeline", "deploy", "docs", "models", "search", "tests")
LONGEST = 125  # signs of a line of prose
WRONG = "space=cnn4"  # in docs/why.md, for its message


def blocks(text: str) -> list[str]:
    """The fenced blocks of code; a command that goes on in the next line is one line."""
    found = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [re.sub(r" *\\\n *", " ", block) for block in found]


def spans(text: str) -> list[str]:
    """The code inside prose and tables, each on one line."""
    prose = re.sub(r"^```.*?^```|<!--.*?-->", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def commands(text: str) -> list[str]:
    """Every `python -m ...`; what a block says of a command stands behind two spaces."""
    lines = "\n".join((*blocks(text), *spans(text)))
    return re.findall(r"python -m \S+(?: \S+)*", lines)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@functools.cache
def settings() -> Settings:
    """The default settings."""
    return load_settings([])


@functools.cache
def is_there(name: str) -> bool:
    """Whether a name with dots is a setting, or a module or what is in one."""
    parts = name.split(".")
    try:
        functools.reduce(getattr, parts, settings())
    except AttributeError:
        pass
    else:
        return True
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(lambda of, part: getattr(of, part, None), parts[length:], found) is not None
    return False


def test_links_lead_somewhere() -> None:
    found = 0
    for document in DOCUMENTS:
        for path, anchor in re.findall(r"\]\((?!http)([^)#\s]*)(?:#([^)]*))?\)", document.read_text("utf-8")):
            target = document.parent / path if path else document
            assert target.exists(), (document.name, path)
            assert not anchor or anchor in anchors(target.read_text("utf-8")), (document.name, path, anchor)
            found += 1
    assert found


def test_files_and_tests_that_are_named_exist() -> None:
    files = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    functions = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    found = 0
    for document in DOCUMENTS:
        for span in spans(document.read_text("utf-8")):
            if re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w/.]*", span):
                assert (ROOT / span).exists(), (document.name, span)
            elif re.fullmatch(r"test_\w+\.py", span):
                assert span in files, (document.name, span)
            elif re.fullmatch(r"test_\w+", span):
                assert f"def {span}(" in functions, (document.name, span)
            else:
                continue
            found += 1
    assert found


def test_settings_and_modules_that_are_named_exist() -> None:
    roots = (
        "data",
        "train",
        "evaluate",
        "run",
        "resources",
        "cluster",
        "search",
        "analysis",
        "models",
        "data_pipeline",
    )
    found = 0
    for document in DOCUMENTS:
        for span in spans(document.read_text("utf-8")):
            name = re.match(rf"(?:{'|'.join(roots)})(?:\.[A-Za-z_]\w*)+(?=$|[=({{ ])", span)
            if name is not None and not (ROOT / span).is_file():
                assert is_there(name[0]), (document.name, span)
                found += 1
    assert found


def test_commands_are_understood() -> None:
    searches = 0
    for document in DOCUMENTS:
        for command in commands(document.read_text("utf-8")):
            _, _, module, *words = shlex.split(command)
            if module == "...":
                continue
            assert importlib.util.find_spec(module) is not None, (document.name, command)
            if module != "search.run" or WRONG in words or "--help" in words:
                continue
            searches += 1
            parsed = parse_words(words)
            if not {"resume", "refit", "cluster"} & {word.key for word in parsed}:
                load_settings(parsed)
    assert searches


def test_words_that_choose_tests_choose_some() -> None:
    names = re.findall(
        r"^def (test_\w+)", "\n".join(p.read_text("utf-8") for p in (ROOT / "tests").rglob("test_*.py")), re.M
    )
    found = 0
    for document in DOCUMENTS:
        for chosen in re.findall(r"`pytest [^`]*-k (\"[^\"`]+\"|[^\s`]+)`", document.read_text("utf-8")):
            for word in chosen.strip('"').split(" or "):
                assert any(word in name for name in names), (document.name, word)
                found += 1
    assert found


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path != MADE], ids=lambda path: path.name)
def test_lines_are_short(document: Path) -> None:
    is_prose = re.compile(
        r"(?!\||#|<!--|!\[|\[)"
    )  # tables, headings, commands of tables, pictures and links are one line
    long = [line for line in document.read_text("utf-8").splitlines() if len(line) > LONGEST and is_prose.match(line)]
    assert not long
