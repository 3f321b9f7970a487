"""Counts that several processes share, and what each process does while they are unavailable."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, TypeAlias

from .base import SLOT_RETRY_AFTER, Charge, LimitStore, Reservation
from .memory import MemoryLimits
from .scripts import CONNECTIONS, RedisScripts
from .store_health import StoreHealth, StoreUnavailable, in_background

WhenUnavailable: TypeAlias = Literal["degrade", "open", "closed"]

TIMEOUT: Final = 0.05  # seconds that a request waits for Redis
MAX_UNSENT: Final = 10_000  # settlements kept while Redis is away

logger = logging.getLogger("xrouter")


class RedisLimits:
    """Keeps the counts of several processes in one Redis or Valkey.

    A reservation is one call to Redis and waits at most `timeout`. While Redis does not answer, this process goes on
    without it and probes it in the background. Settlements wait until Redis is back.

    Args:
        url: `redis://`, `rediss://`, `unix://`, or the same for Valkey; as redis-py takes it.
        when_unavailable: What to do while Redis is away. `degrade` admits this process's share of each limit, `open`
            everything, `closed` nothing.
        workers: How many processes share the limits. At least 1.
        timeout: Seconds that a request waits for Redis.
        slot_ttl: Seconds after which the parallel slots of a process that died are free.

    Raises ValueError for an unknown scheme or too few workers, and ImportError without redis-py.
    """

    def __init__(
        self,
        url: str,
        *,
        when_unavailable: WhenUnavailable = "degrade",
        workers: int = 1,
        timeout: float = TIMEOUT,
        slot_ttl: float = 15.0,
    ) -> None:
        if workers < 1:
            raise ValueError(f"At least 1 worker shares the limits, not {workers}.")
        _check_address(url)
        self._scripts = RedisScripts(url, slot_ttl=slot_ttl)
        self._health = StoreHealth(
            self._scripts.probe,
            name="The Redis of the limits",
            timeout=timeout,
            max_parallel=CONNECTIONS,
            on_restored=self._resume,
        )
        self._when_unavailable = when_unavailable
        self._workers = workers
        self._slot_ttl = slot_ttl
        self._local = MemoryLimits()
        self._leases: dict[str, _Lease] = {}
        # The names, charges and differences of settlements. A new one replaces the oldest, whose estimated cost stands.
        self._unsent: deque[tuple[str, Sequence[Charge], Sequence[int]]] = deque(maxlen=MAX_UNSENT)
        self._sending: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        was_up = self._health.up
        reserving = self._leases[lease] = _Lease(lease, charges)  # before the await, which may be cancelled
        try:
            reservation = await self._health.call(partial(self._scripts.reserve, lease, charges))
        except StoreUnavailable:
            if was_up:
                self.settle(lease)  # Redis may have taken it, or may take it later
            else:
                del self._leases[lease]
            return await self._reserve_locally(lease, charges)
        if reservation.admitted:
            self._hold(reserving)
        else:
            del self._leases[lease]
        return reservation

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        self._local.settle(lease, costs)
        settled = self._leases.pop(lease, None)
        if settled is None:
            return
        differences = settled.differences(costs)
        if settled.slots or any(differences):
            self._unsent.append((settled.name, settled.charges, differences))
            self._send_soon()

    async def aclose(self) -> None:
        """Send the settlements that are left, if Redis answers; then close the connections."""
        if self._sending is not None:
            await asyncio.wait([self._sending])
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        await self._health.aclose()
        if self._unsent:
            logger.warning("%d settlements of limits were not sent: Redis is away", len(self._unsent))
        await self._scripts.aclose()

    async def _reserve_locally(self, lease: str, charges: Sequence[Charge]) -> Reservation:
        if self._when_unavailable == "closed":
            return Reservation(False, None, SLOT_RETRY_AFTER, local=True)
        if self._when_unavailable == "open":
            reservation = Reservation(True, local=True)
        else:
            shares = [self._share(charge) for charge in charges]
            reservation = _of_whole_limits(await self._local.reserve(shares, lease=lease), charges)
        if reservation.admitted:
            self._leases[lease] = _Lease(lease, charges, local=True)
            self._hold(self._leases[lease])
        return reservation

    def _share(self, charge: Charge) -> Charge:
        amount = max(1, charge.limit.amount // self._workers)
        return Charge(charge.subject, replace(charge.limit, amount=amount), min(charge.cost, amount))

    def _hold(self, lease: _Lease) -> None:
        lease.admitted = True
        if lease.slots and (self._renewing is None or self._renewing.done()):
            self._renewing = in_background(self._renew(self._slot_ttl / 3))

    async def _renew(self, pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            pause = self._slot_ttl / 3
            slots = {lease.name: lease.slots for lease in self._leases.values() if lease.admitted and lease.slots}
            if not slots:
                return
            with suppress(StoreUnavailable):
                await self._health.call(partial(self._scripts.renew, slots))

    def _resume(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        self._renewing = in_background(self._renew(0))
        self._send_soon()

    def _send_soon(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = in_background(self._send())

    async def _send(self) -> None:
        while self._unsent and self._health.up:
            settlement = self._unsent.popleft()
            try:
                await self._health.call(partial(self._scripts.settle, *settlement))
            except StoreUnavailable:
                self._unsent.appendleft(settlement)  # Redis may have it already; a second time changes nothing


@dataclass(slots=True)
class _Lease:
    """A reservation that is not settled yet."""

    lease: str
    charges: Sequence[Charge]
    local: bool = False  # this process admitted it alone; Redis hears of its slots only
    admitted: bool = False

    @property
    def name(self) -> str:
        """The name in Redis. A local lease needs another one: the first was settled, and takes nothing any more."""
        return f"{self.lease}:local" if self.local else self.lease

    @property
    def slots(self) -> list[Charge]:
        return [charge for charge in self.charges if charge.limit.unit == "parallel"]

    def differences(self, costs: Sequence[int] | None) -> list[int]:
        """What Redis has to add to each charge."""
        if self.local:
            return [0] * len(self.charges)
        costs = costs or [0] * len(self.charges)
        return [cost - charge.cost for charge, cost in zip(self.charges, costs, strict=True)]


def _of_whole_limits(reservation: Reservation, charges: Sequence[Charge]) -> Reservation:
    """The same answer in terms of whole limits: clients do not know about shares."""
    limits = [charge.limit for charge in charges]
    statuses = tuple(replace(status, limit=limit) for status, limit in zip(reservation.statuses, limits, strict=True))
    refused = next((limit for limit in limits if reservation.refused and limit.kind == reservation.refused.kind), None)
    return replace(reservation, refused=refused, statuses=statuses, local=True)


def store_at(url: str) -> LimitStore:
    """The store for a URL: `memory://`, or any that `RedisLimits` takes. Raises what `RedisLimits` raises."""
    return MemoryLimits() if url == "memory://" else RedisLimits(url)


_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[^@/?#:,\[\]\s]*)(?::\d{1,5})?"
_USER = r"(?:[^@/?#\[\]\x00-\x1f\x7f-\U0010ffff]*@)?"
_ADDRESS = re.compile(rf"[a-z+]+://{_USER}{_HOST}(?:,{_HOST})*(?:/[^@?#]*)?(?:\?[^@#]*)?")


def _check_address(url: str) -> None:
    """Raise ValueError for a URL whose password would be taken for a part of the address. redis-py would show it."""
    if not _ADDRESS.fullmatch(url):
        example = "Write something like redis://:PASSWORD@redis.example.com:6379/0"
        escapes = "%2F for '/', %3F for '?', %23 for '#', %40 for '@', %5B for '[' and %5D for ']'"
        raise ValueError(f"The URL of Redis cannot be read. {example}, and in the password {escapes}.")
