"""How far limits are used up, as headers of an answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from .base import Limit, LimitStatus

_UNITS: Final = {"requests": "requests", "parallel": "concurrent-requests"}  # tokens have no registered one


def duration(seconds: float) -> str:
    """As Go writes it, rounded up to milliseconds: `12ms`, `7.66s`, `6m0s`, `1h0m0s`."""
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:g}s"
    if minutes or hours:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def openai_headers(standings: Sequence[LimitStatus]) -> list[tuple[bytes, bytes]]:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, each of the limit that is closest."""
    headers = []
    for unit in ("requests", "tokens"):
        tightest = min(
            (standing for standing in standings if standing.limit.unit == unit),
            key=lambda standing: (standing.remaining, -standing.reset),
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


def ietf_headers(standings: Iterable[LimitStatus]) -> list[tuple[bytes, bytes]]:
    """`RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11, with every limit."""
    policies, states = [], []
    for standing in standings:
        name = _name(standing.limit)
        unit = _UNITS.get(standing.limit.unit)
        window = math.ceil(standing.limit.window)
        policies.append(
            f'"{name}";q={standing.limit.amount}'
            + (f';qu="{unit}"' if unit else "")
            + (f";w={window}" if window else "")
        )
        states.append(f'"{name}";r={standing.remaining}' + (f";t={math.ceil(standing.reset)}" if window else ""))
    if not policies:
        return []
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(states).encode())]


def _name(limit: Limit) -> str:
    return f"{limit} per {limit.per}"
