"""A ledger in SQLite or PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from ..database import Database
from .base import ALL, PRUNED_AT_ONCE, Cursor, Dimension, Entry, Page, Sum, Totals, Where
from .days import (
    added_to_days,
    added_to_months,
    day_of,
    first_kept,
    is_meant_by_name,
    midnight_before,
    read,
    summed,
    written,
)
from .schema import COUNTS, SCHEMA, WrittenAlready, days, months, usage

_NO_END: Final = "9999-12-31"
_AT: Final = Entry._fields.index("at")
_FLAGS: Final = tuple(map(Entry._fields.index, ("estimated", "complete", "streamed")))


class SQLLedger:
    """Keeps entries and their sums in a database, which several processes may share. Connects at first use.

    Args:
        url: `sqlite:///usage.db` or `postgresql://user:password@host/name`. The file and tables of SQLite are made at
            first use; `migrate` makes the tables of PostgreSQL.
        timezone: Where days begin. Entries that are there already keep the day that they were counted in.

    Raises ValueError for a URL of another database, and ModuleNotFoundError if the driver is not installed.
    """

    def __init__(self, url: str, *, timezone: tzinfo = UTC) -> None:
        self._database = Database(url, SCHEMA)
        self._zone = timezone
        is_sqlite = self._database.dialect == "sqlite"
        self._row = _row_of_sqlite if is_sqlite else _row
        # For the driver itself: SQLAlchemy would take 30 µs for a row, as much as a tenth of its request.
        self._insert = self._database.compiled(insert(usage))
        adding = partial(_adding, sqlite.insert if is_sqlite else postgresql.insert)
        self._add_to_days, self._add_to_months = (self._database.compiled(adding(table)) for table in (days, months))

    async def write(self, entries: Sequence[Entry], /) -> None:
        try:
            await self._write(entries)
        except WrittenAlready:
            ids = {entry.id: entry for entry in entries}
            known = {row.id for row in await self._rows(select(usage.c.id).where(usage.c.id.in_(ids)))}
            await self._write([entry for id, entry in ids.items() if id not in known])

    async def _write(self, entries: Sequence[Entry]) -> None:
        rows = list(map(self._row, entries))
        of_days = added_to_days(entries, self._zone)
        of_months = added_to_months(of_days)

        def work(connection: Connection) -> None:
            try:
                connection.exec_driver_sql(self._insert, rows)
            except IntegrityError:
                raise WrittenAlready from None
            connection.exec_driver_sql(self._add_to_days, _values(of_days))
            connection.exec_driver_sql(self._add_to_months, _values(of_months))

        if rows:
            await self._database.run(work, writes=True)

    async def spent(self, where: Where, since: datetime, /) -> int:
        # In one statement, so that no entry comes between: all of the first day, less what is too early.
        early = and_(usage.c.at >= midnight_before(since, self._zone), usage.c.at < since)
        whole = _pieces(day_of(since, self._zone), _NO_END, by_days=where.key is not None)
        pieces = [*whole, _Piece(usage, early, -1)]
        rows = await self._rows(_union(pieces, {"model", "groups"}, ["cost"], where))
        return sum(int(row.cost or 0) for row in rows if is_meant_by_name(where, row.by_model, row.by_groups))

    async def sums(
        self, *, by: Sequence[Dimension], since: datetime, until: datetime, where: Where = ALL
    ) -> Sequence[Sum]:
        first, last = day_of(since, self._zone), day_of(until, self._zone)
        if first > last:
            return []
        # Groups and patterns of models are looked at afterwards: no database knows them.
        names = {
            *("groups" if name == "group" else name for name in by),
            *(["model", "groups"] if where.model or where.group else []),
        }
        by_days = "day" in by or "key" in by or where.key is not None
        statement = _union(_pieces(first, last, by_days=by_days), names, COUNTS, where)
        parts = [
            (
                {name: getattr(row, f"by_{name}") for name in names},
                Totals(**{name: int(getattr(row, name)) for name in COUNTS}),
            )
            for row in await self._rows(statement)
        ]
        if where.model or where.group:
            parts = [each for each in parts if is_meant_by_name(where, each[0]["model"], each[0]["groups"])]
        return summed(parts, by)

    async def entries(self, *, where: Where = ALL, before: Cursor | None = None, limit: int = 100) -> Page:
        conditions = _meant(usage, where)
        if where.model or where.group:
            names = await self._rows(select(days.c.model, days.c.groups).where(*_meant(days, where)).distinct())
            meant = [row for row in names if is_meant_by_name(where, row.model, row.groups)]
            conditions.append(usage.c.model.in_({row.model for row in meant}))
            conditions.append(usage.c.groups.in_({row.groups for row in meant}))
        if before is not None:
            same = and_(usage.c.at == before.at, usage.c.id < before.id)
            conditions.append(or_(usage.c.at < before.at, same))
        statement = select(usage).where(*conditions).order_by(usage.c.at.desc(), usage.c.id.desc())
        found = [_entry(row) for row in await self._rows(statement.limit(limit + 1))]
        page = found[:limit]
        return Page(page, Cursor(page[-1].at, page[-1].id) if len(found) > limit else None)

    async def prune(self, before: datetime, /) -> int:
        old = select(usage.c.id).where(usage.c.at < before).order_by(usage.c.at).limit(PRUNED_AT_ONCE)
        first = first_kept(before, self._zone)

        def work(connection: Connection) -> int:
            connection.execute(delete(days).where(days.c.period < first))
            connection.execute(delete(months).where(months.c.period < first[:7]))
            pruned = connection.execute(delete(usage).where(usage.c.id.in_(old.scalar_subquery())))
            return pruned.rowcount

        return await self._database.run(work, writes=True)

    async def migrate(self) -> None:
        """Make the tables, or bring them up to date."""
        await self._database.migrate()

    async def aclose(self) -> None:
        """Finish what is being written, then close the connections."""
        await self._database.aclose()

    def __repr__(self) -> str:
        return f"SQLLedger({self._database!r})"

    async def _rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        def work(connection: Connection) -> Sequence[Row[Any]]:
            rows: Sequence[Row[Any]] = connection.execute(statement).all()
            return rows

        return await self._database.run(work)


class _Piece(NamedTuple):
    """Rows whose counts are part of a sum."""

    table: Table
    meant: ColumnElement[bool]
    sign: int = 1  # -1 for what is in another piece, and too much there


def _pieces(first: str, last: str, *, by_days: bool) -> Iterator[_Piece]:
    """The sums from one day to another: whole months, with the days before them, and less the days after the last.

    Args:
        by_days: Months do not tell enough.
    """
    if by_days:
        yield _Piece(days, days.c.period.between(first, last))
        return
    month, end = first[:7], last[:7]
    from_its_first = first == f"{month}-01"
    if not from_its_first:
        yield _Piece(days, days.c.period.between(first, min(last, f"{month}-31")))
    if month < end or (month == end and from_its_first):
        begun = months.c.period >= month if from_its_first else months.c.period > month
        yield _Piece(months, and_(begun, months.c.period <= end))
        yield _Piece(days, and_(days.c.period > last, days.c.period <= f"{end}-31"), -1)


def _union(pieces: Iterable[_Piece], by: Iterable[str], counts: Iterable[str], where: Where) -> Select[Any]:
    """The counts of each piece, split by the columns `by_…`."""
    selects = []
    for table, meant, sign in pieces:
        columns = [_column(table, name).label(f"by_{name}") for name in sorted(by)]
        sums = [(sign * func.sum(table.c[name])).label(name) for name in counts]
        found = select(*columns, *sums).where(meant, *_meant(table, where))
        selects.append(found.group_by(*columns).having(func.count() > 0))
    return cast(Select[Any], union_all(*selects))


def _column(table: Table, name: str) -> ColumnElement[str]:
    if name == "month":
        return func.substr(table.c.period, 1, 7)
    return table.c["period" if name == "day" else name]


def _adding(insert: Callable[[Table], Any], table: Table) -> Any:
    """Add to sums, or begin them."""
    statement = insert(table)
    added = {table.c[name]: table.c[name] + statement.excluded[name] for name in COUNTS}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=added)


def _values(sums: Mapping[Any, Totals]) -> list[tuple[object, ...]]:
    """The rows of `days` or `months`."""
    return [(*key, *astuple(totals)) for key, totals in sums.items()]


def _meant(table: Table, where: Where) -> list[ColumnElement[bool]]:
    """The conditions that an index helps with."""
    wanted = {"key": where.key, "owner": where.owner, "provider": where.provider}
    return [table.c[name] == value for name, value in wanted.items() if value is not None]


def _row(entry: Entry) -> tuple[Any, ...]:
    """The columns of `usage`, which are the fields of an entry in their order."""
    *others, groups, labels = entry
    kept = json.dumps(dict(labels), ensure_ascii=False) if labels else None
    return (*others, written(groups) if groups else "", kept)


def _row_of_sqlite(entry: Entry) -> tuple[Any, ...]:
    """The same with the time as `Moment` keeps it, and flags as numbers, which the driver would make of them slowly."""
    row = list(_row(entry))
    at = entry.at if entry.at.tzinfo is UTC else entry.at.astimezone(UTC)
    row[_AT] = at.isoformat(" ", "microseconds").removesuffix("+00:00")
    for flag in _FLAGS:
        row[flag] = int(row[flag])
    return tuple(row)


def _entry(row: Row[Any]) -> Entry:
    facts = {name: getattr(row, name) for name in Entry._fields}
    return Entry(**{**facts, "groups": tuple(read(row.groups)), "labels": row.labels or {}})
