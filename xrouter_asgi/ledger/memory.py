"""A ledger in the memory of one process: for tests, and for hosts that need no more."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

from .base import ALL, PRUNED_AT_ONCE, Cursor, Dimension, Entry, Page, Sum, Totals, Where
from .days import DayKey, added_to_days, day_of, first_kept, is_meant, midnight_before, summed


class MemoryLedger:
    """Keeps entries for the life of the process. Whoever makes it prunes it; `Ledger` does.

    Args:
        timezone: Where days begin.
    """

    def __init__(self, *, timezone: tzinfo = UTC) -> None:
        self._zone = timezone
        self._entries: list[Entry] = []  # the earliest first
        self._ids: set[str] = set()
        self._days: dict[DayKey, Totals] = {}

    async def write(self, entries: Sequence[Entry], /) -> None:
        new = list({entry.id: entry for entry in entries if entry.id not in self._ids}.values())
        for entry in new:
            self._ids.add(entry.id)
            insort(self._entries, entry, key=_place)
        for key, totals in added_to_days(new, self._zone).items():
            self._days.setdefault(key, Totals()).include(totals)

    async def spent(self, where: Where, since: datetime, /) -> int:
        first = day_of(since, self._zone)
        whole = sum(
            totals.cost for key, totals in self._days.items() if key.day >= first and is_meant(where, key.values())
        )
        begin, end = (
            bisect_left(self._entries, (moment, ""), key=_place)
            for moment in (midnight_before(since, self._zone), since)
        )
        return whole - sum(entry.cost or 0 for entry in self._entries[begin:end] if _meant(entry, where))

    async def sums(
        self, *, by: Sequence[Dimension], since: datetime, until: datetime, where: Where = ALL
    ) -> Sequence[Sum]:
        first, last = day_of(since, self._zone), day_of(until, self._zone)
        parts = [(key.values(), totals) for key, totals in self._days.items() if first <= key.day <= last]
        return summed([part for part in parts if is_meant(where, part[0])], by)

    async def entries(self, *, where: Where = ALL, before: Cursor | None = None, limit: int = 100) -> Page:
        end = len(self._entries) if before is None else bisect_left(self._entries, before, key=_place)
        found = [entry for entry in self._entries[:end] if _meant(entry, where)][::-1]
        page = found[:limit]
        return Page(page, _place(page[-1]) if len(found) > limit else None)

    async def prune(self, before: datetime, /) -> int:
        end = min(bisect_left(self._entries, (before, ""), key=_place), PRUNED_AT_ONCE)
        self._ids -= {entry.id for entry in self._entries[:end]}
        del self._entries[:end]
        first = first_kept(before, self._zone)
        self._days = {key: totals for key, totals in self._days.items() if key.day >= first}
        return end

    async def aclose(self) -> None: ...


def _place(entry: Entry) -> Cursor:
    return Cursor(entry.at, entry.id)


def _meant(entry: Entry, where: Where) -> bool:
    (key,) = added_to_days([entry], UTC)
    return is_meant(where, key.values())
