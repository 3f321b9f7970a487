"""A ledger in SQLite or PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple
from datetime import UTC, datetime, tzinfo
from typing import Any, cast

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
from .base import ALL, PRUNED_AT_ONCE, SUMS_KEPT, Cursor, Dimension, Entry, Page, Sum, Totals, Where
from .days import added_to_days, day_of, is_meant_by_name, midnight_before, read, summed, written
from .schema import COUNTS, SCHEMA, WrittenAlready, days, usage


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
        self._moment: Callable[[datetime], object] = _as_sqlite_keeps_it if is_sqlite else lambda moment: moment
        # For the driver itself: SQLAlchemy would take 30 µs for a row, as much as a tenth of its request.
        self._insert = self._database.compiled(insert(usage))
        self._add = self._database.compiled(_adding(sqlite.insert if is_sqlite else postgresql.insert))

    async def write(self, entries: Sequence[Entry], /) -> None:
        try:
            await self._write(entries)
        except WrittenAlready:
            ids = {entry.id: entry for entry in entries}
            known = {row.id for row in await self._rows(select(usage.c.id).where(usage.c.id.in_(ids)))}
            await self._write([entry for id, entry in ids.items() if id not in known])

    async def _write(self, entries: Sequence[Entry]) -> None:
        rows = [_row(entry, self._moment(entry.at)) for entry in entries]
        sums = [(*key, *astuple(totals)) for key, totals in added_to_days(entries, self._zone).items()]

        def work(connection: Connection) -> None:
            try:
                connection.exec_driver_sql(self._insert, rows)
            except IntegrityError:
                raise WrittenAlready from None
            connection.exec_driver_sql(self._add, sums)

        if rows:
            await self._database.run(work, writes=True)

    async def spent(self, where: Where, since: datetime, /) -> int:
        # In one statement, so that no entry comes between: all of the first day, less what is too early.
        of_days = select(days.c.model, days.c.groups, func.sum(days.c.cost).label("cost"))
        early = select(usage.c.model, usage.c.groups, (-func.sum(usage.c.cost)).label("cost"))
        statement = union_all(
            of_days.where(days.c.day >= day_of(since, self._zone), *_meant(days, where)).group_by(
                days.c.model, days.c.groups
            ),
            early.where(
                usage.c.at >= midnight_before(since, self._zone), usage.c.at < since, *_meant(usage, where)
            ).group_by(usage.c.model, usage.c.groups),
        )
        rows = await self._rows(cast(Select[Any], statement))
        return sum(int(row.cost or 0) for row in rows if is_meant_by_name(where, row.model, row.groups))

    async def sums(
        self, *, by: Sequence[Dimension], since: datetime, until: datetime, where: Where = ALL
    ) -> Sequence[Sum]:
        # Groups and patterns of models are looked at afterwards: no database knows them.
        names = {
            *("groups" if name == "group" else name for name in by),
            *(["model", "groups"] if where.model or where.group else []),
        }
        columns = [(_MONTH if name == "month" else days.c[name]).label(f"by_{name}") for name in sorted(names)]
        statement = (
            select(*columns, *(func.sum(days.c[name]).label(name) for name in COUNTS))
            .where(days.c.day.between(day_of(since, self._zone), day_of(until, self._zone)), *_meant(days, where))
            .group_by(*columns)
            .having(func.count() > 0)
        )
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
        first = day_of(before - SUMS_KEPT, self._zone)

        def work(connection: Connection) -> int:
            connection.execute(delete(days).where(days.c.day < first))
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


_MONTH: ColumnElement[str] = func.substr(days.c.day, 1, 7)


def _adding(insert: Callable[[Table], Any]) -> Any:
    """Add to sums, or begin them."""
    statement = insert(days)
    added = {days.c[name]: days.c[name] + statement.excluded[name] for name in COUNTS}
    return statement.on_conflict_do_update(index_elements=list(days.primary_key.columns), set_=added)


def _meant(table: Table, where: Where) -> list[ColumnElement[bool]]:
    """The conditions that an index helps with."""
    wanted = {"key": where.key, "owner": where.owner, "provider": where.provider}
    return [table.c[name] == value for name, value in wanted.items() if value is not None]


def _row(entry: Entry, at: object) -> tuple[object, ...]:
    """The columns of `usage`, which are the fields of an entry in their order."""
    id, _, *others, groups, labels = entry
    kept = json.dumps(dict(labels), ensure_ascii=False) if labels else None
    return (id, at, *others, written(groups) if groups else "", kept)


def _entry(row: Row[Any]) -> Entry:
    facts = {name: getattr(row, name) for name in Entry._fields}
    return Entry(**{**facts, "groups": tuple(read(row.groups)), "labels": row.labels or {}})


def _as_sqlite_keeps_it(moment: datetime) -> str:
    """As `Moment` does."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
