"""Stores the features of a run: on disk between runs, and in Ray's object store while trials read them.

A frozen backbone gives the same features to every trial, so they are computed once. No process is reserved for it:
a trial that needs features asks the store, and computes blocks of images until none is left. All workers that wait
for the same features thus share the work, with the threads and the GPU that they own anyway.
"""

import hashlib
import json
import math
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.array_files import ArrayFiles, count_blocks
from data_pipeline.augment import find_policy

BLOCK = 64  # images that a process computes at a time
_FORMAT = 1  # increase it when the computation of features changes: old files are then not read
_RECENT = 64  # claims at least by which the store knows what is asked for
_LEASE_SECONDS = 60.0  # a process has at least this long for a block before another process gets it


@dataclass(frozen=True)
class FeatureKey:
    """Everything that features depend on: equal keys have equal features.

    Attributes:
        backbone: a name of BACKBONES.
        weights: hash of the backbone's weights; for random ones, the seed that they depend on.
        cut: where the frozen part ends, as `feature_cut` gives it.
        images: fingerprint of the prepared images.
        precision: the dtype policy of the frozen part.
        dtype: of the features, "float32" or "float16".
        policy: the augmentation.
        view: number of the fixed draw of that augmentation.
        rows: "all", or a fingerprint of the rows of the images.
    """

    backbone: str
    weights: str
    cut: str
    images: str
    precision: str
    dtype: str
    policy: str = "none"
    view: int = 0
    rows: str = "all"

    @property
    def name(self) -> str:
        """A name for files: 32 hexadecimal digits."""
        # A policy may change under its name. A new kind of change at strength 0 leaves it the same.
        strengths = {name: strength for name, strength in asdict(find_policy(self.policy)).items() if strength}
        text = json.dumps([_FORMAT, asdict(self), strengths], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def __str__(self) -> str:
        view = "" if self.policy == "none" else f", {self.policy} view {self.view + 1}"
        return f"{self.backbone} ({self.cut}{view})"


@dataclass(frozen=True)
class Claim:
    """The store's answer: where the features are, or a block to compute; if neither, ask again later.

    Attributes:
        reference: of the array in the object store.
        file: path of the array as an .npy file on the driver's host, if the object store has no room for it.
        block: number of the block; it begins at row `block * BLOCK`.
    """

    reference: Any = None
    file: str = ""
    block: int | None = None


@dataclass
class FeatureCost:
    """The cost of one backbone's features in a run.

    Attributes:
        backbone: a name of BACKBONES.
        images: how many passed through its frozen part; every view of an augmentation counts.
        seconds: time that processes took, summed over all of them.
    """

    backbone: str
    images: int = 0
    seconds: float = 0.0


@dataclass
class Work:
    """The blocks of one key's features that are being computed.

    Attributes:
        count: number of images.
        started: when the first block was requested (time.monotonic()).
        taken: blocks that a process computes, and when it took them (time.monotonic()).
        slowest: seconds that the slowest block took.
    """

    count: int
    started: float = field(default_factory=time.monotonic)
    taken: dict[int, float] = field(default_factory=dict)
    slowest: float = 0.0

    def take(self, done: set[int]) -> int | None:
        """A block that is neither done nor being computed by a live process; None when there is none."""
        now = time.monotonic()
        lost = now - max(_LEASE_SECONDS, 10 * self.slowest)
        for block in range(count_blocks(self.count, BLOCK)):
            if block not in done and self.taken.get(block, -math.inf) <= lost:
                self.taken[block] = now
                return block
        return None

    def finish(self, block: int) -> float:
        """Mark a block as done; returns the seconds that it took, 0 if no process had taken it."""
        if block not in self.taken:
            return 0.0
        seconds = time.monotonic() - self.taken.pop(block)
        self.slowest = max(self.slowest, seconds)
        return seconds


class FeatureStore:
    """Hands out features, and the blocks that are still to be computed (a Ray actor without a CPU of its own).

    Trials that come and go ask for the same features in turn, so that those asked for longest ago are asked for next.
    What is in the object store therefore stays there, and others are read from their files, until they are asked for
    twice as often.

    Args:
        folder: of the files.
        disk: bytes that the files may take together.
        memory: bytes of features in the object store.
    """

    def __init__(self, folder: str, disk: float, memory: float) -> None:
        self._files = ArrayFiles(folder, disk, BLOCK)
        self._memory = memory
        self._shared: dict[FeatureKey, tuple[Claim, int]] = {}  # with its bytes in the object store
        self._counts: dict[FeatureKey, int] = {}  # images of every key that is complete
        self._recent: deque[FeatureKey] = deque()  # the last claims of complete features
        self._work: dict[FeatureKey, Work] = {}
        self._costs: dict[str, FeatureCost] = {}
        self._news: list[str] = []

    def claim(self, key: FeatureKey, count: int) -> Claim:
        """What a process that needs the features of `count` images does next."""
        if key in self._shared:
            self._note(key)
            return self._shared[key][0]
        self._files.finish(key, count)  # a run may have been killed between its last block and this
        features = self._files.open(key, count)
        if features is None:
            work = self._work.setdefault(key, Work(count))
            return Claim(block=work.take(self._files.done(key)))
        if key not in self._counts:
            self._announce(key, features)
        self._counts[key] = count
        self._note(key)
        return self._share(key, features)

    def add(self, key: FeatureKey, block: int, features: NDArray[Any]) -> None:
        """Store a computed block.

        Raises:
            OSError: the cache cannot be written.
        """
        if key in self._work:  # else it comes from a process that counted as lost
            work = self._work[key]
            self._files.write(key, block, features, work.count)
            cost = self._costs.setdefault(key.backbone, FeatureCost(key.backbone))
            cost.images += len(features)
            cost.seconds += work.finish(block)

    def read(self, key: FeatureKey, count: int, block: int) -> NDArray[Any]:
        """One block of the complete features of `count` images, for a host that does not see their file.

        Raises:
            OSError: the file is gone.
        """
        features = self._files.open(key, count)
        if features is None:
            raise FileNotFoundError(f"The features of {key} are no longer in {self._files.path(key)}.")
        return np.array(features[block * BLOCK : (block + 1) * BLOCK])

    def costs(self) -> list[FeatureCost]:
        """The cost of features by backbone since this store began, without those read from the cache."""
        return list(self._costs.values())

    def news(self) -> tuple[list[str], list[str]]:
        """Features completed since the last call, and features being computed, a line each."""
        completed, self._news = self._news, []
        computing = []
        for key, work in self._work.items():
            done = min(len(self._files.done(key)) * BLOCK, work.count)
            computing.append(f"features of {key}: {done:,} of {work.count:,} images")
        return completed, computing

    def _note(self, key: FeatureKey) -> None:
        self._recent.append(key)
        while len(self._recent) > max(_RECENT, 4 * len(self._counts)):
            self._recent.popleft()

    def _announce(self, key: FeatureKey, features: NDArray[Any]) -> None:
        source = "from the cache"
        if key in self._work:
            source = f"computed in {time.monotonic() - self._work.pop(key).started:.0f} s"
        self._news.append(f"features of {key}: {len(features):,} images, {features.nbytes / 2**20:.1f} MB, {source}")

    def _share(self, key: FeatureKey, features: NDArray[Any]) -> Claim:
        """The features in the object store if there is room, or room can be made; else their file."""
        import ray

        asked = Counter(self._recent)
        room = self._memory - sum(taken for _, taken in self._shared.values())
        leaving = []
        for other in sorted(self._shared, key=asked.__getitem__):
            if room >= features.nbytes or 2 * asked[other] >= asked[key]:
                break
            leaving.append(other)
            room += self._shared[other][1]
        if room < features.nbytes:
            return Claim(file=str(self._files.path(key)))
        for other in leaving:
            del self._shared[other]
        self._shared[key] = Claim(reference=ray.put(features)), features.nbytes
        return self._shared[key][0]
