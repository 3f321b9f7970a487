"""The few generations an account may have under way at once, and the queue in front of them.

GigaChat counts per account: 1 for individuals, 10 for companies unless more was agreed, streamed or not. What comes
on top is answered 429, and for an account with one slot no backoff helps, only waiting in line.
"""

from __future__ import annotations

import asyncio
from collections import deque

from ...errors import ConcurrencyExceeded

_RETRY_AFTER = 5.0


class Slots:
    """A fair queue for `limit` slots: first come, first served.

    Args:
        limit: How many may be held at once. Above 0.
        queue_timeout: Seconds a caller waits in line. Above 0.
    """

    def __init__(self, limit: int, *, queue_timeout: float = 30.0) -> None:
        if limit < 1:
            raise ValueError(f"'max_parallel' is {limit}. Write a number above 0.")
        # Written so that NaN fails too.
        if not queue_timeout > 0:
            raise ValueError(f"'queue_timeout' is {queue_timeout!r}. Write seconds above 0.")
        self.limit = limit
        self.taken = 0
        self._patience = queue_timeout
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Callers in line."""
        return len(self._queue)

    def available(self) -> str | None:
        """None while one is free; else why there is none, for people to read."""
        return None if self.taken < self.limit else f"over its limit: {self.taken} of {self.limit} calls under way"

    async def acquire(self) -> Slot:
        """Wait for a slot; release what is returned.

        Raises:
            ConcurrencyExceeded: None became free in time.
        """
        if self.taken < self.limit:
            self.taken += 1
        else:
            await self._stand_in_line()
        return Slot(self)

    async def _stand_in_line(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as exc:
            if turn.done() and not turn.cancelled():
                self.give_back()  # It came in the very moment in which we left.
            elif turn in self._queue:
                self._queue.remove(turn)
            if isinstance(exc, TimeoutError):
                raise self._too_late() from None
            raise

    def give_back(self) -> None:
        """Hand a held slot to the first in line. `Slot.release()` does this once."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)  # `taken` stays: the slot changes hands without ever being free.
                return
        self.taken -= 1

    def _too_late(self) -> ConcurrencyExceeded:
        return ConcurrencyExceeded(
            f"GigaChat serves {self.limit} at a time for this account, and none became free within "
            f"{self._patience:g} s. Please try again in {_RETRY_AFTER:g}s.",
            retry_after=_RETRY_AFTER,
        )

    def __repr__(self) -> str:
        return f"Slots({self.taken} of {self.limit} taken, {self.waiting} waiting)"


class Slot:
    """A held slot."""

    __slots__ = ("_slots",)

    def __init__(self, slots: Slots) -> None:
        self._slots: Slots | None = slots

    def release(self) -> None:
        """Give it back. May be called twice."""
        if self._slots is not None:
            slots, self._slots = self._slots, None
            slots.give_back()
