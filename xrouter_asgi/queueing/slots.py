"""The places of calls that may be under way at once, and a fair queue in front of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ..checks import require_positive
from ..errors import ConcurrencyExceeded, UpstreamRateLimited, XRouterError
from ..providers.base import Call
from .adaptive import AdaptiveLimit
from .fair_queue import Lines

# How much one call counts in the mean of how long a slot is held; and what clients are told at least and at most.
_SMOOTHING = 0.2
_SHORTEST_WAIT, _LONGEST_WAIT = 1.0, 60.0


def by_principal(call: Call) -> str:
    """Who calls: the id of the principal; all that have none share one name."""
    principal = call.context.principal
    return "" if principal is None else principal.id


class Slots:
    """The slots of one upstream, taken and given back by `Concurrency`, or by several that share them.

    Waiting calls are served caller by caller, so that one caller's storm does not hold up another's single call. When
    the line is full, a newcomer is refused; or, if its caller has fewer calls in line than somebody else, the last of
    those who have most.

    Args:
        limit: How many may be under way: a number above 0, or an `AdaptiveLimit`.
        queue: How many may wait. At least 0.
        queue_timeout: Seconds one of them waits; `call.deadline` comes before it. Above 0.
        caller: Whose line a call stands in.
        clock: The clock of `call.deadline`.

    Attributes:
        limit: How many may be under way now.
        in_flight: How many are under way.

    Nobody stands in line while there is a free slot: whoever gives one back, or raises the limit, serves the line.
    """

    def __init__(
        self,
        limit: int | AdaptiveLimit = 100,
        *,
        queue: int = 1000,
        queue_timeout: float = 30.0,
        caller: Callable[[Call], str] = by_principal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        require_positive(queue_timeout=queue_timeout, limit=limit if isinstance(limit, int) else None)
        if queue < 0:
            raise ValueError(f"'queue' is {queue!r}. Write a number of at least 0.")
        self._adaptive = None if isinstance(limit, int) else limit
        self.limit = limit if isinstance(limit, int) else limit.value
        self.in_flight = 0
        self._queue = queue
        self._queue_timeout = queue_timeout
        self._caller = caller
        self._clock = clock
        self._lines = Lines()
        self._held = _SHORTEST_WAIT

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._lines)

    def available(self) -> str | None:
        """None when a call would find a slot at once; else why not, for people to read."""
        if self.in_flight < self.limit:
            return None
        return f"over its limit: {self.in_flight} of {self.limit} calls under way"

    async def acquire(self, call: Call) -> float:
        """Take a slot, after standing in line if need be.

        Returns:
            When it was taken, for the methods below.

        Raises:
            ConcurrencyExceeded: There is none.
        """
        if self.in_flight < self.limit:
            self.in_flight += 1
            return self._clock()
        caller = self._caller(call)
        patience = self._queue_timeout
        if call.deadline is not None:
            patience = min(patience, call.deadline - self._clock())
        if patience <= 0 or not self._has_room_for(caller):
            raise self._refusal()
        await self._stand_in_line(caller, patience)
        return self._clock()

    async def _stand_in_line(self, caller: str, patience: float) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._lines.join(caller, turn)
        try:
            async with asyncio.timeout(patience):
                served: bool = await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                if turn.result():
                    self._free()  # It came in the very moment in which we left.
            else:
                self._lines.leave(caller, turn)
            if isinstance(error, TimeoutError):
                raise self._refusal() from None
            raise
        if not served:
            raise self._refusal()

    def _has_room_for(self, caller: str) -> bool:
        """Whether the line has room, if need be by sending away the last of a caller who takes more of it."""
        if len(self._lines) < self._queue:
            return True
        if not self._lines:
            return False
        longest = self._lines.longest()
        if self._lines.length(longest) <= self._lines.length(caller) + 1:
            return False
        last = self._lines.last(longest)
        if not last.done():  # else it is about to leave
            last.set_result(False)
        return True

    def answered(self, began: float, *, streamed: bool) -> None:
        """An upstream committed itself; for a stream that was its first chunk."""
        if self._adaptive is not None:
            self._adaptive.answered(began=began, now=self._clock(), in_use=self.in_flight, streamed=streamed)
            self.limit = self._adaptive.value
            self._serve()

    def failed(self, began: float, error: BaseException) -> None:
        """A call failed, which still has its slot."""
        overloaded = isinstance(error, XRouterError) and error.code == "upstream_overloaded"
        if self._adaptive is not None and (isinstance(error, UpstreamRateLimited) or overloaded):
            self._adaptive.refused(began=began, now=self._clock())
            self.limit = self._adaptive.value

    def release(self, began: float) -> None:
        """Give a slot back."""
        self._held += _SMOOTHING * (self._clock() - began - self._held)
        self._free()

    def _free(self) -> None:
        self.in_flight -= 1
        self._serve()

    def _serve(self) -> None:
        while self.in_flight < self.limit and (turn := self._lines.next()) is not None:
            self.in_flight += 1
            turn.set_result(True)

    def _refusal(self) -> ConcurrencyExceeded:
        wait = self._held * (len(self._lines) + 1) / self.limit
        wait = min(max(wait, _SHORTEST_WAIT), _LONGEST_WAIT)
        return ConcurrencyExceeded(
            f"The upstream serves {self.limit} calls at a time here, and all are taken. Try again in {wait:.1f} s.",
            retry_after=wait,
        )
