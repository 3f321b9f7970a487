"""Keys in SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Update, and_, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ..database import Database, async_url
from ..errors import KeyStoreUnavailable
from .base import (
    APIKey,
    AuditEntry,
    Changed,
    KeyConflict,
    KeyExists,
    NewKey,
    StoredSecret,
    UnknownKey,
    earlier,
    utc_now,
)
from .changes import ChangeListener, KeyChanges
from .postgres_changes import PostgresChanges
from .schema import SCHEMA, audit, keys, secrets

logger = logging.getLogger("xrouter")

FLUSH_INTERVAL = 10.0  # seconds for which uses of keys are collected before one write


class SQLKeyStore:
    """Keeps keys in a database that several processes share. Connects at first use.

    Every process that looks keys up is notified of changes: by PostgreSQL itself, and through `changes`.

    Args:
        url: `sqlite:///keys.db` or `postgresql://user:password@host/name`. The file and tables of SQLite are made at
            first use; `xrouter keys migrate` makes the tables of PostgreSQL.
        imported: Whether it may hold keys that another gateway created.
        changes: Another channel for notifications, such as `RedisChanges`.

    Raises ValueError for a URL of another database, and ModuleNotFoundError if the driver is not installed.
    """

    def __init__(self, url: str, *, imported: bool = False, changes: KeyChanges | None = None) -> None:
        self.imported = imported
        self._database = Database(url, SCHEMA)
        parsed = async_url(url, SCHEMA)
        self._channels: list[KeyChanges] = [] if changes is None else [changes]
        if parsed.get_backend_name() == "postgresql":
            self._channels.append(PostgresChanges(parsed))
        self._watchers: list[Changed] = []
        self._listener = ChangeListener(self._channels, self._heard)
        self._warned = False
        self._used: dict[str, datetime] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None

    async def find(self, digests: Sequence[bytes], /) -> APIKey | None:
        if self._watchers:
            self._listener.begin()
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

    def watch(self, changed: Changed, /) -> None:
        self._watchers.append(changed)

    async def add(self, *new: NewKey) -> None:
        def work(connection: Connection) -> None:
            with _taken():
                connection.execute(insert(keys), [_columns(key) for key, _, _ in new])
                connection.execute(insert(secrets), [_secret(key.id, secret, entry.at) for key, secret, entry in new])
            connection.execute(insert(audit), [asdict(entry) for _, _, entry in new])

        if new:
            await self._database.run(work, writes=True)

    async def rotate(
        self, id: str, secret: StoredSecret, entry: AuditEntry, /, *, until: datetime, expires_at: datetime | None
    ) -> None:
        longer = or_(secrets.c.expires_at.is_(None), secrets.c.expires_at > until)

        def work(connection: Connection) -> None:
            if not connection.execute(_of(id).values(expires_at=expires_at)).rowcount:
                raise UnknownKey(id)
            connection.execute(update(secrets).where(secrets.c.key_id == id, longer).values(expires_at=until))
            with _taken():
                connection.execute(insert(secrets), [_secret(id, secret, entry.at)])
            connection.execute(insert(audit), [asdict(entry)])

        await self._change(id, work)

    async def replace(self, old: APIKey, new: APIKey, entry: AuditEntry, /) -> None:
        def work(connection: Connection) -> None:
            # The lock makes others wait who replace it at the same time. In SQLite the transaction has it already.
            row = connection.execute(select(keys).where(keys.c.id == old.id).with_for_update()).first()
            if row is None:
                raise UnknownKey(old.id)
            if replace(_key(row), last_used_at=old.last_used_at) != old:
                raise KeyConflict
            values = _columns(new)
            del values["last_used_at"]  # which may be written meanwhile
            connection.execute(_of(old.id).values(values))
            connection.execute(insert(audit), [asdict(entry)])

        await self._change(old.id, work)

    async def get(self, id: str, /) -> APIKey:
        for row in await self._rows(select(keys).where(keys.c.id == id)):
            return _key(row)
        raise UnknownKey(id)

    async def list(
        self, *, owner: str | None = None, after: str | None = None, most: int | None = None
    ) -> Sequence[APIKey]:
        statement = select(keys).order_by(keys.c.created_at, keys.c.id).limit(most)
        if owner is not None:
            statement = statement.where(keys.c.owner == owner)
        if after is not None:
            at = (await self.get(after)).created_at
            later = or_(keys.c.created_at > at, and_(keys.c.created_at == at, keys.c.id > after))
            statement = statement.where(later)
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
        await self._listener.aclose()
        await self._write_used()
        await self._database.aclose()

    def __repr__(self) -> str:
        return f"SQLKeyStore({self._database!r})"

    async def _rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        def work(connection: Connection) -> Sequence[Row[Any]]:
            rows: Sequence[Row[Any]] = connection.execute(statement).all()
            return rows

        return await self._database.run(work)

    async def _change(self, id: str, work: Callable[[Connection], None]) -> None:
        """Change one key in a transaction, then notify this process and the others."""

        async def tell() -> None:
            self._heard(id)
            await asyncio.gather(*(channel.tell(id) for channel in self._channels))

        await self._database.change(work, then=tell)

    def _heard(self, id: str | None) -> None:
        for changed in self._watchers:
            changed(id)

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

        def work(connection: Connection) -> None:
            connection.execute(statement, [{"key_id": id, "at": at} for id, at in sorted(batch.items())])

        try:
            await self._database.run(work, writes=True)
        except KeyStoreUnavailable as exc:
            logger.warning("The last uses of %d keys could not be written: %s", len(batch), exc.detail)
            self._used = batch | self._used  # for the next write


@contextmanager
def _taken() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        # The cause is omitted: it shows the statement.
        raise KeyExists("The key is in the store already.") from None


def _of(id: str) -> Update:
    return update(keys).where(keys.c.id == id)


def _secret(id: str, secret: StoredSecret, at: datetime) -> dict[str, Any]:
    return asdict(secret) | {"key_id": id, "created_at": at}


def _columns(key: APIKey) -> dict[str, Any]:
    return asdict(key) | {"scopes": sorted(key.scopes)}


def _key(row: Row[Any]) -> APIKey:
    lists = {name: tuple(getattr(row, name)) for name in ("models", "limits", "groups")}
    return APIKey(**_fields(APIKey, row) | lists | {"scopes": frozenset(row.scopes)})


def _fields(kind: type[APIKey | AuditEntry], source: object) -> dict[str, Any]:
    return {field.name: getattr(source, field.name) for field in fields(kind)}
