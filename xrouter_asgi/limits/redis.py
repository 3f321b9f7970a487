"""Counts that several processes share, and what is done while they are away."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, NamedTuple, TypeAlias

from .availability import StoreHealth, StoreUnavailable, in_background
from .base import PLACE_WAIT, Charge, Reservation
from .memory import MemoryLimits
from .redis_scripts import CONNECTIONS, RedisCounts

OnError: TypeAlias = Literal["degrade", "open", "closed"]

_UNSENT: Final = 10_000
"""Settlements kept for a Redis that is away; beyond it the oldest are lost, and their estimates stand."""

logger = logging.getLogger("xrouter")


class RedisLimits:
    """Keeps the counts of several processes in one Redis or Valkey.

    Redis is asked once for each reservation and never for longer than `patience`. When it does not answer, this
    process goes on without it and asks again in the background. Settlements wait until it is back.

    Args:
        url: `redis://`, `rediss://`, `unix://`, or the same for Valkey; as redis-py takes it.
        on_error: What to do while Redis is away. `degrade`: admit this process's share of each limit. `open`: admit
            everything. `closed`: admit nothing.
        workers: How many processes share the limits; at least 1.
        patience: Seconds that a request waits for Redis.
        life: Seconds after which the parallel requests of a process that died are over.
    """

    def __init__(
        self,
        url: str,
        *,
        on_error: OnError = "degrade",
        workers: int = 1,
        patience: float = 0.05,
        life: float = 15.0,
    ) -> None:
        if workers < 1:
            raise ValueError(f"At least 1 worker shares the limits, not {workers}.")
        self._counts = RedisCounts(url, life=life)
        self._link = StoreHealth(
            self._counts.probe,
            name="The Redis of the limits",
            patience=patience,
            questions=CONNECTIONS,
            restored=self._resume,
        )
        self._on_error = on_error
        self._workers = workers
        self._life = life
        self._local = MemoryLimits()
        self._held: dict[str, _Lease] = {}
        self._unsent: deque[_Settlement] = deque(maxlen=_UNSENT)
        self._sending: asyncio.Task[None] | None = None
        self._announcing: asyncio.Task[None] | None = None

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        asked = self._link.up
        held = self._held[lease] = _Lease(lease, charges)  # before the await, which may be cancelled
        try:
            grant = await self._link.ask(partial(self._counts.reserve, lease, charges))
        except StoreUnavailable:
            if asked:
                self.settle(lease)  # it may have been taken, or will be
            else:
                del self._held[lease]
            return await self._reserve_alone(lease, charges)
        if grant.admitted:
            self._hold(held)
        else:
            del self._held[lease]
        return grant

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        self._local.settle(lease, costs)
        held = self._held.pop(lease, None)
        if held is None:
            return
        differences = held.differences(costs)
        if held.places or any(differences):
            self._unsent.append(_Settlement(held.name, held.charges, differences))
            self._send_soon()

    async def aclose(self) -> None:
        """Send the settlements that are left, if Redis answers; then close the connections."""
        if self._sending is not None:
            await asyncio.wait([self._sending])
        if self._announcing is not None:
            self._announcing.cancel()
            await asyncio.wait([self._announcing])
        await self._link.aclose()
        if self._unsent:
            logger.warning("%d settlements of limits were not sent: Redis is away", len(self._unsent))
        await self._counts.aclose()

    async def _reserve_alone(self, lease: str, charges: Sequence[Charge]) -> Reservation:
        if self._on_error == "closed":
            return Reservation(False, None, PLACE_WAIT, local=True)
        if self._on_error == "open":
            grant = Reservation(True, local=True)
        else:
            grant = await self._local.reserve([self._share(charge) for charge in charges], lease=lease)
            grant = _as_asked(grant, charges)
        if grant.admitted:
            held = self._held[lease] = _Lease(lease, charges, alone=True)
            self._hold(held)
        return grant

    def _share(self, charge: Charge) -> Charge:
        amount = max(1, charge.limit.amount // self._workers)
        return Charge(charge.subject, replace(charge.limit, amount=amount), min(charge.cost, amount))

    def _hold(self, held: _Lease) -> None:
        """From now on, until it is settled, its places are held."""
        held.granted = True
        if held.places and (self._announcing is None or self._announcing.done()):
            self._announcing = in_background(self._announce(self._life / 3))

    async def _announce(self, pause: float) -> None:
        """Hold the places in Redis as long as there are any, also those that were given while it was away."""
        while True:
            await asyncio.sleep(pause)
            pause = self._life / 3
            places = {held.name: held.places for held in self._held.values() if held.granted and held.places}
            if not places:
                return
            with suppress(StoreUnavailable):
                await self._link.ask(partial(self._counts.announce, places))

    def _resume(self) -> None:
        if self._announcing is not None:
            self._announcing.cancel()
        self._announcing = in_background(self._announce(0))
        self._send_soon()

    def _send_soon(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = in_background(self._send())

    async def _send(self) -> None:
        while self._unsent and self._link.up:
            settlement = self._unsent.popleft()
            try:
                await self._link.ask(partial(self._counts.settle, *settlement))
            except StoreUnavailable:
                self._unsent.appendleft(settlement)  # may have arrived; to repeat it changes nothing


@dataclass(slots=True)
class _Lease:
    """What was asked for.

    Attributes:
        alone: This process gave it, and Redis knows at most of its places.
        granted: The answer was yes.
    """

    lease: str
    charges: Sequence[Charge]
    alone: bool = False
    granted: bool = False

    @property
    def name(self) -> str:
        """As Redis knows it. Under the first name it may have been told that nothing was taken."""
        return f"{self.lease}:alone" if self.alone else self.lease

    @property
    def places(self) -> list[Charge]:
        return [charge for charge in self.charges if charge.limit.unit == "parallel"]

    def differences(self, costs: Sequence[int] | None) -> list[int]:
        """What Redis has to correct for each charge."""
        if self.alone:
            return [0] * len(self.charges)
        costs = costs or [0] * len(self.charges)
        return [cost - charge.cost for charge, cost in zip(self.charges, costs, strict=True)]


class _Settlement(NamedTuple):
    name: str
    charges: Sequence[Charge]
    differences: Sequence[int]


def _as_asked(grant: Reservation, charges: Sequence[Charge]) -> Reservation:
    """The same about the whole limits: a client need not know of shares."""
    limits = [charge.limit for charge in charges]
    standings = tuple(replace(standing, limit=limit) for standing, limit in zip(grant.standings, limits, strict=True))
    refused = next((limit for limit in limits if grant.refused and limit.kind == grant.refused.kind), None)
    return replace(grant, refused=refused, standings=standings, local=True)
