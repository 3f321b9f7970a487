"""How near this process is to its end by memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

STREAMS_UNTIL = 0.85
"""The share of the limit from which on no new stream begins."""
REQUESTS_UNTIL = 0.95
"""The share of the limit from which on nothing new begins."""
_EVERY = 0.5  # seconds between two looks
_NO_LIMIT = 1 << 60  # bytes; version 1 of cgroups writes "no limit" as a number near 2**63
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class MemoryGate:
    """Tells the share of its memory that this process, or its container, has used.

    Args:
        limit: Bytes that the process may use; None for what its control group says, or no bound at all.
        root: Where the files of the system are.
        clock: Seconds.
    """

    def __init__(
        self, limit: int | None = None, *, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._groups = _groups(root) if limit is None else []
        self._limit = limit
        self._root = root
        self._clock = clock
        self._looked = float("-inf")
        self._share = 0.0

    def share(self) -> float:
        """The used share of the limit, at most half a second old; 0 where there is no limit."""
        now = self._clock()
        if now - self._looked >= _EVERY:
            self._looked = now
            self._share = self._look()
        return self._share

    def _look(self) -> float:
        try:
            if self._limit is not None:
                pages = (self._root / "proc/self/statm").read_text().split()[1]
                return int(pages) * _PAGE / self._limit
            return max((group.used() / group.limit for group in self._groups), default=0.0)
        except (OSError, ValueError, IndexError):  # no such file here, or one of another form
            return 0.0


class _Group:
    """A control group with a limit of memory."""

    def __init__(self, limit: int, usage: Path, stat: Path, inactive: str) -> None:
        self.limit = limit
        self._usage = usage
        self._stat = stat
        self._inactive = inactive

    def used(self) -> int:
        """Bytes in use, without the cache of files that the kernel would drop first; so counts Kubernetes, too."""
        lines = (line.split() for line in self._stat.read_text().splitlines())
        cached = next((int(value) for name, value in lines if name == self._inactive), 0)
        return max(0, int(self._usage.read_text()) - cached)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes that this process may use at most: its control group's limit, else what the machine has, if it tells."""
    limits = [group.limit for group in _groups(root)]
    with suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * _PAGE)
    return min(limits, default=None)


def _groups(root: Path) -> list[_Group]:
    """The control groups of this process that have a limit, of either version."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    groups: list[_Group] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            names = ("memory.max", "memory.current", "inactive_file")
            groups += _limited(root / "sys/fs/cgroup", path, *names)
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            groups += _limited(root / "sys/fs/cgroup/memory", path, *names)
    return groups


def _limited(mount: Path, path: str, limit: str, usage: str, inactive: str) -> Iterator[_Group]:
    """The group at that path, and all above it: the limit of each holds."""
    inner = mount / path.lstrip("/")
    for folder in (inner, *inner.parents):
        if not folder.is_relative_to(mount):
            return
        try:
            bytes_ = int((folder / limit).read_text())
        except (OSError, ValueError):  # a container sees its own group as the root; "max"
            continue
        if bytes_ < _NO_LIMIT:
            yield _Group(bytes_, folder / usage, folder / "memory.stat", inactive)
