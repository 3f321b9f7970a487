"""Waiting in line, fairly: each caller has a line of its own, and they are served in turn."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeAlias

Turn: TypeAlias = "asyncio.Future[bool]"
"""True when it is one's turn, False when one has to leave. Done by whoever serves the lines; cancelled by leaving."""


class Lines:
    """Who waits. One caller's thousand calls hold up another's first by a single turn."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Turn]] = {}  # the next to be served is first
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def length(self, caller: str) -> int:
        """How many of this caller's calls wait."""
        return len(self._lines.get(caller, ()))

    def longest(self) -> str:
        """The caller with the most calls in line. There has to be one."""
        return max(self._lines, key=self.length)

    def join(self, caller: str, turn: Turn) -> None:
        self._lines.setdefault(caller, deque()).append(turn)
        self._waiting += 1

    def leave(self, caller: str, turn: Turn) -> None:
        """Take out one that waits; nothing happens to one that does not."""
        line = self._lines.get(caller, deque())
        if turn in line:
            line.remove(turn)
            self._left(caller, line)

    def next(self) -> Turn | None:
        """Take out who is to be served: the first of the caller whose turn it is. That caller is last then."""
        while self._lines:
            caller, line = next(iter(self._lines.items()))
            turn = line.popleft()
            del self._lines[caller]
            if line:
                self._lines[caller] = line
            self._waiting -= 1
            if not turn.done():  # else it is about to leave
                return turn
        return None

    def last(self, caller: str) -> Turn:
        """Take out who came last of a caller that has calls in line."""
        line = self._lines[caller]
        turn = line.pop()
        self._left(caller, line)
        return turn

    def _left(self, caller: str, line: deque[Turn]) -> None:
        self._waiting -= 1
        if not line:
            del self._lines[caller]
