"""How many retries the requests of late allow."""

from __future__ import annotations

from asyncio import get_running_loop
from collections import deque
from collections.abc import Callable

from .base import Window

# Attempts in a row by which an upstream counts as dead: as many as a breaker wants to have seen.
_DEAD = 20

# One second of the reserve is looked back on exactly; the window in steps of a tenth.
_SECOND = 1.0
_WINDOW = 10.0  # seconds for which a request counts
_SLOTS = 10

_EARNED, _RESERVED = range(2)


def _loop_time() -> float:
    return get_running_loop().time()


class RetryBudget:
    """How many retries the requests of late allow, so that an outage is not answered by a multiple of the load.

    A count of attempts bounds one request only: with 3 attempts, an upstream that is down for lack of capacity gets
    three times the load that brought it down, and stays down. At any moment, the retries of the last 10 seconds
    are at most `ratio` times the requests begun in them, and `per_second` for each second on top, so that quiet hours
    have retries too. The numbers are Finagle's.

    An upstream whose last 20 attempts all failed gets none at all until it has answered once: over minutes, what is
    always allowed adds up. Requests are its probes, so nothing has to be waited for when it is back.

    Args:
        ratio: Retries for each request. At least 0.
        per_second: Retries that are always allowed. At least 0.
        clock: Seconds of a clock that only goes forward; the event loop's by default.

    Share one among all that goes to one provider.
    """

    def __init__(self, *, ratio: float = 0.2, per_second: int = 10, clock: Callable[[], float] = _loop_time) -> None:
        # Written so that NaN fails too.
        if not (ratio >= 0 and per_second >= 0):
            raise ValueError(f"'ratio' is {ratio!r} and 'per_second' {per_second!r}. Write numbers of at least 0.")
        self._ratio = ratio
        self._per_second = per_second
        self._reserved = per_second * _WINDOW
        self._clock = clock
        # Errors of the slots are on the safe side: requests are forgotten a little early, retries a little late.
        self._requests = Window(1, slot=_WINDOW / _SLOTS, slots=_SLOTS)
        self._retries = Window(2, slot=_WINDOW / _SLOTS, slots=_SLOTS + 1)
        self._reserve: deque[float] = deque()
        self._consecutive_failures = 0

    def request(self) -> None:
        """A request begins."""
        self._requests.add(0, self._clock())

    def allows(self) -> bool:
        """Whether `retry` would take one."""
        return self._kind(self._clock()) is not None

    def retry(self) -> bool:
        """Take a retry out of the budget; False when it is empty, or the upstream is dead."""
        now = self._clock()
        kind = self._kind(now)
        if kind is None:
            return False
        self._retries.add(kind, now)
        if kind == _RESERVED:
            self._reserve.append(now)
        return True

    def success(self) -> None:
        """The upstream answered an attempt."""
        self._consecutive_failures = 0

    def failure(self) -> None:
        """The upstream failed an attempt."""
        self._consecutive_failures += 1

    def _kind(self, now: float) -> int | None:
        """What the next retry would be taken from; None if there is none."""
        if self._consecutive_failures >= _DEAD:
            return None
        (requests,), (earned, reserved) = self._requests.totals(now), self._retries.totals(now)
        if earned + 1 <= self._ratio * requests:
            return _EARNED
        while self._reserve and self._reserve[0] <= now - _SECOND:
            self._reserve.popleft()
        # Retries that were earned by requests which are forgotten by now are there all the same.
        if earned + reserved + 1 > self._ratio * requests + self._reserved:
            return None
        return _RESERVED if len(self._reserve) < self._per_second else None
