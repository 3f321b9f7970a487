"""A queue in which callers take turns."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeAlias

Waiter: TypeAlias = "asyncio.Future[bool]"
"""Resolved with True when it is served, with False when it is sent away; cancelled when it leaves."""


class FairQueue:
    """Serves callers in rotation: one caller's thousand waiters delay another caller's first by a single turn."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Waiter]] = {}  # the next caller to be served comes first
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def length(self, caller: str) -> int:
        """How many waiters this caller has."""
        return len(self._queues.get(caller, ()))

    def longest(self) -> str:
        """The caller with the most waiters. The queue must not be empty."""
        return max(self._queues, key=self.length)

    def add(self, caller: str, waiter: Waiter) -> None:
        self._queues.setdefault(caller, deque()).append(waiter)
        self._length += 1

    def discard(self, caller: str, waiter: Waiter) -> None:
        """Remove a waiter, if it is still here."""
        queue = self._queues.get(caller, deque())
        if waiter in queue:
            queue.remove(waiter)
            self._removed(caller, queue)

    def next(self) -> Waiter | None:
        """Remove and return the waiter to serve now. Its caller goes to the end of the rotation."""
        while self._queues:
            caller, queue = next(iter(self._queues.items()))
            waiter = queue.popleft()
            del self._queues[caller]
            if queue:
                self._queues[caller] = queue
            self._length -= 1
            if not waiter.done():  # else it is about to leave
                return waiter
        return None

    def last(self, caller: str) -> Waiter:
        """Remove and return the newest waiter of a caller that has one."""
        queue = self._queues[caller]
        waiter = queue.pop()
        self._removed(caller, queue)
        return waiter

    def _removed(self, caller: str, queue: deque[Waiter]) -> None:
        self._length -= 1
        if not queue:
            del self._queues[caller]
