"""The sums of a ledger: what entries add to each day and month, and which of them a question is about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from ..context import matches, normal_form
from .base import SUMS_KEPT, Dimension, Entry, Sum, Totals, Where

_NEVER = datetime.max.replace(tzinfo=UTC)


class DayKey(NamedTuple):
    """What entries have in common that are summed up together. Empty for none."""

    day: str  # as 2026-11-30, in the time zone of the ledger
    key: str
    owner: str
    groups: str  # see `written`
    model: str
    provider: str

    def values(self) -> dict[str, str]:
        return {**self._asdict(), "month": self.day[:7]}


def written(groups: Sequence[str]) -> str:
    """Groups as one text, empty for none."""
    return json.dumps(groups, ensure_ascii=False) if groups else ""


def read(groups: str) -> list[str]:
    found: list[str] = json.loads(groups or "[]")
    return found


def day_of(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).date().isoformat()


def midnight_before(moment: datetime, zone: tzinfo, *, days: int = 0) -> datetime:
    """When the day of a moment began; or so many days before."""
    return datetime.combine(moment.astimezone(zone).date() - timedelta(days=days), time(), zone)


def first_kept(before: datetime, zone: tzinfo) -> str:
    """The first day whose sums are kept, where entries before some time are not. Sums go by whole months."""
    return f"{day_of(before - SUMS_KEPT, zone)[:7]}-01"


def added_to_days(entries: Iterable[Entry], zone: tzinfo) -> dict[DayKey, Totals]:
    """What the entries add to each sum, in one order for all, so that no two writers wait for each other."""
    found: dict[tuple[str, ...], list[Entry]] = {}
    day, begins, ends = "", _NEVER, _NEVER  # of the entry before, which mostly is of the same day
    for entry in entries:
        if not begins <= entry.at < ends:
            day, begins = day_of(entry.at, zone), midnight_before(entry.at, zone).astimezone(UTC)
            ends = midnight_before(entry.at, zone, days=-1).astimezone(UTC)
        groups = written(entry.groups) if entry.groups else ""
        key = (day, entry.key or "", entry.owner or "", groups, entry.model, entry.provider or "")
        found.setdefault(key, []).append(entry)
    return {DayKey(*key): Totals.of(found[key]) for key in sorted(found)}


def of_owners(days: Mapping[DayKey, Totals], *, period: int = 10) -> dict[tuple[str, ...], Totals]:
    """What sums of days add to those of each owner, by day or by the first letters of it, in such an order, too."""
    found: dict[tuple[str, ...], Totals] = {}
    for (day, _, *others), totals in days.items():
        found.setdefault((day[:period], *others), Totals()).include(totals)
    return dict(sorted(found.items()))


def summed(parts: Iterable[tuple[Mapping[str, str], Totals]], by: Sequence[Dimension]) -> Sequence[Sum]:
    """One sum for each combination of values that any request has. The dearest first; where nothing has a price, the
    most requests."""
    found: dict[tuple[str, ...], Totals] = {}
    for values, totals in parts:
        for group in (read(values["groups"]) or [""]) if "group" in by else [""]:
            combination = tuple(group if name == "group" else values[name] for name in by)
            found.setdefault(combination, Totals()).include(totals)
    sums = [Sum(dict(zip(by, values, strict=True)), totals) for values, totals in found.items() if totals.requests]
    return sorted(sums, key=lambda sum: (-sum.totals.cost, -sum.totals.requests, *sum.by.values()))


def is_meant(where: Where, values: Mapping[str, str]) -> bool:
    """Whether requests with these values of a `DayKey` are meant."""
    return (
        where.key in (None, values["key"])
        and where.owner in (None, values["owner"])
        and where.provider in (None, values["provider"])
        and is_meant_by_name(where, values["model"], values["groups"])
    )


def is_meant_by_name(where: Where, model: str, groups: str) -> bool:
    """The part of `is_meant` that no index helps with."""
    return (where.model is None or matches(normal_form(where.model), normal_form(model))) and (
        where.group is None or where.group in read(groups)
    )
