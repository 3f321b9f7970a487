"""What people and programs are told of sums: periods as people write them, and what was spent as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from ..limits.prices import in_units
from .base import DIMENSIONS, Dimension, Sum, Totals

SINCE = "30d"

_AGO = re.compile(r"([0-9]{1,5})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_LONGEST = 100 * 366 * 24  # hours


def moment(text: str, *, now: datetime, zone: tzinfo) -> datetime:
    """A time as people write it: `12h`, `30d` or `4w` ago, or `2026-11`, `2026-11-30`, `2026-11-30T18:00`.

    Without an offset it is a time of the zone. Raises ValueError.
    """
    if (ago := _AGO.fullmatch(text)) and (hours := int(ago[1]) * _HOURS[ago[2]]) <= _LONGEST:
        return now - timedelta(hours=hours)
    try:
        parsed = datetime.fromisoformat(f"{text}-01" if re.fullmatch(r"[0-9]{4}-[0-9]{2}", text) else text)
    except ValueError:
        raise ValueError(f"{text[:64]!r} is not a time. Write 30d, 12h, 2026-11 or 2026-11-30.") from None
    return parsed.replace(tzinfo=zone) if parsed.tzinfo is None else parsed


def dimensions(text: str, known: Sequence[Dimension] = DIMENSIONS) -> tuple[Dimension, ...]:
    """What to split sums by, from `owner,model`. Raises ValueError."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"Sums cannot be split by {unknown[0][:64]!r}. Known: {', '.join(known)}.")
    return tuple(name for name in known if name in names)


def total(sums: Iterable[Sum]) -> Totals:
    """All of them together. Of sums by group, which share requests, that is too much."""
    found = Totals()
    for each in sums:
        found.include(each.totals)
    return found


def totals_document(totals: Totals) -> dict[str, Any]:
    """As JSON. The cost is a text, so that it is exact in every language."""
    return {
        "cost": in_units(totals.cost),
        "requests": totals.requests,
        "failed_requests": totals.errors,
        "unpriced_requests": totals.unpriced,
        "input_tokens": totals.input,
        "cached_tokens": totals.cached,
        "cache_write_tokens": totals.cache_write,
        "output_tokens": totals.output,
        "reasoning_tokens": totals.reasoning,
    }


def sum_document(each: Sum) -> dict[str, Any]:
    return {**{str(name): value for name, value in each.by.items()}, **totals_document(each.totals)}


@dataclass(frozen=True, slots=True)
class SpendReport:
    """What was spent.

    Attributes:
        since, until: The first day and the last one, as 2026-11-30.
        total: Of all requests. Groups share requests, so it is not the sum of their sums.
        sums: The dearest first.
    """

    by: Sequence[Dimension]
    since: str
    until: str
    currency: str
    total: Totals
    sums: Sequence[Sum]

    def share(self, each: Sum) -> float:
        """Its share of the cost; where nothing has a price, of the requests."""
        if self.total.cost:
            return each.totals.cost / self.total.cost
        return each.totals.requests / self.total.requests

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "since": self.since,
            "until": self.until,
            "currency": self.currency,
            "total": totals_document(self.total),
            "sums": [sum_document(each) for each in self.sums],
        }

    def csv(self) -> str:
        """For spreadsheets: a head, and a row for each sum."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow([*self.by, *totals_document(self.total), "currency"])
        rows.writerows(
            [*map(_harmless, each.by.values()), *totals_document(each.totals).values(), self.currency]
            for each in self.sums
        )
        return text.getvalue()


def _harmless(name: str) -> str:
    """A name that no spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name
