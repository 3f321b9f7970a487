"""Keys in SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import KeyStoreUnavailable
from .base import APIKey, AuditEntry, KeyExists, StoredSecret, UnknownKey, earlier, utc_now
from .database import Database
from .schema import audit, keys, secrets

logger = logging.getLogger("xrouter")

FLUSH_INTERVAL = 10.0
"""Seconds for which uses of keys are collected before one write."""


class SQLKeyStore:
    """Keeps keys in a database that several processes share. Connects at first use.

    Args:
        url: `sqlite:///keys.db` or `postgresql://user:password@host/name`. The file and tables of SQLite are made at
            first use; `xrouter keys migrate` makes the tables of PostgreSQL.
        imported: Whether it may hold keys that another gateway created.

    Raises:
        ValueError: The URL names no supported database.
        ModuleNotFoundError: The driver is not installed.
    """

    def __init__(self, url: str, *, imported: bool = False) -> None:
        self.imported = imported
        self._database = Database(url)
        self._warned = False
        self._used: dict[str, datetime] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None

    async def find(self, digests: Sequence[bytes], /) -> APIKey | None:
        statement = (
            select(keys, secrets.c.digest, secrets.c.pepper, secrets.c.expires_at.label("secret_expires_at"))
            .join_from(keys, secrets)
            .where(secrets.c.digest.in_(digests))
        )
        found = {row.digest: row for row in await self._rows(statement)}
        for digest in digests:
            row = found.get(digest)
            # Compared here too, so that no collation or column type of a database decides what is equal.
            if row is not None and hmac.compare_digest(row.digest, digest):
                self._warn_of_plain_digest(row)
                return replace(_key(row), expires_at=earlier(row.expires_at, row.secret_expires_at))
        return None

    def used(self, key: APIKey, /) -> None:
        self._used[key.id] = utc_now()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_INTERVAL, self._write_later)

    async def add(self, key: APIKey, secret: StoredSecret, entry: AuditEntry, /) -> None:
        async def work(connection: AsyncConnection) -> None:
            await connection.execute(insert(keys), _columns(key))
            await connection.execute(insert(secrets), _secret(key.id, secret, entry))
            await connection.execute(insert(audit), _entry(entry))

        await self._change(work)

    async def rotate(
        self, id: str, secret: StoredSecret, entry: AuditEntry, /, *, until: datetime, expires_at: datetime | None
    ) -> None:
        async def work(connection: AsyncConnection) -> None:
            await _update(connection, id, {"expires_at": expires_at})
            longer = or_(secrets.c.expires_at.is_(None), secrets.c.expires_at > until)
            await connection.execute(update(secrets).where(secrets.c.key_id == id, longer).values(expires_at=until))
            await connection.execute(insert(secrets), _secret(id, secret, entry))
            await connection.execute(insert(audit), _entry(entry))

        await self._change(work)

    async def revoke(self, id: str, entry: AuditEntry, /) -> None:
        async def work(connection: AsyncConnection) -> None:
            await _update(connection, id, {"is_active": False})
            await connection.execute(insert(audit), _entry(entry))

        await self._change(work)

    async def get(self, id: str, /) -> APIKey:
        for row in await self._rows(select(keys).where(keys.c.id == id)):
            return _key(row)
        raise UnknownKey(id)

    async def list(self, *, owner: str | None = None) -> Sequence[APIKey]:
        statement = select(keys).order_by(keys.c.created_at, keys.c.id)
        if owner is not None:
            statement = statement.where(keys.c.user_id == owner)
        return [_key(row) for row in await self._rows(statement)]

    async def audit(self, id: str, /) -> Sequence[AuditEntry]:
        rows = await self._rows(select(audit).where(audit.c.key_id == id).order_by(audit.c.id))
        return [
            AuditEntry(row.changed_at, row.changed_by, row.action, row.key_id, row.before, row.after, row.reason)
            for row in rows
        ]

    async def migrate(self) -> None:
        """Make the tables, or bring them up to date."""
        await self._database.migrate()

    async def aclose(self) -> None:
        """Write the last uses, then close the connections."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._write_used()
        await self._database.aclose()

    def __repr__(self) -> str:
        return f"SQLKeyStore({self._database!r})"

    async def _rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        async def work(connection: AsyncConnection) -> Sequence[Row[Any]]:
            rows: Sequence[Row[Any]] = (await connection.execute(statement)).all()
            return rows

        return await self._database.run(work)

    async def _change(self, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        async def checked(connection: AsyncConnection) -> None:
            try:
                await work(connection)
            except IntegrityError:
                # The cause is omitted: it shows the statement.
                raise KeyExists("The key is in the store already.") from None

        await self._database.run(checked, writes=True)

    def _warn_of_plain_digest(self, row: Row[Any]) -> None:
        if row.pepper == 0 and not self._warned:
            self._warned = True
            logger.warning("Key %s is kept as plain SHA-256. Give a pepper, and rotate such keys: see Hasher.", row.id)

    def _write_later(self) -> None:
        self._timer = None
        self._writer = asyncio.create_task(self._write_used())

    async def _write_used(self) -> None:
        batch, self._used = self._used, {}
        if not batch:
            return
        statement = (
            update(keys)
            .where(keys.c.id == bindparam("key_id"))
            .where(or_(keys.c.last_used_at.is_(None), keys.c.last_used_at < bindparam("at")))
            .values(last_used_at=bindparam("at"))
        )

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(statement, [{"key_id": id, "at": at} for id, at in sorted(batch.items())])

        try:
            await self._change(work)
        except KeyStoreUnavailable as exc:
            logger.warning("The last uses of %d keys could not be written: %s", len(batch), exc.detail)
            self._used = batch | self._used  # for the next write


async def _update(connection: AsyncConnection, id: str, values: Mapping[str, object]) -> None:
    if not (await connection.execute(update(keys).where(keys.c.id == id).values(values))).rowcount:
        raise UnknownKey(id)


def _key(row: Row[Any]) -> APIKey:
    return APIKey(
        id=row.id,
        name=row.name,
        owner=row.user_id,
        kind=row.kind,
        created_at=row.created_at,
        active=row.is_active,
        not_before=row.not_before,
        expires_at=row.expires_at,
        scopes=frozenset(row.scopes),
        models=tuple(row.models),
        limits=tuple(row.limits),
        last_used_at=row.last_used_at,
    )


def _columns(key: APIKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "user_id": key.owner,
        "kind": key.kind,
        "created_at": key.created_at,
        "is_active": key.active,
        "not_before": key.not_before,
        "expires_at": key.expires_at,
        "scopes": sorted(key.scopes),
        "models": list(key.models),
        "limits": list(key.limits),
        "last_used_at": key.last_used_at,
    }


def _secret(id: str, secret: StoredSecret, entry: AuditEntry) -> dict[str, object]:
    return {"digest": secret.digest, "key_id": id, "pepper": secret.pepper, "created_at": entry.at}


def _entry(entry: AuditEntry) -> dict[str, object]:
    return {
        "changed_at": entry.at,
        "changed_by": entry.by,
        "action": entry.action,
        "key_id": entry.key_id,
        "before": dict(entry.before),
        "after": dict(entry.after),
        "reason": entry.reason,
    }
