"""The blocks that say how a run was made: its command, data, machine, packages and settings."""

import datetime
import json
from collections.abc import Sequence

from analysis.load import Run
from analysis.page.blocks import Block, Part, table_of
from search.record import counted


def origin_blocks(runs: Sequence[Run]) -> list[Block]:
    """The origin of each run: command, data, machine and packages; then all settings."""
    import pandas as pd

    parts = []
    for run in runs:
        own = run.record.environment
        packages = ", ".join(f"{name} {version}" for name, version in own.get("packages", {}).items())
        created = datetime.datetime.fromtimestamp(run.record.created, datetime.UTC)
        pairs = [
            ("command", run.record.command),
            ("begun", created.strftime("%d %B %Y, %H:%M UTC")),
            ("data fingerprint", run.record.data.get("fingerprint", "")),
            ("set aside", counted(run.record.data.get("set_aside", 0), "file") + " that could not be used"),
            ("commit", own.get("commit", "") or "not recorded"),
            ("machine", f"{own.get('processor', '')}, {own.get('cpus', '?')} CPUs, {own.get('platform', '')}"),
            ("packages", f"Python {own.get('python', '')}, {packages}"),
        ]
        frame = pd.DataFrame([(name, str(value)) for name, value in pairs], columns=["what", "value"])
        parts.append(Part(run.name, table=table_of(frame, texts=("value",))))
    settings = tuple(Part(run.name, text=json.dumps(run.record.config, indent=1)) for run in runs)
    return [
        Block("Origin", "What ran, on which data, with what.", tuple(parts)),
        Block("All settings", "", settings),
    ]
