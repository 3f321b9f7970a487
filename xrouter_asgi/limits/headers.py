"""The headers that tell a client how much of its limits is left."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from .base import LimitStatus

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
            headers += [
                (f"x-ratelimit-limit-{unit}".encode(), b"%d" % tightest.limit.amount),
                (f"x-ratelimit-remaining-{unit}".encode(), b"%d" % tightest.remaining),
                (f"x-ratelimit-reset-{unit}".encode(), duration(tightest.reset).encode()),
            ]
    return headers


def ietf_headers(statuses: Iterable[LimitStatus]) -> list[tuple[bytes, bytes]]:
    """`RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11, for every limit."""
    policies, states = [], []
    for status in statuses:
        name = f"{status.limit} per {status.limit.per}"
        unit = _UNITS.get(status.limit.unit)
        window = math.ceil(status.limit.window)
        policies.append(
            f'"{name}";q={status.limit.amount}' + (f';qu="{unit}"' if unit else "") + (f";w={window}" if window else "")
        )
        states.append(f'"{name}";r={status.remaining}' + (f";t={math.ceil(status.reset)}" if window else ""))
    if not policies:
        return []
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(states).encode())]
