"""What was spent, for whoever may see all of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

from .base import ALL, LedgerStore, Totals, Where
from .budgets import Budgets
from .days import day_of
from .report import SINCE, SpendReport, dimensions, moment


class Spend:
    """Asks a ledger what was spent, by whom and on what.

    Args:
        ledger: Whoever makes it closes it.
        currency: Of its costs.
        timezone: In which its days begin.
        budgets: How far they are used up; None where nothing limits money.
        now: The wall clock.
    """

    def __init__(
        self,
        ledger: LedgerStore,
        *,
        currency: str = "USD",
        timezone: tzinfo = UTC,
        budgets: Budgets | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.ledger = ledger
        self.currency = currency
        self.budgets = budgets
        self._zone = timezone
        self._now = now

    async def report(
        self, *, by: str = "owner", since: str = SINCE, until: str | None = None, where: Where = ALL
    ) -> SpendReport:
        """What was spent, as people ask for it. Raises ValueError, and LedgerUnavailable.

        Args:
            by: What to split by, such as `owner,model`; empty for nothing.
            since, until: The first day and the last one, such as `30d` or `2026-11-30`; None is today.
        """
        now = self._now()
        split = dimensions(by)
        first = moment(since, now=now, zone=self._zone)
        last = now if until is None else moment(until, now=now, zone=self._zone)
        sums = await self.ledger.sums(by=split, since=first, until=last, where=where)
        whole = await self.ledger.sums(by=(), since=first, until=last, where=where)
        total = whole[0].totals if whole else Totals()
        return SpendReport(split, day_of(first, self._zone), day_of(last, self._zone), self.currency, total, sums)
