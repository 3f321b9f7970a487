"""The calls that an upstream may have under way at once, and a fair queue for the rest."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeAlias

from ..checks import require_positive
from ..errors import ConcurrencyExceeded, UpstreamRateLimited, UpstreamTimeout, XRouterError
from .adaptive import AdaptiveLimit

_SMOOTHING = 0.2  # the weight of one call in the mean time that a slot is held
_SHORTEST_WAIT, _LONGEST_WAIT = 1.0, 60.0  # seconds; bounds of `retry_after`
_BURST = 0.1  # seconds; CoDel's interval (RFC 8289, 4.2)
_LONGEST_DELAY, _CALLS_AHEAD = 1.0, 4  # what a queue that never empties may add: so many seconds, or such mean times
_MISTAKEN = 1.5  # times as long as it may add: then the delay was estimated wrongly, because calls take longer now

Waiter: TypeAlias = "asyncio.Future[Slot | None]"
"""Resolved with its slot when it is served, with None when it is sent away; cancelled when it leaves."""


class FairQueue:
    """Serves callers in rotation: one caller's thousand waiters delay another caller's first by a single turn."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Waiter]] = {}  # the next caller to be served comes first
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, caller: str, waiter: Waiter) -> None:
        self._queues.setdefault(caller, deque()).append(waiter)
        self._length += 1

    def discard(self, caller: str, waiter: Waiter) -> None:
        """Remove a waiter, if it is still here."""
        queue = self._queues.get(caller, deque())
        if waiter in queue:
            queue.remove(waiter)
            self._length -= 1
            if not queue:
                del self._queues[caller]

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

    def turns(self, caller: str) -> int:
        """How many waiters, a new one of that caller included, are served until this one is, if no more come."""
        own = len(self._queues.get(caller, ()))
        others = len(self._queues) - (own > 0)
        return min(self._length + 1, (own + 1) * (others + 1))

    def displace(self, caller: str) -> Waiter | None:
        """Remove the newest waiter of the caller that has most, if this one has at least two fewer."""
        longest = max(self._queues.values(), key=len, default=deque())
        if len(longest) <= len(self._queues.get(caller, ())) + 1:
            return None
        self._length -= 1
        return longest.pop()


class Slots:
    """The slots of one upstream. Several users may share them.

    Callers wait in a fair queue, so that one caller's storm does not hold up another's single call. A call that finds
    the queue full is refused, unless another caller has at least two more waiters: then the newest of those is.

    A queue absorbs bursts. One that has not been empty for 100 ms only adds delay (CoDel's idea): then a call that
    would wait for more than a second, and for more than four times as long as calls take, is refused at once. One that
    has waited for half as long again is refused as well: calls take longer now than they did when it came.

    Args:
        limit: How many calls may be under way: a number above 0, or an `AdaptiveLimit`.
        queue: How many calls may wait. At least 0.
        queue_timeout: Seconds that a call waits at most. Above 0.
        name: Whose slots they are, for messages to clients.

    Attributes:
        limit: How many calls may be under way now.
        in_flight: How many are under way.

    Nobody waits while a slot is free: `Slot.release()` and a rising limit serve the queue.
    """

    def __init__(
        self,
        limit: int | AdaptiveLimit = 100,
        *,
        queue: int = 1000,
        queue_timeout: float = 30.0,
        name: str = "The upstream",
    ) -> None:
        require_positive(queue_timeout=queue_timeout, limit=limit if isinstance(limit, int) else None)
        if queue < 0:
            raise ValueError(f"'queue' is {queue!r}. Write a number of at least 0.")
        self._adaptive = None if isinstance(limit, int) else limit
        self.limit = limit if isinstance(limit, int) else limit.value
        self.in_flight = 0
        self._capacity = queue
        self._queue_timeout = queue_timeout
        self._name = name
        self._queue = FairQueue()
        self._mean_held = _SHORTEST_WAIT
        self._queued_since = 0.0  # when the queue was last empty
        self._told_until = 0.0  # when the refused call is to come back that was told the latest time

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._queue)

    def over_limit(self) -> str | None:
        """None while a call would get a slot at once; else why it would not, for people to read."""
        if self.in_flight < self.limit:
            return None
        return f"over its limit: {self.in_flight} of {self.limit} calls under way"

    async def acquire(self, caller: str = "", *, deadline: float | None = None) -> Slot:
        """Take a slot, after waiting for it if need be. Release it on every way out.

        Args:
            caller: Who calls: each caller has an equal share of the queue.
            deadline: When to stop waiting, in the loop's time.

        Raises:
            ConcurrencyExceeded: The queue is full, or no slot became free within `queue_timeout`.
            UpstreamTimeout: `total_timeout`: the deadline came first.
        """
        if self.in_flight < self.limit:
            self.in_flight += 1
            return Slot(self)
        now = asyncio.get_running_loop().time()
        if deadline is not None and deadline <= now:
            raise self._too_late()
        patience = self._patience(caller, now)
        if not self._make_room_for(caller):
            raise self._refusal("all are taken, and the queue is full")
        until = now + patience
        try:
            return await self._enqueue(caller, until if deadline is None else min(until, deadline))
        except TimeoutError:
            if deadline is not None and deadline < until:
                raise self._too_late() from None
            raise self._refusal(f"none became free within {patience:.3g} s") from None

    async def _enqueue(self, caller: str, until: float) -> Slot:
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._queue.add(caller, waiter)
        try:
            async with asyncio.timeout_at(until):
                slot = await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                if waiter.result() is not None:
                    self._free()  # The slot came in the very moment of leaving.
            else:
                self._queue.discard(caller, waiter)
            raise
        if slot is None:
            raise self._refusal("all are taken, and the queue is full")
        return slot

    def _patience(self, caller: str, now: float) -> float:
        """Seconds that a new call of this caller may wait.

        Raises:
            ConcurrencyExceeded: The queue never empties, and the wait would be too long.
        """
        if not self._queue:
            self._queued_since = now
        elif now - self._queued_since > _BURST:
            if self._delay(caller) > self._longest_delay:
                raise self._refusal("all are taken, and more calls come than are answered")
            return min(self._queue_timeout, _MISTAKEN * self._longest_delay)
        return self._queue_timeout

    def _make_room_for(self, caller: str) -> bool:
        """Whether the queue has room, if need be by sending away the newest waiter of the caller who has most."""
        if len(self._queue) < self._capacity:
            return True
        newest = self._queue.displace(caller)
        if newest is None:
            return False
        if not newest.done():  # else it is about to leave
            newest.set_result(None)
        return True

    def _free(self) -> None:
        self.in_flight -= 1
        self._serve()

    def _serve(self) -> None:
        while self.in_flight < self.limit and (waiter := self._queue.next()) is not None:
            self.in_flight += 1
            waiter.set_result(Slot(self))  # held from now on: a late event loop is a part of how long calls take

    @property
    def _longest_delay(self) -> float:
        return max(_LONGEST_DELAY, _CALLS_AHEAD * self._mean_held)

    def _delay(self, caller: str) -> float:
        """Seconds that a new call of this caller would wait at most, as calls have gone so far."""
        return self._mean_held * self._queue.turns(caller) / self.limit

    def _refusal(self, reason: str) -> ConcurrencyExceeded:
        # Each refused call is told a time of its own: if all came back at once, most would be refused again.
        now, each = asyncio.get_running_loop().time(), self._mean_held / self.limit
        wait = max(each * (len(self._queue) + 1), _SHORTEST_WAIT, self._told_until - now)
        wait = min(wait, _LONGEST_WAIT)
        self._told_until = now + wait + each
        return ConcurrencyExceeded(
            f"{self._name} serves {_calls(self.limit)} at a time here, and {reason}. Please try again in {wait:.1f}s.",
            retry_after=wait,
        )

    def _too_late(self) -> UpstreamTimeout:
        return UpstreamTimeout(
            f"{self._name} serves {_calls(self.limit)} at a time here, and none became free in the time of this call.",
            code="total_timeout",
            trips=False,  # the upstream was not asked
        )

    def __repr__(self) -> str:
        return f"Slots({self.in_flight} of {self.limit} taken, {self.waiting} waiting)"


class Slot:
    """A slot that is held. Tell it what becomes of its call, then release it."""

    __slots__ = ("_began", "_held", "_slots")

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._began = asyncio.get_running_loop().time()
        self._held = True

    def answered(self, *, streamed: bool) -> None:
        """Note that the upstream committed itself, to a stream by its first chunk."""
        slots = self._slots
        if self._held and slots._adaptive is not None:
            slots._adaptive.answered(
                began=self._began, now=asyncio.get_running_loop().time(), in_use=slots.in_flight, streamed=streamed
            )
            slots.limit = slots._adaptive.value
            slots._serve()

    def failed(self, error: BaseException) -> None:
        """Note that the call failed."""
        slots = self._slots
        overloaded = isinstance(error, XRouterError) and error.code == "upstream_overloaded"
        if self._held and slots._adaptive is not None and (isinstance(error, UpstreamRateLimited) or overloaded):
            slots._adaptive.refused(began=self._began, now=asyncio.get_running_loop().time())
            slots.limit = slots._adaptive.value

    def release(self) -> None:
        """Give the slot back. May be called twice."""
        if self._held:
            self._held = False
            held = asyncio.get_running_loop().time() - self._began
            self._slots._mean_held += _SMOOTHING * (held - self._slots._mean_held)
            self._slots._free()


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number} calls"
