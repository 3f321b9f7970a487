from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from xrouter_asgi.providers.http import retry_after

NOW = datetime(2026, 9, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "5"}, 5.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": " 60 "}, 60.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "-1", "retry-after": "61"}, 60.0),
        ({"retry-after-ms": "60001", "retry-after": "9"}, 60.0),
        ({"retry-after-ms": "86400001", "retry-after": "9"}, 9.0),
        ({"retry-after": "3600"}, 60.0),
        ({"retry-after": "86400"}, 60.0),
        *(
            ({"retry-after": absurd}, None)
            for absurd in (
                "0",
                "-1",
                "86401",
                "999999999",
                "99999999999",
                "1e1",
                "1e9",
                "inf",
                "-inf",
                "nan",
                "",
                "soon",
                "1_0",
            )
        ),
        ({"retry-after": "Wed, 21 Oct 1815 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2815 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2815 07:28:00"}, None),
        ({"retry-after": "Wed, 99 Oct 2815 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"}, None),
    ],
)
def test_only_a_wait_that_makes_sense_counts(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        ("Tue, 01 Sep 2026 12:00:30 -0000", 30.0),
        (format_datetime(NOW - timedelta(seconds=30), usegmt=True), None),
        (format_datetime(NOW + timedelta(hours=1), usegmt=True), 60.0),
        (format_datetime(NOW + timedelta(days=365), usegmt=True), None),
    ],
)
def test_a_moment_counts_by_the_clock_of_the_server(moment: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": moment, "date": format_datetime(NOW, usegmt=True)}) == seconds


def test_a_moment_counts_by_our_clock_if_the_server_tells_none() -> None:
    moment = datetime.now(UTC) + timedelta(seconds=40)
    wait = retry_after({"retry-after": format_datetime(moment, usegmt=True)})
    assert wait is not None
    assert 0 < wait <= 40
