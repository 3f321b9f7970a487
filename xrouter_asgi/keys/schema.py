"""The tables. Their names start with `xrouter_key`, so that they fit into a host's own database.

The key of a column is the name of the field that it keeps.
"""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, false

from ..database import Moment, Schema
from ..errors import KeyStoreUnavailable
from .base import KeyConflict, KeyExists, UnknownKey

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

SCHEMA = Schema(
    store="key store",
    example="keys.db",
    metadata=metadata,
    migrations="xrouter_asgi.keys:migrations",
    revision="0002",
    version_table="xrouter_keys_version",
    command="xrouter keys migrate",
    unavailable=KeyStoreUnavailable,
    errors=(KeyConflict, KeyExists, UnknownKey),
)
