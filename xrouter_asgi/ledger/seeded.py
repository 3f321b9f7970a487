"""Budgets that go on where the ledger ends: after a restart, in a new process, and in a Redis that lost its data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from ..limits import Charge, LimitStore, Reservation, WhenUnavailable
from ..limits.base import SLOT_RETRY_AFTER, Counted, LimitStatus
from ..queueing.single_flight import SingleFlight
from ..recent import Recent
from .base import ALL, LedgerStore, LedgerUnavailable, Where

PATIENCE: Final = 0.5  # seconds that a request waits for the ledger
RETRY_INTERVAL: Final = 1.0  # seconds between two questions while the ledger is away
_UNKNOWN: Final = 10_000  # counts that began without the ledger, and are to be completed

logger = logging.getLogger("xrouter")


class SeededBudget:
    """A store of limits whose counts of money begin at what the ledger says was spent.

    A count is new if nothing was in it before a reservation. Then the ledger is asked, once for all who wait, what its
    subject spent in the window; that is added to the count, and the reservation is made again. A window of the calendar
    so goes on exactly. In one that slides, all that was spent counts as spent now.

    Subjects that the ledger does not know, such as addresses, begin at nothing.

    Args:
        inner: Keeps the counts.
        ledger: Is asked. Whoever makes it closes it.
        when_unavailable: While the ledger is away, `closed` refuses what would begin a count; otherwise the count
            begins at nothing, and is completed when the ledger is back.
        now: The wall clock.
    """

    def __init__(
        self,
        inner: LimitStore,
        ledger: LedgerStore,
        *,
        when_unavailable: WhenUnavailable = "degrade",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._inner = inner
        self._ledger = ledger
        self._closed = when_unavailable == "closed"
        self._now = now
        self._flights: SingleFlight[Counted, int] = SingleFlight()
        self._under_way: set[Counted] = set()
        self._incomplete: Recent[Counted, datetime] = Recent(_UNKNOWN)  # since when they count by themselves
        self._away_until = float("-inf")
        self._leases: dict[str, str] = {}  # what reservations that were made again are called inside

    @property
    def backlog(self) -> int:
        """See `LimitStore`."""
        return self._inner.backlog

    async def connect(self) -> None:
        """See `LimitStore`."""
        await self._inner.connect()

    def reserve(self, charges: Sequence[Charge], *, lease: str) -> Coroutine[Any, Any, Reservation]:
        """See `LimitStore`."""
        for charge in charges:
            if charge.limit.unit == "money":
                return self._reserve(charges, lease)
        return self._inner.reserve(charges, lease=lease)

    async def _reserve(self, charges: Sequence[Charge], lease: str) -> Reservation:
        reservation = await self._inner.reserve(charges, lease=lease)
        beginning = []
        if reservation.admitted:
            for charge, status in zip(charges, reservation.statuses, strict=False):  # none if it could not count
                if self._begins(charge, status.remaining + charge.cost):
                    beginning.append(charge)
        if not beginning:
            return reservation
        try:
            added = await self._begin(beginning)
        except (LedgerUnavailable, TimeoutError):
            if not self._closed:
                return reservation
            self._inner.settle(lease)
            return Reservation(False, None, SLOT_RETRY_AFTER, local=True)
        if not added:
            return reservation
        # What was admitted did not know what is spent.
        self._inner.settle(lease)
        again = self._leases[lease] = f"{lease} again"
        return await self._inner.reserve(charges, lease=again)

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        """See `LimitStore`."""
        self._inner.settle(self._leases.pop(lease, lease), costs)

    async def read(self, charges: Sequence[Charge]) -> Sequence[LimitStatus]:
        """See `LimitStore`."""
        statuses = await self._inner.read(charges)
        pairs = zip(charges, statuses, strict=False)
        beginning = [charge for charge, status in pairs if self._begins(charge, status.remaining)]
        try:
            return await self._inner.read(charges) if await self._begin(beginning) else statuses
        except (LedgerUnavailable, TimeoutError):
            return () if self._closed else statuses

    async def aclose(self) -> None:
        """Close the inner store."""
        await self._flights.wait()
        await self._inner.aclose()

    def _begins(self, charge: Charge, remained: int) -> bool:
        """Whether it is of money, and its count, of which so much was left, does not hold yet what was spent."""
        return charge.limit.unit == "money" and (
            remained >= charge.limit.amount or charge.counted in self._under_way or charge.counted in self._incomplete
        )

    async def _begin(self, charges: Sequence[Charge]) -> int:
        """Complete the counts. Returns how much was added."""
        loop = asyncio.get_running_loop()
        added, began = 0, self._now()
        for charge in charges:
            count, where = charge.counted, where_of(charge)
            if where is None:
                continue
            incomplete, away = count in self._incomplete, loop.time() < self._away_until
            work = partial(self._complete, charge, where, began)
            if not away:
                self._under_way.add(count)  # before the flight's first step, for who comes in this moment
            if away and not incomplete:
                self._incomplete.put(count, began)
            if away and (self._closed or not incomplete):
                raise LedgerUnavailable("The ledger does not answer.")
            if not incomplete or self._closed:
                added += await self._flights.do(count, work, deadline=loop.time() + PATIENCE)
            elif not away:
                self._flights.start(count, work)  # nobody waits for a second time
        return added

    async def _complete(self, charge: Charge, where: Where, began: datetime) -> int:
        """Add to a count what was spent before it began."""
        count = charge.counted
        try:
            began = self._incomplete.get(count) or began
            span = charge.span
            since = (
                began - timedelta(seconds=charge.limit.window)
                if span is None
                else datetime.fromtimestamp(span.begins, UTC)
            )
            spent = await self._ledger.spent(where, since)
            if count in self._incomplete:  # it has counted for a while, and the ledger has, too
                spent -= await self._ledger.spent(where, began)
            self._incomplete.discard(count)
        except LedgerUnavailable as error:
            self._incomplete.put(count, began)
            now = asyncio.get_running_loop().time()
            if now >= self._away_until:
                logger.warning("Budgets begin without what was spent before: %s", error.detail or error.message)
            self._away_until = now + RETRY_INTERVAL
            raise
        else:
            return await self._add(charge, min(spent, charge.limit.amount))
        finally:
            self._under_way.discard(count)

    async def _add(self, charge: Charge, spent: int) -> int:
        if spent > 0:
            # The name is the same in all processes, so that a count is completed once. It shows no text of a client.
            name = repr(charge.counted).encode("utf-8", "surrogatepass")
            lease = f"spent {blake2b(name, digest_size=16).hexdigest()}"
            await self._inner.reserve([replace(charge, cost=0)], lease=lease)
            self._inner.settle(lease, [spent])
        return spent


def where_of(charge: Charge) -> Where | None:
    """Whose entries count; None for whom the ledger does not know."""
    match charge.limit.per:
        case "key":
            return Where(key=charge.subject, model=charge.models)
        case "owner":
            return Where(owner=charge.subject, model=charge.models)
        case "group":
            return Where(group=charge.subject, model=charge.models)
        case "model":
            return Where(model=charge.subject)
        case "all":
            return ALL if charge.models is None else Where(model=charge.models)
    return None
