"""The headers that tell a client how much of its limits is left."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from .base import LimitStatus
from .limit import Limit

_UNITS: Final = {"requests": "requests", "parallel": "concurrent-requests"}  # the draft registers no unit for tokens


def duration(seconds: float) -> str:
    """Go's notation, rounded up to milliseconds: `12ms`, `7.66s`, `6m0s`, `1h0m0s`."""
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:g}s"
    if minutes or hours:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def openai_headers(statuses: Sequence[LimitStatus]) -> list[tuple[bytes, bytes]]:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, for the request and the token limit with least left."""
    headers = []
    for unit in ("requests", "tokens"):
        tightest = min(
            (status for status in statuses if status.limit.unit == unit),
            key=lambda status: (status.remaining, -status.reset),
            default=None,
        )
        if tightest is not None:
            values = (
                ("limit", str(tightest.limit.amount)),
                ("remaining", str(tightest.remaining)),
                ("reset", duration(tightest.reset)),
            )
            headers += [(f"x-ratelimit-{name}-{unit}".encode(), value.encode()) for name, value in values]
    return headers


def ietf_headers(statuses: Iterable[LimitStatus]) -> list[tuple[bytes, bytes]]:
    """`RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11, for every limit."""
    policies, states = [], []
    for status in statuses:
        name = _name(status.limit)
        unit = _UNITS.get(status.limit.unit)
        window = math.ceil(status.limit.window)
        policies.append(
            f'"{name}";q={status.limit.amount}' + (f';qu="{unit}"' if unit else "") + (f";w={window}" if window else "")
        )
        states.append(f'"{name}";r={status.remaining}' + (f";t={math.ceil(status.reset)}" if window else ""))
    if not policies:
        return []
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(states).encode())]


def _name(limit: Limit) -> str:
    return f"{limit} per {limit.per}"
