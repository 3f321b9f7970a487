"""Counts that several processes share, and what each process does while they are unavailable."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from .base import SLOT_RETRY_AFTER, Charge, LimitStatus, LimitStore, Reservation
from .link import in_background
from .memory import MemoryLimits
from .scripts import NO_LEASE, RedisScripts
from .store_health import StoreHealth, StoreUnavailable

WhenUnavailable: TypeAlias = Literal["degrade", "open", "closed"]

TIMEOUT: Final = 0.05  # seconds after which an answer of Redis is late
MAX_UNSENT: Final = 10_000  # settlements kept while Redis is away

_BATCH: Final = 500  # settlements sent at once when Redis is back
_LAST_WORDS: Final = 1.0  # seconds for the settlements that are left when the store closes

logger = logging.getLogger("xrouter")


class RedisLimits:
    """Keeps the counts of several processes in one Redis or Valkey, the master of a Sentinel set, or a cluster.

    A reservation is one round trip. It sees every settlement of this process before it. If it is late, it waits as long
    again for a probe; if that is late too, this process goes on without Redis and probes it in the background.
    Settlements wait until Redis is back.

    Args:
        url: `redis://`, `rediss://`, `unix://` as redis-py takes them, `redis+sentinel://host:port,host:port/service`,
            `redis+cluster://host:port,host:port`; or the same for Valkey.
        when_unavailable: What to do while Redis is away. `degrade` admits what is left of this process's share of each
            limit, `open` everything, `closed` nothing.
        workers: How many processes share the limits. At least 1.
        timeout: Seconds after which an answer of Redis is late.
        slot_ttl: Seconds after which the parallel slots of a process that died are free.

    Raises ValueError for a URL that cannot be used or too few workers, and ImportError without redis-py.
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
        self._scripts = RedisScripts(url, slot_ttl=slot_ttl)
        self._health = StoreHealth(
            self._scripts, name="The Redis of the limits", timeout=timeout, on_restored=self._catch_up
        )
        self._when_unavailable = when_unavailable
        self._slot_ttl = slot_ttl
        self._local = MemoryLimits(workers=workers)  # also counts what Redis admits to this process
        self._leases: dict[str, _Lease] = {}
        self._unsent: deque[_Settlement] = deque()
        self._in_flight: set[asyncio.Future[Any]] = set()
        self._lost = 0  # settlements, since Redis went away
        self._sending: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    @property
    def backlog(self) -> int:
        """How many settlements Redis has not confirmed yet."""
        return len(self._unsent) + len(self._in_flight)

    async def connect(self) -> None:
        """Connect now, so that no request waits for it. A Redis that does not answer goes to the log."""
        with suppress(StoreUnavailable):
            await self._health.connect()

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        was_up = self._health.up
        reserving = self._leases[lease] = _Lease(lease, charges)  # before the await, which may be cancelled
        groups = list(self._scripts.by_slot(charges).values())
        try:
            answers = await self._health.call(partial(self._ask, reserving, groups))
        except StoreUnavailable:
            if was_up:
                self.settle(lease)  # Redis may have taken it, or may take it later
            else:
                del self._leases[lease]
            return await self._reserve_locally(lease, charges)
        reservation = self._joined(charges, groups, answers)
        if reservation.admitted:
            self._local.note(charges, lease=lease)
            self._hold(reserving)
        elif len(groups) > 1:
            self.settle(lease)  # what other servers have admitted
        else:
            del self._leases[lease]
        return reservation

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        self._local.settle(lease, costs)
        settled = self._leases.pop(lease, None)
        if settled is None:
            return
        differences = settled.differences(costs)
        if not (settled.holds or any(differences)):
            return
        for indices in self._scripts.by_slot(settled.charges).values():
            charges = [settled.charges[index] for index in indices]
            self._keep(_Settlement(settled.name, charges, [differences[index] for index in indices]))
        if self._health.up:
            self._send(len(self._unsent))

    async def read(self, charges: Sequence[Charge]) -> Sequence[LimitStatus]:
        groups = list(self._scripts.by_slot(charges).values())
        if not groups:
            return ()
        try:
            answers = await self._health.call(partial(self._ask, _Lease(NO_LEASE, charges), groups))
        except StoreUnavailable:
            return ()
        return self._joined(charges, groups, answers).statuses

    async def aclose(self) -> None:
        """Send the settlements that are left, if Redis answers; then close the connections."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                while self.backlog:
                    await self._health.connect()
                    self._send(len(self._unsent))
                    await asyncio.wait(set(self._in_flight))
        await self._health.aclose()
        if self._sending is not None:
            await asyncio.wait([self._sending])
        if self._unsent:
            logger.warning("%d settlements of limits were not sent: Redis is away", len(self._unsent))

    def _ask(self, lease: _Lease, groups: Sequence[Sequence[int]]) -> list[asyncio.Future[Any]]:
        self._send(len(self._unsent))
        return [self._scripts.reserve(lease.lease, [lease.charges[index] for index in indices]) for indices in groups]

    def _joined(
        self, charges: Sequence[Charge], groups: Sequence[Sequence[int]], answers: Sequence[Any]
    ) -> Reservation:
        """One answer of those of all servers."""
        if len(groups) == 1:
            return self._scripts.reservation(charges, answers[0])
        parts = [
            self._scripts.reservation([charges[index] for index in indices], answer)
            for indices, answer in zip(groups, answers, strict=True)
        ]
        worst = max(parts, key=lambda part: part.retry_after)
        statuses = {}
        for indices, part in zip(groups, parts, strict=True):
            for index, status in zip(indices, part.statuses, strict=True):
                back = charges[index].cost if part.admitted and not worst.admitted else 0
                statuses[index] = replace(status, remaining=status.remaining + back)
        return replace(worst, statuses=[statuses[index] for index in range(len(charges))])

    async def _reserve_locally(self, lease: str, charges: Sequence[Charge]) -> Reservation:
        if self._when_unavailable == "closed":
            return Reservation(False, None, SLOT_RETRY_AFTER, local=True)
        if self._when_unavailable == "open":
            reservation = Reservation(True, local=True)
        else:
            reservation = replace(await self._local.reserve(charges, lease=lease), local=True)
        if reservation.admitted:
            self._leases[lease] = _Lease(lease, charges, local=True)
            self._hold(self._leases[lease])
        return reservation

    def _hold(self, lease: _Lease) -> None:
        lease.admitted = True
        if lease.holds and (self._renewing is None or self._renewing.done()):
            self._renewing = in_background(self._renew())

    def _held(self) -> dict[str, Sequence[Charge]]:
        return {lease.name: lease.charges for lease in self._leases.values() if lease.admitted and lease.holds}

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._slot_ttl / 3)
            if not (held := self._held()):
                return
            with suppress(StoreUnavailable):
                await self._health.call(partial(self._scripts.renew, held))

    async def _catch_up(self) -> None:
        """Tell a Redis that is back which slots are in use, and what was settled."""
        await asyncio.gather(*self._scripts.renew(self._held()))
        while self._unsent:
            self._send(_BATCH)
            done, _ = await asyncio.wait(set(self._in_flight))
            for answer in done:
                answer.result()
        if self._lost:
            logger.warning("%d settlements of limits were lost while Redis was away", self._lost)
            self._lost = 0

    def _keep(self, settlement: _Settlement) -> None:
        if len(self._unsent) >= MAX_UNSENT:
            self._unsent.popleft()
            self._lost += 1
            if self._lost == 1:
                logger.warning("More than %d settlements of limits wait: the oldest are lost", MAX_UNSENT)
        self._unsent.append(settlement)

    def _send(self, most: int) -> None:
        """Send settlements. They reach Redis before whatever is sent after them."""
        if not self._scripts.connected:
            self._send_soon()
            return
        for _ in range(min(most, len(self._unsent))):
            settlement = self._unsent.popleft()
            answer = self._scripts.settle(settlement.lease, settlement.charges, settlement.differences)
            self._in_flight.add(answer)
            answer.add_done_callback(partial(self._sent, settlement))

    def _sent(self, settlement: _Settlement, answer: asyncio.Future[Any]) -> None:
        self._in_flight.discard(answer)
        error = answer.exception()
        if error is not None:
            self._keep(settlement)  # Redis may have it already; a second time changes nothing
            if self._health.up and isinstance(error, Exception) and self._scripts.is_lost(error):
                self._scripts.disconnect()
                self._send_soon()

    def _send_soon(self) -> None:
        if self._health.up and self._unsent and (self._sending is None or self._sending.done()):
            self._sending = in_background(self._connect_and_send())

    async def _connect_and_send(self) -> None:
        with suppress(StoreUnavailable):
            await self._health.connect()
            self._send(len(self._unsent))


@dataclass(frozen=True, slots=True)
class _Settlement:
    """What Redis has to be told, of one slot."""

    lease: str
    charges: Sequence[Charge]
    differences: Sequence[int]


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
    def holds(self) -> bool:
        """Whether it holds slots."""
        return any(charge.held for charge in self.charges)

    def differences(self, costs: Sequence[int] | None) -> list[int]:
        """What Redis has to add to each charge."""
        if self.local:
            return [0] * len(self.charges)
        costs = costs or [0] * len(self.charges)
        return [cost - charge.cost for charge, cost in zip(self.charges, costs, strict=True)]


def store_at(url: str) -> LimitStore:
    """The store for a URL: `memory://`, or any that `RedisLimits` takes. Raises what `RedisLimits` raises."""
    return MemoryLimits() if url == "memory://" else RedisLimits(url)
