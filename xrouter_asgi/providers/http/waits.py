"""How long an upstream asks to wait, wherever it says so: in headers, in members of the error, in its words."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST_WAIT = 60.0
"""Seconds. A caller who is told to wait longer should try again then, or ask another upstream."""

_LONGEST_MEANT = 86_400.0
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?")
_UNITS = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"\d{1,9}(?:\.\d{1,9})?\s?(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|h)(?![a-z])"
# "Please try again in 9.816s." (OpenAI), "retry in 34.07s" (Gemini), "Retry after 20 seconds" (Azure), "6m0s" (Groq)
_WORDS = re.compile(
    rf"\b(?:try(?:ing)? again|retry(?:ing)?|wait)\b[a-z ]{{0,24}}?\s((?:\d{{1,9}}(?:\.\d{{1,9}})?[hm])*{_PART})",
    re.IGNORECASE,
)
_EACH = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s?(ms|milli|s|m|h)", re.IGNORECASE)
_DURATION = re.compile(rf"(?:\d{{1,9}}(?:\.\d{{1,9}})?[hm])*{_PART}", re.IGNORECASE)
_READ = 1024  # characters of a sentence

_MEMBERS = {
    "retry_after_ms": 0.001,
    "retry_after": 1.0,
    "retry_after_seconds": 1.0,  # OpenRouter
    "retryDelay": 1.0,  # Gemini: "34s"
}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the headers of an answer ask for.

    That is `retry-after-ms` or `retry-after` (RFC 9110, 10.2.3: seconds or a date), else when the used-up of the two
    windows of `x-ratelimit-reset-…` is full again. At most `LONGEST_WAIT`. None for a value that is absent, unreadable,
    not above 0 or more than a day, which nobody means.

    Args:
        headers: By lower-case names.
    """
    said = headers.get("retry-after", "").strip()
    date = _timestamp(headers.get("date", ""))  # by the clock of the server that named the moment
    return _sensible(
        (
            _number(headers.get("retry-after-ms", "").strip()) / 1000,
            _number(said),
            _timestamp(said) - (time.time() if math.isnan(date) else date),
            *(
                _duration(headers.get(f"x-ratelimit-reset-{window}", "").strip())
                for window in ("requests", "tokens")
                if headers.get(f"x-ratelimit-remaining-{window}", "").strip() == "0"
            ),
        )
    )


def wait_told(message: str, *objects: Mapping[str, Any]) -> float | None:
    """Seconds that an error itself asks for, bounded like those of `retry_after`.

    Args:
        objects: The error and what it lies in; read for members such as `retry_after`, also in their `metadata` and in
            the list `details`.
    """
    return _sensible((*_told_by_members(objects), _told_in(message[:_READ])))


def _told_by_members(objects: Iterable[Mapping[str, Any]]) -> Iterator[float]:
    for outer in objects:
        details = outer.get("details")
        for each in (outer, outer.get("metadata"), *(details[:8] if isinstance(details, list) else ())):
            if isinstance(each, dict):
                for name, unit in _MEMBERS.items():
                    yield _value(each.get(name)) * unit


def _value(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if 0 < value < 1e9 else math.nan
    return _duration(value.strip()) if isinstance(value, str) and len(value) <= 64 else math.nan


def _told_in(message: str) -> float:
    found = _WORDS.search(message)
    return _seconds(found[1]) if found else math.nan


def _duration(value: str) -> float:
    """Seconds of `7.66`, `7.66s`, `6m0s` or `12ms`."""
    return _seconds(value) if _DURATION.fullmatch(value) else _number(value)


def _seconds(duration: str) -> float:
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in _EACH.findall(duration))


def _sensible(waits: Iterable[float]) -> float | None:
    return next((min(wait, LONGEST_WAIT) for wait in waits if 0 < wait <= _LONGEST_MEANT), None)


def _number(value: str) -> float:
    return float(value) if _NUMBER.fullmatch(value) else math.nan


def _timestamp(value: str) -> float:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):  # no date, or one beyond the calendar
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
