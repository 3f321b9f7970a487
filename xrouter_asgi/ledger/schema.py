"""The tables. Their names start with `xrouter_usage`, so that they fit into a host's own database.

Sums are kept three times. `days` answer what is asked of keys; `owner_days` and `months`, which hold what many keys
spend together, answer the rest.

The key of a column is the name of the field that it keeps. Texts have no bound here: what is too long is cut before,
and must not keep a whole batch from being written.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from ..database import Moment, Schema
from .base import LedgerUnavailable


class WrittenAlready(Exception):
    """At least one of these entries is there already."""


metadata = MetaData()

COUNTS = ("requests", "errors", "unpriced", "input", "cached", "cache_write", "output", "reasoning", "cost")
"""The columns of `days` and `months` that are summed: the fields of `Totals`."""

usage = Table(
    "xrouter_usage",
    metadata,
    Column("id", Text, nullable=False),
    Column("came_in_at", Moment, nullable=False, key="at"),
    Column("request_id", Text, nullable=False),
    Column("key_id", Text, key="key"),
    Column("user_id", Text, key="owner"),
    Column("endpoint", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("provider", Text),
    Column("upstream_model", Text),
    *(Column(f"{name}_tokens", BigInteger, nullable=False, key=name) for name in COUNTS[3:8]),
    Column("cost", BigInteger),
    Column("is_estimated", Boolean, nullable=False, key="estimated"),
    Column("status", Integer),
    Column("error", Text),
    Column("is_complete", Boolean, nullable=False, key="complete"),
    Column("is_streamed", Boolean, nullable=False, key="streamed"),
    Column("attempts", Integer, nullable=False),
    Column("duration", Float, nullable=False),
    Column("first_byte", Float, key="first"),
    Column("user_groups", Text, nullable=False, key="groups"),
    Column("labels", JSON(none_as_null=True)),
    PrimaryKeyConstraint("at", "id"),  # one index for the order and for what is there already
    Index("xrouter_usage_key_at", "key", "at"),
    Index("xrouter_usage_owner_at", "owner", "at"),
)


def _sums(name: str, period: str, *first: str) -> Table:
    """Sums of each day or month.

    Args:
        first: The columns that the primary key begins with, by their keys. What a question is about comes first.
    """
    who = {"key": "key_id", "owner": "user_id"} if "key" in first else {"owner": "user_id"}
    others = ("groups", "model", "provider")
    return Table(
        name,
        metadata,
        Column(period, Text, key="period"),
        *(Column(column, Text, key=key) for key, column in who.items()),
        Column("user_groups", Text, key="groups"),
        Column("model", Text),
        Column("provider", Text),
        *(Column(count, BigInteger, nullable=False) for count in COUNTS[:3]),
        *(Column(f"{count}_tokens", BigInteger, nullable=False, key=count) for count in COUNTS[3:8]),
        Column("cost", BigInteger, nullable=False),
        PrimaryKeyConstraint(*first, *others),
        sqlite_with_rowid=False,  # the rows lie in the order of the primary key
    )


days = _sums("xrouter_usage_days", "day", "period", "key", "owner")
owner_days = _sums("xrouter_usage_owner_days", "day", "owner", "period")
months = _sums("xrouter_usage_months", "month", "period", "owner")
Index("xrouter_usage_days_key", days.c.key, days.c.period)
Index("xrouter_usage_months_owner", months.c.owner, months.c.period)

SCHEMA = Schema(
    store="ledger",
    example="usage.db",
    metadata=metadata,
    migrations="xrouter_asgi.ledger:migrations",
    revision="0001",
    version_table="xrouter_usage_version",
    command="xrouter spend --migrate",
    unavailable=LedgerUnavailable,
    errors=(WrittenAlready,),
)
