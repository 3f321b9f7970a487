"""A ledger of requests that nobody sent: as many as wanted, made by the database itself."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from .resilience.goal import progress

YEAR: Final = 365  # days over which they are spread

_SQLITE: Final[Mapping[str, str]] = {
    "numbers": "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows}) SELECT i FROM n",
    "id": "printf('%016x', i)",
    "at": "datetime('{first}', '+' || (i * 86400 * 365 / {rows}) || ' seconds') || '.000000'",
    "day": "substr(came_in_at, 1, 10)",
    "no_labels": "NULL",
}
_POSTGRESQL: Final[Mapping[str, str]] = {
    "numbers": "SELECT generate_series(0::bigint, {rows} - 1) AS i",
    "id": "lpad(to_hex(i), 16, '0')",
    "at": "timestamptz '{first}Z' + make_interval(secs => i * 86400 * 365 / {rows})",
    "day": "to_char(came_in_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "no_labels": "NULL::json",
}
_FILL: Final = """
INSERT INTO xrouter_usage
SELECT {id}, {at}, 'req', 'key_' || (h % 1000), 'owner_' || (h % 100), 'chat', 'model_' || (h / 1000 % 5),
       'up_' || (h / 1000 % 2), 'm', h % 4096, 0, 0, h % 512, 0, h % 1000000, FALSE, 200, NULL, TRUE, TRUE, 1, 1.5, 0.5,
       '', {no_labels}
FROM (SELECT i, (i * 2654435761) % 4294967296 AS h FROM ({numbers}) AS numbers) AS hashed
"""
_ADD_DAYS: Final = """
INSERT INTO xrouter_usage_days
SELECT {day} AS day, key_id, user_id, user_groups, model, provider, count(*), 0, 0, sum(input_tokens), 0, 0,
       sum(output_tokens), 0, sum(cost)
FROM xrouter_usage GROUP BY 1, 2, 3, 4, 5, 6
"""
_ADD_OWNER_DAYS: Final = """
INSERT INTO xrouter_usage_owner_days
SELECT day, user_id, user_groups, model, provider, sum(requests), 0, 0, sum(input_tokens), 0, 0, sum(output_tokens), 0,
       sum(cost)
FROM xrouter_usage_days GROUP BY 2, 1, 3, 4, 5
"""
_ADD_MONTHS: Final = """
INSERT INTO xrouter_usage_months
SELECT substr(day, 1, 7) AS month, user_id, user_groups, model, provider, sum(requests), 0, 0, sum(input_tokens), 0, 0,
       sum(output_tokens), 0, sum(cost)
FROM xrouter_usage_owner_days GROUP BY 1, 2, 3, 4, 5
"""


async def fill(url: str, rows: int, *, until: datetime) -> None:
    """Spread so many requests of 1000 keys and 100 owners over a year, and add them up. The tables must be there."""
    words = _SQLITE if url.startswith("sqlite") else _POSTGRESQL
    first = f"{until - timedelta(days=YEAR):%Y-%m-%d %H:%M:%S}"
    words = {name: word.format(rows=rows, first=first) for name, word in words.items()}
    steps = {
        "requests": _FILL,
        "sums of days": _ADD_DAYS,
        "sums of days of owners": _ADD_OWNER_DAYS,
        "sums of months": _ADD_MONTHS,
    }
    statements = {what: text.format_map(words) for what, text in steps.items()}
    if words["no_labels"] == "NULL":
        _fill_sqlite(url.removeprefix("sqlite:///"), statements)
    else:
        await _fill_postgresql(url, statements)


def _fill_sqlite(file: str, statements: Mapping[str, str]) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    for pragma in ("synchronous=OFF", "cache_size=-500000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    for what, statement in statements.items():
        with _timed(what) as made:
            made += [connection.execute(statement).rowcount]
    connection.execute("ANALYZE")
    connection.close()


async def _fill_postgresql(url: str, statements: Mapping[str, str]) -> None:
    connection = await asyncpg.connect(url)
    for what, statement in statements.items():
        with _timed(what) as made:
            made += [int((await connection.execute(statement)).rpartition(" ")[2])]
    await connection.execute("ANALYZE")
    await connection.close()


@contextmanager
def _timed(what: str) -> Iterator[list[int]]:
    """Tell how many of what were made, and how long it took."""
    began, made = time.monotonic(), list[int]()
    yield made
    progress(f"{made[0]} {what}: {time.monotonic() - began:.0f} s")
