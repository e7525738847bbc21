"""The runs that the app shows: read once, then updated."""

import contextlib
import threading

from analysis.load import Run, load, run_urls
from search.record import RecordError, RunFolder, readable


class Library:
    """The runs of a folder, which is a run or holds runs; safe to use from several threads.

    Args:
        url: the folder.

    Raises:
        RecordError: the folder holds no run.
    """

    def __init__(self, url: str) -> None:
        folder = RunFolder(url)
        self._url = folder.url
        self._single = folder.exists("run.json")
        self._runs: dict[str, Run] = {}
        self._versions: dict[str, int] = {}
        self._lock = threading.Lock()
        if not self._single and not run_urls(url):
            raise RecordError(f"The app shows a run, or a folder of runs. Received: {url}. Give another folder.")

    def names(self) -> list[str]:
        """The runs' folder names, the newest run first."""
        return sorted(self._urls(), key=lambda name: (-self._created(name), name))

    def run(self, name: str) -> Run:
        """A run by its folder's name.

        Raises:
            RecordError: there is no such run, or it cannot be read.
        """
        with self._lock:
            if name not in self._runs:
                urls = self._urls()
                if name not in urls:
                    raise RecordError(f"A run must be one of this folder. Received: {name!r}. See the list of runs.")
                self._runs[name] = load(urls[name])
            return self._runs[name]

    def readable(self) -> list[Run]:
        """All runs that can be read, the newest first."""
        found = []
        for name in self.names():
            with contextlib.suppress(RecordError):
                found.append(self.run(name))
        return found

    def refresh(self, name: str) -> int:
        """Read what a run has written since; returns its version, which grows with every such change.

        Raises:
            RecordError: as `run`.
        """
        run = self.run(name)
        with self._lock, readable(run.folder.url):
            self._versions[name] = self._versions.get(name, 0) + bool(run.refresh())
            return self._versions[name]

    def _urls(self) -> dict[str, str]:
        urls = [self._url] if self._single else run_urls(self._url)
        return {RunFolder(url).name: url for url in urls}

    def _created(self, name: str) -> float:
        try:
            return self.run(name).record.created
        except RecordError:
            return 0.0
