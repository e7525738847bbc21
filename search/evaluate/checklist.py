"""The items of TRIPOD+AI and CLAIM beside what the records know of each; the rest is marked for the author."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

FOR_THE_AUTHOR = "**For the author**"


@dataclass(frozen=True)
class Item:
    """An item of a reporting guideline.

    Attributes:
        number: as in the guideline.
        asks: for what, in our words.
        facts: names of `search.evaluate.facts.list_facts` that answer it.
        author: what no record knows; empty where the facts are all.
    """

    number: str
    asks: str
    facts: tuple[str, ...] = ()
    author: str = ""


@dataclass(frozen=True)
class Guideline:
    """A reporting guideline: its name, its source and its items."""

    name: str
    source: str
    items: tuple[Item, ...]


def read_guidelines() -> list[Guideline]:
    """The guidelines in `checklist.yaml`."""
    content = yaml.safe_load(Path(__file__).with_name("checklist.yaml").read_text(encoding="utf-8"))
    return [
        Guideline(
            each["name"],
            each["source"],
            tuple(
                Item(str(item["item"]), item["asks"], tuple(item.get("facts", ())), item.get("author", ""))
                for item in each["items"]
            ),
        )
        for each in content
    ]


def fill_checklist(facts: Mapping[str, str]) -> str:
    """The checklists in Markdown, a table a guideline.

    Args:
        facts: sentences by name, as `search.evaluate.facts.list_facts`.
    """
    return "\n".join(line for guideline in read_guidelines() for line in _table(guideline, facts))


def _table(guideline: Guideline, facts: Mapping[str, str]) -> Iterator[str]:
    yield from (f"## {guideline.name}", "", f"Items in short, after {guideline.source}.", "")
    yield from ("| item | asks for | answer |", "|---|---|---|")
    for item in guideline.items:
        yield f"| {item.number} | {item.asks} | {_answer(item, facts).replace('|', chr(92) + '|')} |"
    yield ""


def _answer(item: Item, facts: Mapping[str, str]) -> str:
    known = [facts[name] for name in item.facts if name in facts]
    if not known:
        return FOR_THE_AUTHOR
    return " ".join([*known, *([f"{FOR_THE_AUTHOR}: {item.author}."] * bool(item.author))])
