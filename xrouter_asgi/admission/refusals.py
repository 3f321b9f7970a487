"""The requests and connections that this process had no room for."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from ..errors import NotReady

Reason: TypeAlias = Literal["bodies", "bodies_of_key", "connections", "loop_lag", "memory"]
"""What there was no room in."""

_BURST = 60.0  # seconds without a refusal, after which the next one begins another burst

_WHY: dict[Reason, str] = {
    "bodies": "the bodies of running requests take up all the memory they may",
    "bodies_of_key": "the bodies of one key's requests take up all the memory they may",
    "connections": "there are as many connections as this process bears",
    "loop_lag": "the event loop is late",
    "memory": "memory is running out",
}

logger = logging.getLogger("xrouter.admission")


class Refusals:
    """Counts refusals by their reason, and logs the first one of each burst.

    Attributes:
        counts: How many there were since the process began; every reason is there.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: dict[Reason, int] = dict.fromkeys(_WHY, 0)
        self._clock = clock
        self._last: dict[Reason, float] = {}

    def refuse(self, reason: Reason, *, retry_after: float) -> NotReady:
        """Count a refusal. Returns the error for the client, which may ask again after so many seconds."""
        now = self._clock()
        if now - self._last.get(reason, -_BURST) >= _BURST:
            logger.warning("Requests are refused: %s.", _WHY[reason], extra={"reason": reason})
        self._last[reason] = now
        self.counts[reason] += 1
        text = f"This gateway is overloaded. Please try again in {math.ceil(retry_after)}s."
        return NotReady(text, code="overloaded", retry_after=retry_after)
