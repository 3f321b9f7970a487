"""Whoever comes from the library `limits` keeps what they have written."""

from __future__ import annotations

import limits
import pytest

from xrouter_asgi.limits.limit import parse_limits

WRITTEN = (
    "10/second",
    "10 per minute",
    "10 per 2 hours",
    "5/10 seconds",
    "100/hour; 1000/day",
    "1/day;20/3 days",
)


@pytest.mark.parametrize("written", WRITTEN)
def test_what_limits_reads_is_read_alike(written: str) -> None:
    theirs = [(item.amount, float(item.get_expiry())) for item in limits.parse_many(written)]
    assert [(limit.amount, limit.window) for limit in parse_limits(written)] == theirs
