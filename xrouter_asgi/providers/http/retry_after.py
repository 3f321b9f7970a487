"""How long an upstream wants to be left alone."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST = 60.0
"""Seconds. A caller who is told to wait longer should try again then, or ask another upstream."""

_LONGEST_MEANT = 86_400.0

_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `retry-after-ms` or `retry-after` ask for (RFC 9110, 10.2.3: seconds or a date).

    At most `LONGEST`. None for a value that is absent, unreadable, not above 0 or more than a day, which nobody means.

    Args:
        headers: Of the answer, by lower-case names.
    """
    said = headers.get("retry-after", "").strip()
    waits = (
        _number(headers.get("retry-after-ms", "").strip()) / 1000,
        _number(said),
        # By the clock of the server that named the moment.
        _timestamp(said) - _or_now(_timestamp(headers.get("date", ""))),
    )
    return next((min(wait, LONGEST) for wait in waits if 0 < wait <= _LONGEST_MEANT), None)


def _number(value: str) -> float:
    return float(value) if _NUMBER.fullmatch(value) else math.nan


def _timestamp(value: str) -> float:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):  # no date, or one beyond the calendar
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _or_now(timestamp: float) -> float:
    return time.time() if math.isnan(timestamp) else timestamp
