"""What a caller is told whose request a store has refused."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import BudgetExceeded, RateLimitExceeded, XRouterError
from .base import Charge, Reservation
from .limit import Limit
from .periods import Calendar, Span

_UNITS = ((86_400, "days"), (3_600, "h"), (60, "min"), (1, "s"))


def refusal(reservation: Reservation, charges: Sequence[Charge], calendar: Calendar) -> XRouterError:
    """The error that refuses a request with these charges."""
    limit = reservation.refused
    if limit is None:
        return XRouterError(
            "Limits cannot be checked now. Please try again in 1s.",
            status=503,
            type="service_unavailable_error",
            code="limiter_unavailable",
            retry_after=reservation.retry_after,
        )
    if limit.unit == "money":
        span = next(charge.span for charge in charges if charge.limit is limit)
        return _over_budget(limit, span, reservation.retry_after, calendar)
    # In OpenAI's words, because clients read the seconds out of them.
    wait = math.ceil(reservation.retry_after * 1000) / 1000
    text = f"{wait * 1000:.0f}ms" if wait < 1 else f"{wait:.10g}s"
    return RateLimitExceeded(
        f"Limit of {limit} reached. Please try again in {text}.",
        type="tokens" if limit.unit == "tokens" else "requests",
        retry_after=reservation.retry_after,
    )


def _over_budget(limit: Limit, span: Span | None, wait: float, calendar: Calendar) -> BudgetExceeded:
    whose = {"key": "", "all": " for all"}.get(limit.per, f" per {limit.per}")
    message = f"The budget of {limit}{whose} is used up."
    if span is not None:
        return BudgetExceeded(f"{message} It begins again at {calendar.shown(span.ends)}.")
    return BudgetExceeded(f"{message} Enough of it is free again in about {_about(wait)}.", retry_after=wait)


def _about(seconds: float) -> str:
    """A wait as people say it, in one unit, rounded up: `40 min`."""
    length, name = next((unit for unit in _UNITS if seconds > 2 * unit[0]), _UNITS[-1])
    return f"{max(1, math.ceil(seconds / length))} {name}"
