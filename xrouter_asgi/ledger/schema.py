"""The tables. Their names start with `xrouter_usage`, so that they fit into a host's own database.

The key of a column is the name of the field that it keeps. Texts have no bound here: what is too long is cut before,
and must not keep a whole batch from being written.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text

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
    Column("id", Text, primary_key=True),
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
    Index("xrouter_usage_at", "at"),
    Index("xrouter_usage_key_at", "key", "at"),
    Index("xrouter_usage_owner_at", "owner", "at"),
)


def _sums(period: str, **who: str) -> Table:
    """Sums of each day or month.

    Args:
        who: Whose they are: names of columns by their keys.
    """
    name = f"xrouter_usage_{period}s"
    return Table(
        name,
        metadata,
        Column(period, Text, primary_key=True, key="period"),
        *(Column(column, Text, primary_key=True, key=key) for key, column in who.items()),
        Column("user_groups", Text, primary_key=True, key="groups"),
        Column("model", Text, primary_key=True),
        Column("provider", Text, primary_key=True),
        *(Column(count, BigInteger, nullable=False) for count in COUNTS[:3]),
        *(Column(f"{count}_tokens", BigInteger, nullable=False, key=count) for count in COUNTS[3:8]),
        Column("cost", BigInteger, nullable=False),
        *(Index(f"{name}_{key}", key, "period") for key in who),
        sqlite_with_rowid=False,  # the rows lie in the order of their periods
    )


days = _sums("day", key="key_id", owner="user_id")
months = _sums("month", owner="user_id")  # not of each key: they are for what many keys spend together

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
