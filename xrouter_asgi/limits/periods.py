"""The periods of the calendar that windows can be: a day, a week or a month, from midnight to midnight."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from .limit import Limit, Period


class Span(NamedTuple):
    """One period. Times are seconds since the epoch."""

    name: str  # `2026-11-30`, `2026-W49`, `2026-11`
    begins: float
    ends: float


class Calendar:
    """Says which day, week and month it is. A week begins on Monday.

    Args:
        timezone: In which days begin.
        clock: Seconds since the epoch.
    """

    def __init__(self, timezone: tzinfo = UTC, *, clock: Callable[[], float] = time.time) -> None:
        self.timezone = timezone
        self.now = clock
        self._current: dict[Period, Span] = {}

    def span(self, period: Period) -> Span:
        """The period of this kind that it is now."""
        now = self.now()
        span = self._current.get(period)
        if span is None or not span.begins <= now < span.ends:
            span = self._current[period] = self._span(period, datetime.fromtimestamp(now, self.timezone))
        return span

    def period_of(self, limit: Limit, span: Span | None) -> str:
        """A name for the present window of a limit, which is another one when that is over."""
        return span.name if span is not None else f"{self.now() // limit.window:.0f}"

    def shown(self, moment: float) -> str:
        """A moment as people read it: `2026-12-01 00:00 Europe/Moscow`."""
        return f"{datetime.fromtimestamp(moment, self.timezone):%Y-%m-%d %H:%M} {self.timezone}"

    def _span(self, period: Period, now: datetime) -> Span:
        today = datetime(now.year, now.month, now.day, tzinfo=self.timezone)
        # Sums of days are of the calendar here, and not of 24 hours: the zone stays, and the offset is found anew.
        match period:
            case "day":
                name, first, after = f"{today:%Y-%m-%d}", today, today + timedelta(days=1)
            case "week":
                first = today - timedelta(days=today.weekday())
                name, after = f"{first:%G-W%V}", first + timedelta(days=7)
            case "month":
                first = today.replace(day=1)
                name, after = f"{today:%Y-%m}", (first + timedelta(days=31)).replace(day=1)
        return Span(name, first.timestamp(), after.timestamp())
