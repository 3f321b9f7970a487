"""The tables. Their names start with `xrouter_key`, so that they fit into a host's own database.

The key of a column is the name of the field that it keeps.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    false,
)
from sqlalchemy.types import TypeDecorator

REVISION = "0002"  # the newest migration in `migrations/versions`, which makes these tables
VERSION_TABLE = "xrouter_keys_version"  # not Alembic's default name, which a host may use itself


class Moment(TypeDecorator[datetime]):
    """An aware datetime in UTC. SQLite stores no time zone, so this type removes it and adds it again."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

keys = Table(
    "xrouter_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("user_id", String(200), index=True, key="owner"),
    Column("kind", String(16), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("is_active", Boolean, nullable=False, key="active"),
    Column("not_before", Moment),
    Column("expires_at", Moment),
    Column("scopes", JSON, nullable=False),
    Column("models", JSON, nullable=False),
    Column("limits", JSON, nullable=False),
    Column("last_used_at", Moment),
    Column("user_groups", JSON, nullable=False, server_default="[]", key="groups"),
    Column("is_suspended", Boolean, nullable=False, server_default=false(), key="suspended"),
    Index("ix_xrouter_keys_created_at", "created_at", "id"),
)

# A key has several secrets during an overlap.
secrets = Table(
    "xrouter_key_secrets",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("key_id", ForeignKey(keys.c.id), nullable=False, index=True),
    Column("pepper", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
)

# Triggers, made by the migration, refuse to change or delete a row.
audit = Table(
    "xrouter_key_audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("changed_at", Moment, nullable=False, key="at"),
    Column("changed_by", String(200), nullable=False, key="by"),
    Column("action", String(16), nullable=False),
    Column("key_id", String(32), nullable=False, index=True),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Column("reason", String(1000)),
)
