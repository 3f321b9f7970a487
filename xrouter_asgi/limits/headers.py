"""The headers that tell a client how much of its limits is left."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Final, TypeAlias

from .base import LimitStatus
from .limit import Unit
from .periods import Calendar

_UNITS: Final = {"requests": "requests", "parallel": "concurrent-requests"}  # the draft registers no unit for tokens


Tightest: TypeAlias = dict[Unit, LimitStatus]

_OPENAI: Final[tuple[tuple[Unit, bytes, bytes, bytes], ...]] = (
    ("requests", b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    ("tokens", b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
)


def duration(seconds: float) -> bytes:
    """Go's notation, rounded up to milliseconds: `12ms`, `7.66s`, `6m0s`, `1h0m0s`."""
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if 0 < milliseconds < 1000:
        return b"%dms" % milliseconds
    minutes, rest = divmod(milliseconds, 60_000)
    if not minutes:
        return b"%gs" % (rest / 1000)
    if minutes < 60:
        return b"%dm%gs" % (minutes, rest / 1000)
    return b"%dh%dm%gs" % (*divmod(minutes, 60), rest / 1000)


def openai_headers(tightest: Tightest) -> dict[bytes, bytes]:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, for the request and the token limit with least left."""
    headers: dict[bytes, bytes] = {}
    for unit, limit, remaining, reset in _OPENAI:
        status = tightest.get(unit)
        if status is not None:
            headers[limit] = b"%d" % status.limit.amount
            headers[remaining] = b"%d" % status.remaining
            headers[reset] = duration(status.reset)
    return headers


def budget_headers(tightest: Tightest, calendar: Calendar) -> dict[bytes, bytes]:
    """`x-xrouter-budget-{limit,remaining,reset}`, for the limit of money with least left: `20 USD`, and when all of it
    is there again, by RFC 3339."""
    status = tightest.get("money")
    if status is None:
        return {}
    limit = status.limit
    whole = calendar.now() + status.reset if limit.calendar is None else calendar.span(limit.calendar).ends
    return {
        b"x-xrouter-budget-limit": limit.amount_text.encode(),
        b"x-xrouter-budget-remaining": limit.shown(status.remaining).encode(),
        b"x-xrouter-budget-reset": _moment(math.ceil(whole), calendar.timezone),
    }


@lru_cache(maxsize=64)  # the end of a period, and the seconds of late
def _moment(seconds: int, timezone: tzinfo) -> bytes:
    return datetime.fromtimestamp(seconds, timezone).isoformat().encode()


def tightest_of(statuses: Iterable[LimitStatus]) -> Tightest:
    """The limit of each unit that has least left, and of equals the one that takes longest."""
    found: Tightest = {}
    for status in statuses:
        unit = status.limit.unit
        other = found.get(unit)
        if other is None or (status.remaining, -status.reset) < (other.remaining, -other.reset):
            found[unit] = status
    return found


def ietf_headers(statuses: Iterable[LimitStatus]) -> dict[bytes, bytes]:
    """`RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11, for every limit."""
    policies, states = [], []
    for status in statuses:
        if status.limit.unit == "money":
            continue  # the draft has no unit for it
        name = f"{status.limit} per {status.limit.per}"
        unit = _UNITS.get(status.limit.unit)
        window = math.ceil(status.limit.window)
        policies.append(
            f'"{name}";q={status.limit.amount}' + (f';qu="{unit}"' if unit else "") + (f";w={window}" if window else "")
        )
        states.append(f'"{name}";r={status.remaining}' + (f";t={math.ceil(status.reset)}" if window else ""))
    if not policies:
        return {}
    return {b"ratelimit-policy": ", ".join(policies).encode(), b"ratelimit": ", ".join(states).encode()}
