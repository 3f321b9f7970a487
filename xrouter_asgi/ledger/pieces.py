"""Which sums are added up to answer a question, so that it reads few of them however long its time is."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, Select, Table, Text, and_, func, literal, select, union_all

from .base import Where
from .schema import days, months, owner_days


class Piece(NamedTuple):
    """Rows whose counts are part of a sum.

    Attributes:
        sign: -1 for what is in another piece, and too much there.
        month: That of all the rows, if it is one.
    """

    table: Table
    meant: ColumnElement[bool]
    sign: int = 1
    month: str | None = None


def pieces(first: str, last: str, where: Where, by: Iterable[str]) -> Iterator[Piece]:
    """The sums from one day to another: whole months, and the days that these lack or have too many."""
    if where.key is not None or "key" in by:
        yield Piece(days, days.c.period.between(first, last))
    elif "day" in by:
        yield _of_owners(first, last, where)
    else:
        yield from _months_and_days(first, last, where)


def _months_and_days(first: str, last: str, where: Where) -> Iterator[Piece]:
    """At each end the shorter part of a month is read by days, of which there are 15 at most."""
    month, end = first[:7], last[:7]
    before, after = int(first[8:]) - 1, max(0, _days_of(end) - int(last[8:]))  # what is too much of these months
    if month == end and _days_of(month) - before - after <= before + after:
        yield _of_owners(first, last, where)
        return
    cut_first = month == end or before <= _days_of(month) // 2
    cut_last = month == end or after <= _days_of(end) // 2
    if not cut_first:
        yield _of_owners(first, f"{month}-31", where)
    if not cut_last:
        yield _of_owners(f"{end}-01", last, where)
    begun = months.c.period >= month if cut_first else months.c.period > month
    yield Piece(months, and_(begun, months.c.period <= end if cut_last else months.c.period < end))
    if cut_first and before:
        yield _of_owners(f"{month}-01", f"{month}-{before:02}", where, sign=-1)
    if cut_last and after:
        yield _of_owners(f"{end}-{int(last[8:]) + 1:02}", f"{end}-31", where, sign=-1)


def _of_owners(first: str, last: str, where: Where, *, sign: int = 1) -> Piece:
    meant: ColumnElement[bool] = owner_days.c.period.between(first, last)
    if where.owner is None:
        # The rows lie by owner and day. So the database looks up the days of each owner, and has no need to sort them.
        there = months.c.period.between(first[:7], last[:7])
        meant = and_(owner_days.c.owner.in_(select(months.c.owner).where(there)), meant)
    return Piece(owner_days, meant, sign, first[:7] if first[:7] == last[:7] else None)


def union(parts: Iterable[Piece], by: Iterable[str], counts: Iterable[str], where: Where) -> Select[Any]:
    """The counts of each piece, behind the columns `by_…` that split them, in their order."""
    selects = []
    for piece in parts:
        columns = {name: _column(piece, name) for name in by}
        split = [column for name, column in columns.items() if name != "month" or piece.month is None]
        sums = [(piece.sign * func.sum(piece.table.c[name])).label(name) for name in counts]
        found = select(*(column.label(f"by_{name}") for name, column in columns.items()), *sums)
        found = found.where(piece.meant, *meant(piece.table, where))
        selects.append(found.group_by(*split).having(func.count() > 0))
    return cast(Select[Any], union_all(*selects))


def meant(table: Table, where: Where) -> list[ColumnElement[bool]]:
    """The conditions that an index helps with."""
    wanted = {"key": where.key, "owner": where.owner, "provider": where.provider}
    return [table.c[name] == value for name, value in wanted.items() if value is not None]


def _column(piece: Piece, name: str) -> ColumnElement[str]:
    if name != "month":
        return piece.table.c["period" if name == "day" else name]
    if piece.month is not None:
        return literal(piece.month, Text)
    period = piece.table.c.period
    return period if piece.table is months else func.substr(period, 1, len("2026-11"))


def _days_of(month: str) -> int:
    return monthrange(int(month[:4]), int(month[5:]))[1]
