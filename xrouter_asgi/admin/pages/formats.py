"""How numbers, times and money look on a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from jinja2 import pass_context
from jinja2.runtime import Context

from ...limits.limit import LONGEST

NONE: Final = "–"
"""What nobody knows."""

_NARROW = "\N{NARROW NO-BREAK SPACE}"
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def _localized(context: Context, text: str) -> str:
    """The digits of English in the way of the reader's language."""
    if context["lang"] == "ru":
        return text.replace(",", _NARROW).replace(".", ",")
    return text


@pass_context
def count(context: Context, value: float | None) -> str:
    """A whole number, with its thousands apart."""
    return NONE if value is None else _localized(context, f"{value:,.0f}")


@pass_context
def rate(context: Context, value: float | None) -> str:
    """A number of which two or three digits matter."""
    if value is None:
        return NONE
    digits = 0 if value >= 100 or value == 0 else 1 if value >= 10 else 2
    return _localized(context, f"{value:,.{digits}f}")


@pass_context
def seconds(context: Context, value: float | None) -> str:
    """Seconds, to milliseconds below one of them: columns of these are aligned at their end."""
    if value is None:
        return NONE
    return _localized(context, f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:,.0f}")


@pass_context
def percent(context: Context, share: float | None) -> str:
    if share is None:
        return NONE
    digits = 0 if share >= 0.0995 or share == 0 else 1
    return _localized(context, f"{100 * share:.{digits}f}") + f"{_NARROW}%"


@pass_context
def span(context: Context, value: float) -> str:
    """A span of time in its two greatest units, such as `3 h 12 min`."""
    left, found = max(0, round(value)), list[str]()
    for unit, size in _UNITS:
        amount, left = divmod(left, size)
        if amount or (unit == "s" and not found):
            found.append(f"{amount} {context['t'](f'unit_{unit}')}")
    return " ".join(found[:2])


def clock(value: datetime) -> str:
    """A time of the wall clock, in UTC, which the script turns into that of the reader."""
    return value.astimezone(UTC).strftime("%H:%M:%S")


def day(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d")


@pass_context
def money(context: Context, value: float | None) -> str:
    """An amount in units of its currency: to the hundredth, and a small one to four digits."""
    if value is None:
        return NONE
    if not value:
        return "0"
    text = f"{value:,.2f}" if value >= 0.1 else f"{value:.4f}"
    return _localized(context, text) if value >= 0.0001 else "< " + _localized(context, "0.0001")


@pass_context
def amount(context: Context, value: str) -> str:
    """An amount of the API, which is exact, as `money`."""
    return money(context, float(value))


@pass_context
def exact(context: Context, value: str | None) -> str:
    """An amount of the API with all its digits."""
    return NONE if value is None else _localized(context, value)


def period(limit: str) -> str:
    """Which period of the calendar a limit is for, in a word; `budget` for another window."""
    word = limit.rpartition("calendar ")[2]
    return word if word in LONGEST else "budget"


def plain(value: object) -> str:
    """A value of the audit: times without fractions of a second, lists as their members."""
    if isinstance(value, str):
        try:
            return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if "T" in value else value
        except ValueError:
            return value
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "count": count,
    "rate": rate,
    "seconds": seconds,
    "percent": percent,
    "span": span,
    "clock": clock,
    "day": day,
    "amount": amount,
    "money": money,
    "exact": exact,
    "period": period,
    "plain": plain,
}
