"""Entries for tests, each of which says only what matters to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from xrouter_asgi.ledger import Entry

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)

_ids = map("entry-{:06}".format, count())


def entry(at: datetime = NOON, **facts: Any) -> Entry:
    usual: dict[str, Any] = {
        "id": next(_ids),
        "request_id": "req_1",
        "key": "key_1",
        "owner": "ann",
        "endpoint": "chat",
        "model": "small",
        "provider": "up",
        "upstream_model": "small-2",
        "input": 10,
        "cached": 4,
        "cache_write": 1,
        "output": 5,
        "reasoning": 2,
        "cost": 100,
        "estimated": False,
        "status": 200,
        "error": None,
        "complete": True,
        "streamed": False,
        "attempts": 1,
        "duration": 1.5,
        "first": 0.5,
    }
    return Entry(at=at, **{**usual, **facts})


def hours(number: float) -> timedelta:
    return timedelta(hours=number)
