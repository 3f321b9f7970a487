"""Days, weeks and months begin at midnight where the operator lives."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from xrouter_asgi.limits.limit import Period
from xrouter_asgi.limits.periods import Calendar
from xrouter_asgi.testing.clock import Clock

MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")


def told(zone: ZoneInfo, moment: str, period: Period) -> tuple[str, str, str]:
    span = Calendar(zone, clock=Clock(datetime.fromisoformat(moment).timestamp())).span(period)
    begins, ends = (datetime.fromtimestamp(each, UTC).strftime("%m-%d %H:%M") for each in (span.begins, span.ends))
    return span.name, begins, ends


@pytest.mark.parametrize(
    ("zone", "moment", "period", "span"),
    [
        (MOSCOW, "2026-11-30T20:59:59Z", "day", ("2026-11-30", "11-29 21:00", "11-30 21:00")),
        (MOSCOW, "2026-11-30T21:00:00Z", "day", ("2026-12-01", "11-30 21:00", "12-01 21:00")),
        (MOSCOW, "2026-11-30T12:00:00Z", "month", ("2026-11", "10-31 21:00", "11-30 21:00")),
        (MOSCOW, "2026-12-31T12:00:00Z", "month", ("2026-12", "11-30 21:00", "12-31 21:00")),
        (MOSCOW, "2027-01-03T12:00:00Z", "week", ("2026-W53", "12-27 21:00", "01-03 21:00")),
        (BERLIN, "2027-02-28T12:00:00Z", "month", ("2027-02", "01-31 23:00", "02-28 23:00")),
        # Clocks change in these: a day of 23 hours, one of 25, and a month with an hour less.
        (BERLIN, "2027-03-28T12:00:00Z", "day", ("2027-03-28", "03-27 23:00", "03-28 22:00")),
        (BERLIN, "2026-10-25T12:00:00Z", "day", ("2026-10-25", "10-24 22:00", "10-25 23:00")),
        (BERLIN, "2027-03-01T12:00:00Z", "month", ("2027-03", "02-28 23:00", "03-31 22:00")),
    ],
)
def test_a_period_lasts_from_midnight_to_midnight(
    zone: ZoneInfo, moment: str, period: Period, span: tuple[str, str, str]
) -> None:
    assert told(zone, moment, period) == span


def test_a_period_ends_while_the_process_runs() -> None:
    clock = Clock(datetime(2026, 11, 30, 23, 59, 59, tzinfo=MOSCOW).timestamp())
    calendar = Calendar(MOSCOW, clock=clock)
    assert calendar.span("month").name == "2026-11"
    assert calendar.span("month") is calendar.span("month")
    clock.advance(1)
    assert calendar.span("month").name == "2026-12"


def test_a_moment_is_told_with_its_zone() -> None:
    assert Calendar(MOSCOW).shown(datetime(2026, 12, 1, tzinfo=MOSCOW).timestamp()) == "2026-12-01 00:00 Europe/Moscow"
    assert Calendar().shown(0) == "1970-01-01 00:00 UTC"
