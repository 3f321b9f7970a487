"""Sheds load while the event loop is late.

The idea is CoDel's (RFC 8289): a queue that empties now and then absorbs bursts, and one that never does only adds
delay. The event loop is a queue of callbacks. A long callback makes it late once. If it is late at every look, it is
overloaded.
"""

from __future__ import annotations

import asyncio
from weakref import WeakSet

LOOK = 0.1
"""Seconds between two looks at how late the loop is."""
INTERVAL = 0.5
"""Seconds in which the loop must have been in time once."""
_LESS, _MORE, _LEAST = 0.5, 0.05, 0.05


class LoopLag:
    """Decides which requests pass, by how late the event loops of this process are.

    While a loop is overloaded, the share that passes is halved in each interval, to 5 % at least. Then it grows by 5
    percentage points in each interval.

    Args:
        target: Seconds of lag at which a loop counts as late.

    Attributes:
        share: The share of requests that pass.
    """

    def __init__(self, target: float) -> None:
        self._target = target
        self._watched: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        self._least: float | None = None  # the least lag in this interval
        self._since = 0.0
        self._credit = 0.0
        self.share = 1.0

    @property
    def retry_after(self) -> float:
        """Seconds after which a refused client may ask again: the more are refused, the longer, or all would return."""
        return 1.0 / self.share

    def admit(self) -> bool:
        """Whether the next request passes."""
        loop = asyncio.get_running_loop()
        if loop not in self._watched:
            self._watched.add(loop)
            self._look_later(loop)
        if self.share >= 1.0:
            return True
        self._credit += self.share
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True

    def note(self, lag: float, now: float) -> None:
        """Take into account how late the loop was at one look."""
        if self._least is None:
            self._since = now
        self._least = lag if self._least is None else min(self._least, lag)
        if now - self._since < INTERVAL:
            return
        late, self._least = self._least > self._target, None
        self.share = max(_LEAST, self.share * _LESS) if late else min(1.0, self.share + _MORE)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + LOOK
        loop.call_at(due, self._look, loop, due)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self.note(now - due, now)
        self._look_later(loop)
