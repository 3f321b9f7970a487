"""A store of limits that records its reservations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xrouter_asgi.limits import MemoryLimits
from xrouter_asgi.limits.base import Charge, Reservation


class Ledger(MemoryLimits):
    """Notes which reservations are open, and how often each was settled.

    Attributes:
        open: Leases that took something and are not settled.
        settled: How often those were settled that once were open.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self.open: set[str] = set()
        self.settled: dict[str, int] = {}

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        grant = await super().reserve(charges, lease=lease)
        if grant.admitted:
            self.open.add(lease)
        return grant

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        super().settle(lease, costs)
        if lease in self.open or lease in self.settled:
            self.open.discard(lease)
            self.settled[lease] = self.settled.get(lease, 0) + 1
