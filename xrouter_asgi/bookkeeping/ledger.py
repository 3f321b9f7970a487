"""The observer that writes an entry for each request, off the way of requests."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from ..checks import require_positive
from ..events import EntriesDropped, EntriesKept, RequestEnded, RequestObserver
from ..ledger import Entry, LedgerStore, LedgerUnavailable
from ..limits import Prices
from .entry import NameModel, entry_of

QUEUE: Final = 10_000  # entries that wait at most; further ones are dropped
BATCH: Final = 500  # entries of one transaction
DELAY: Final = 0.8  # seconds that an entry waits for others: with the transaction, it is there within a second
_RETRY: Final = 1.0  # seconds that a store which failed is left alone
_PRUNE_EVERY: Final = 3600.0  # seconds
_PRUNE_PAUSE: Final = 0.1  # seconds between two steps, because others write, too

logger = logging.getLogger("xrouter")


class Ledger(RequestObserver):
    """Writes one entry for each request that asked an upstream, also for one whose client left.

    Entries wait in memory. A task of its own writes them, in one transaction a second or for each 500, and no request
    waits for that. While the store is away 10,000 entries are kept for it; what does not fit is counted and alerted.

        ledger = Ledger(SQLLedger("sqlite:///usage.db"), prices=prices)
        app = RequestEventsMiddleware(router, observers=[ledger])

    Close it with `aclose()`, which writes what waits and closes the store.

    Args:
        store: Keeps the entries.
        prices: What attempts cost. Without them entries have no cost.
        models: Says under which name or pattern a model is served (`router.models.entry`). None takes every name that a
            client gets an answer for.
        labels: Which members of the request's `metadata` are kept, cut to 64 characters.
        retention: Days for which entries are kept; their sums by day are kept five years longer. Above 0.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        store: LedgerStore,
        *,
        prices: Prices | None = None,
        models: NameModel | None = None,
        labels: Sequence[str] = (),
        retention: float = 90.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        require_positive(retention=retention)
        self.dropped = 0
        self.store = store
        self._prices = prices
        self._models = models
        self._labels = tuple(labels)
        self._retention = retention * 86_400
        self._clock = clock
        self._waiting: deque[Entry] = deque()
        self._dropping = False
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._pruned = float("-inf")
        self._pruning: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        # No two processes have the same prefix. Ids that grow are cheaper to look up.
        self._ids = map(f"{time.time_ns():x}-{os.urandom(6).hex()}-{{:08x}}".format, count())

    @property
    def backlog(self) -> int:
        """How many entries are not written yet."""
        return len(self._waiting)

    def __call__(self, event: object) -> None:
        """Take the entry of a request that has ended."""
        if not isinstance(event, RequestEnded) or not event.context.attempts:
            return
        if len(self._waiting) >= QUEUE:
            self._drop(event)
            return
        at = datetime.fromtimestamp(self._clock() - event.duration, UTC)
        self._waiting.append(
            entry_of(event, id=next(self._ids), at=at, prices=self._prices, models=self._models, labels=self._labels)
        )
        if self._dropping:
            self._dropping = False
            event.context.emit(EntriesKept(event.context))
        self._write_soon()

    async def aclose(self) -> None:
        """Write what waits, if the store answers, then close the store."""
        self._closing.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._pruning is not None:
            self._pruning.cancel()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        try:
            while self._waiting:
                await self._write_batch()
        except LedgerUnavailable as error:
            logger.error("%d entries of the ledger are lost: %s", len(self._waiting), error.detail or error.message)
        await self.store.aclose()

    def _drop(self, event: RequestEnded) -> None:
        self.dropped += 1
        if not self._dropping:
            self._dropping = True
            event.context.emit(EntriesDropped(event.context))
            logger.error("The ledger is behind by %d entries: further ones are lost", QUEUE)

    def _write_soon(self) -> None:
        if self._writing is not None or self._closing.is_set():
            return
        if len(self._waiting) >= BATCH and self._timer is not None:
            self._timer.cancel()
            self._write()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self._write)

    def _write(self) -> None:
        self._timer = None
        self._writing = _start(self._write_all())
        if self._clock() >= self._pruned + _PRUNE_EVERY:
            self._pruned = self._clock()
            self._pruning = _start(self._prune())

    async def _write_all(self) -> None:
        told, left = False, True
        while left and not self._closing.is_set():
            try:
                await self._write_batch()
                left = len(self._waiting) >= BATCH
            except LedgerUnavailable as error:
                if not told:
                    told = True
                    logger.warning("The ledger is away: %s", error.detail or error.message)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _RETRY)
        if told and not left:
            logger.warning("The ledger is back")
        self._writing = None
        if self._waiting:
            self._write_soon()

    async def _write_batch(self) -> None:
        batch = [self._waiting[index] for index in range(min(BATCH, len(self._waiting)))]
        await self.store.write(batch)
        for _ in batch:
            self._waiting.popleft()

    async def _prune(self) -> None:
        before = datetime.fromtimestamp(self._clock() - self._retention, UTC)
        deleted = 1
        try:
            while deleted:
                deleted = await self.store.prune(before)
                await asyncio.sleep(_PRUNE_PAUSE)
        except LedgerUnavailable as error:
            logger.warning("Old entries of the ledger could not be deleted: %s", error.detail or error.message)


def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    # In a context of its own: it does not belong to the trace of the request that gave the occasion.
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())
