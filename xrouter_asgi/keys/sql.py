"""Keys in SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Insert, Row, Select, Update, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import KeyStoreUnavailable
from .base import APIKey, AuditEntry, KeyExists, StoredSecret, UnknownKey, earlier, utc_now
from .database import Database
from .schema import audit, keys, secrets

logger = logging.getLogger("xrouter")

FLUSH_INTERVAL = 10.0  # seconds for which uses of keys are collected before one write


class SQLKeyStore:
    """Keeps keys in a database that several processes share. Connects at first use.

    Args:
        url: `sqlite:///keys.db` or `postgresql://user:password@host/name`. The file and tables of SQLite are made at
            first use; `xrouter keys migrate` makes the tables of PostgreSQL.
        imported: Whether it may hold keys that another gateway created.

    Raises ValueError for a URL of another database, and ModuleNotFoundError if the driver is not installed.
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
                if row.pepper == 0 and not self._warned:
                    self._warned = True
                    logger.warning(
                        "Key %s is kept as plain SHA-256. Give a pepper, and rotate such keys: see Hasher.", row.id
                    )
                return replace(_key(row), expires_at=earlier(row.expires_at, row.secret_expires_at))
        return None

    def used(self, key: APIKey, /) -> None:
        self._used[key.id] = utc_now()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_INTERVAL, self._write_later)

    async def add(self, key: APIKey, secret: StoredSecret, entry: AuditEntry, /) -> None:
        facts = asdict(key) | {"scopes": sorted(key.scopes)}
        await self._change(key.id, entry, insert(keys).values(facts), _insert(key.id, secret, entry))

    async def rotate(
        self, id: str, secret: StoredSecret, entry: AuditEntry, /, *, until: datetime, expires_at: datetime | None
    ) -> None:
        longer = or_(secrets.c.expires_at.is_(None), secrets.c.expires_at > until)
        await self._change(
            id,
            entry,
            update(keys).where(keys.c.id == id).values(expires_at=expires_at),
            update(secrets).where(secrets.c.key_id == id, longer).values(expires_at=until),
            _insert(id, secret, entry),
        )

    async def revoke(self, id: str, entry: AuditEntry, /) -> None:
        await self._change(id, entry, update(keys).where(keys.c.id == id).values(active=False))

    async def get(self, id: str, /) -> APIKey:
        for row in await self._rows(select(keys).where(keys.c.id == id)):
            return _key(row)
        raise UnknownKey(id)

    async def list(self, *, owner: str | None = None) -> Sequence[APIKey]:
        statement = select(keys).order_by(keys.c.created_at, keys.c.id)
        if owner is not None:
            statement = statement.where(keys.c.owner == owner)
        return [_key(row) for row in await self._rows(statement)]

    async def audit(self, id: str, /) -> Sequence[AuditEntry]:
        rows = await self._rows(select(audit).where(audit.c.key_id == id).order_by(audit.c.id))
        return [AuditEntry(**_fields(AuditEntry, row)) for row in rows]

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

    async def _change(self, id: str, entry: AuditEntry, change: Insert | Update, *others: Insert | Update) -> None:
        """Change one key, and whatever belongs to it, with its audit entry."""
        facts = _fields(AuditEntry, entry) | {"before": dict(entry.before), "after": dict(entry.after)}

        async def work(connection: AsyncConnection) -> None:
            try:
                if not (await connection.execute(change)).rowcount:
                    raise UnknownKey(id)
                for statement in (*others, insert(audit).values(facts)):
                    await connection.execute(statement)
            except IntegrityError:
                # The cause is omitted: it shows the statement.
                raise KeyExists("The key is in the store already.") from None

        await self._database.run(work, writes=True)

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
            await self._database.run(work, writes=True)
        except KeyStoreUnavailable as exc:
            logger.warning("The last uses of %d keys could not be written: %s", len(batch), exc.detail)
            self._used = batch | self._used  # for the next write


def _insert(id: str, secret: StoredSecret, entry: AuditEntry) -> Insert:
    return insert(secrets).values(asdict(secret) | {"key_id": id, "created_at": entry.at})


def _key(row: Row[Any]) -> APIKey:
    lists = {"scopes": frozenset(row.scopes), "models": tuple(row.models), "limits": tuple(row.limits)}
    return APIKey(**_fields(APIKey, row) | lists)


def _fields(kind: type[APIKey | AuditEntry], source: object) -> dict[str, Any]:
    return {field.name: getattr(source, field.name) for field in fields(kind)}
