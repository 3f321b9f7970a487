"""A ledger in SQLite or PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache, partial
from itertools import chain
from pkgutil import resolve_name
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Table,
    and_,
    delete,
    insert,
    or_,
    select,
    tuple_,
)

from ..database import Database
from .base import ALL, PRUNED_AT_ONCE, Cursor, Dimension, Entry, Page, Sum, Totals, Where
from .days import (
    added_to_days,
    day_of,
    first_kept,
    is_meant_by_name,
    midnight_before,
    of_owners,
    read,
    summed,
    written,
)
from .pieces import Piece, meant, pieces, union
from .schema import COUNTS, SCHEMA, WrittenAlready, days, months, owner_days, usage

_NO_END: Final = "9999-12-31"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE: Final = (25, 5, 1)
"""Entries of one statement of SQLite, because a statement by itself costs a quarter of what an entry does. It takes 999
parameters before version 3.32."""


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
        one = self._database.compiled(insert(usage))
        self._inserts = {many: _inserting(one, many) for many in _AT_ONCE} if is_sqlite else {1: one}
        # By its name, because the other dialect takes 1.4 MiB.
        adding = partial(_adding, resolve_name(f"sqlalchemy.dialects.{self._database.dialect}:insert"))
        self._adds = [self._database.compiled(adding(table)) for table in (days, owner_days, months)]

    async def write(self, entries: Sequence[Entry], /) -> None:
        try:
            await self._write(entries)
        except WrittenAlready:
            new = {(entry.at, entry.id): entry for entry in entries}
            moments = [at for at, _ in new]
            there = usage.c.at.between(min(moments), max(moments)), usage.c.id.in_([id for _, id in new])
            known = {(row.at, row.id) for row in await self._rows(select(usage.c.at, usage.c.id).where(*there))}
            await self._write([entry for place, entry in new.items() if place not in known])

    async def _write(self, entries: Sequence[Entry]) -> None:
        rows = list(map(self._row, entries))
        of_days = added_to_days(entries, self._zone)
        sums = [_values(of_days), _values(of_owners(of_days)), _values(of_owners(of_days, period=len("2026-11")))]

        def work(connection: Connection) -> None:
            cursor = connection.connection.cursor()
            begin = 0
            try:
                for many, statement in self._inserts.items():
                    end = len(rows) - (len(rows) - begin) % many
                    if begin < end:
                        cursor.executemany(statement, _flat(rows[begin:end], many))
                    begin = end
            except connection.dialect.loaded_dbapi.IntegrityError:
                raise WrittenAlready from None
            for statement, added in zip(self._adds, sums, strict=True):
                cursor.executemany(statement, added)
            cursor.close()

        if rows:
            await self._database.run(work, writes=True)

    async def spent(self, where: Where, since: datetime, /) -> int:
        # In one statement, so that no entry comes between: all of the first day, less what is too early.
        early = and_(usage.c.at >= midnight_before(since, self._zone), usage.c.at < since)
        parts = [*pieces(day_of(since, self._zone), _NO_END, where, ()), Piece(usage, early, -1)]
        rows = await self._rows(union(parts, ("model", "groups"), ("cost",), where))
        return sum(int(row.cost or 0) for row in rows if is_meant_by_name(where, row.by_model, row.by_groups))

    async def sums(
        self, *, by: Sequence[Dimension], since: datetime, until: datetime, where: Where = ALL
    ) -> Sequence[Sum]:
        first, last = day_of(since, self._zone), day_of(until, self._zone)
        if first > last:
            return []
        # Groups and patterns of models are looked at afterwards: no database knows them.
        needed = {
            *("groups" if name == "group" else name for name in by),
            *(["model", "groups"] if where.model or where.group else []),
        }
        names = sorted(needed)
        statement = union(pieces(first, last, where, by), names, COUNTS, where)
        parts = [
            (dict(zip(names, row, strict=False)), Totals(*map(int, row[len(names) :])))
            for row in await self._rows(statement)
        ]
        if where.model or where.group:
            parts = [each for each in parts if is_meant_by_name(where, each[0]["model"], each[0]["groups"])]
        return summed(parts, by)

    async def entries(self, *, where: Where = ALL, before: Cursor | None = None, limit: int = 100) -> Page:
        conditions = meant(usage, where)
        if where.model or where.group:
            names = await self._rows(select(days.c.model, days.c.groups).where(*meant(days, where)).distinct())
            fitting = [row for row in names if is_meant_by_name(where, row.model, row.groups)]
            conditions.append(usage.c.model.in_({row.model for row in fitting}))
            conditions.append(usage.c.groups.in_({row.groups for row in fitting}))
        if before is not None:
            same = and_(usage.c.at == before.at, usage.c.id < before.id)
            conditions.append(or_(usage.c.at < before.at, same))
        statement = select(usage).where(*conditions).order_by(usage.c.at.desc(), usage.c.id.desc())
        found = [_entry(row) for row in await self._rows(statement.limit(limit + 1))]
        page = found[:limit]
        return Page(page, Cursor(page[-1].at, page[-1].id) if len(found) > limit else None)

    async def prune(self, before: datetime, /) -> int:
        old = select(usage.c.at, usage.c.id).where(usage.c.at < before).order_by(usage.c.at).limit(PRUNED_AT_ONCE)
        first = first_kept(before, self._zone)

        def work(connection: Connection) -> int:
            connection.execute(delete(days).where(days.c.period < first))
            owners = select(months.c.owner).where(months.c.period < first[:7])
            connection.execute(delete(owner_days).where(owner_days.c.owner.in_(owners), owner_days.c.period < first))
            connection.execute(delete(months).where(months.c.period < first[:7]))
            pruned = connection.execute(delete(usage).where(tuple_(usage.c.at, usage.c.id).in_(old)))
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


def _inserting(one: str, many: int) -> str:
    """A statement of SQLite that inserts so many entries, made of one that inserts one. An empty error is none, and so
    are empty labels."""
    into = one.partition(" VALUES ")[0]
    row = ", ".join("nullif(?, '')" if name in ("error", "labels") else "?" for name in Entry._fields)
    return f"{into} VALUES {', '.join([f'({row})'] * many)}"


def _flat(rows: Sequence[tuple[Any, ...]], many: int) -> list[tuple[Any, ...]]:
    """The parameters of statements that insert so many rows each."""
    return [tuple(chain.from_iterable(rows[begin : begin + many])) for begin in range(0, len(rows), many)]


def _adding(insert: Callable[[Table], Any], table: Table) -> Any:
    """Add to sums, or begin them."""
    statement = insert(table)
    added = {table.c[name]: table.c[name] + statement.excluded[name] for name in COUNTS}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=added)


def _values(sums: Mapping[Any, Totals]) -> list[tuple[object, ...]]:
    """The rows of `days` or `months`."""
    return [(*key, *astuple(totals)) for key, totals in sums.items()]


def _row(entry: Entry) -> tuple[Any, ...]:
    """The columns of `usage`, which are the fields of an entry in their order."""
    *others, groups, labels = entry
    return (*others, written(groups) if groups else "", _written_labels(labels) or None)


def _row_of_sqlite(entry: Entry) -> tuple[Any, ...]:
    """The same as the driver takes it fastest: the time as `Moment` keeps it, flags as numbers, and no None that is
    usual, in the place of which there is an empty text."""
    id, at, request, key, owner, endpoint, model, provider, upstream = entry[:9]
    estimated, status, error, complete, streamed, attempts, duration, first, groups, labels = entry[15:]
    since = at - _EPOCH
    return (
        id,
        f"{_second(since.days, since.seconds)}.{since.microseconds:06}",
        request,
        key,
        owner,
        endpoint,
        model,
        provider,
        upstream,
        *entry[9:15],
        1 if estimated else 0,
        status,
        error or "",
        1 if complete else 0,
        1 if streamed else 0,
        attempts,
        duration,
        first,
        written(groups) if groups else "",
        _written_labels(labels),
    )


@lru_cache(maxsize=64)
def _second(days: int, seconds: int) -> str:
    """A second after so much time, as SQLAlchemy writes it. It takes as long as the rest of a row; many share it."""
    return (_EPOCH + timedelta(days, seconds)).strftime("%Y-%m-%d %H:%M:%S")


def _written_labels(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(labels), ensure_ascii=False) if labels else ""


def _entry(row: Row[Any]) -> Entry:
    facts = {name: getattr(row, name) for name in Entry._fields}
    return Entry(**{**facts, "groups": tuple(read(row.groups)), "labels": row.labels or {}})
