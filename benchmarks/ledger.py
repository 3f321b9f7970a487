"""Whether budgets and the ledger hold what they promise, when gateways are killed, and when there is much to add up.

Each option is a measurement of its own. The exit code is 0 if every goal was met.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

from tests.databases import postgres_server
from tests.ledger.kills import kill_repeatedly
from tests.ledger.outage import lose_the_database
from tests.ledger.streams import stream
from tests.limits.servers import redis_server
from xrouter_asgi.ledger import Where
from xrouter_asgi.ledger.sql import SQLLedger

from .resilience.goal import Finding, at_least, at_most, progress

_EPILOG = """\
examples:
  python -m benchmarks.ledger --kills 200         kill -9 at random moments, and a Redis that is emptied now and then
  python -m benchmarks.ledger --streams 10000     two gateways and a Redis: is each nano-unit written down
  python -m benchmarks.ledger --away 60           PostgreSQL away for a minute at 100 requests a second
  python -m benchmarks.ledger --rows 10000000     a ledger of so many requests in SQLite, and how long sums take"""

_OWNERS = 100
_TIMES = 20  # that each sum is taken
_YEAR = 365

_FILL = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :rows),
r AS (SELECT i, (i * 2654435761) % 4294967296 AS h FROM n)
INSERT INTO xrouter_usage
SELECT printf('%016x', i), datetime(:first, '+' || (i * :seconds / :rows) || ' seconds') || '.000000', 'req',
       'key_' || (h % 1000), 'owner_' || (h % 100), 'chat', 'model_' || (h / 1000 % 5), 'up_' || (h / 1000 % 2),
       'm', h % 4096, 0, 0, h % 512, 0, h % 1000000, 0, 200, NULL, 1, 1, 1, 1.5, 0.5, '', NULL
FROM r
"""
_ADD_UP = """
INSERT INTO xrouter_usage_days
SELECT substr(came_in_at, 1, 10), key_id, user_id, user_groups, model, provider, count(*), 0, 0, sum(input_tokens),
       0, 0, sum(output_tokens), 0, sum(cost)
FROM xrouter_usage GROUP BY 1, 2, 3, 4, 5, 6
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ledger",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, metavar="N", help="how often a gateway is killed")
    parser.add_argument("--streams", type=int, metavar="N", help="streams of random length, 500 at once")
    parser.add_argument("--away", type=float, metavar="SECONDS", help="how long PostgreSQL is away")
    parser.add_argument("--rows", type=int, metavar="N", help="requests in a ledger that is added up")
    parser.add_argument("--seed", type=int, default=1, help="of all chances (default 1)")
    options = parser.parse_args()
    measurements: dict[str, Callable[[argparse.Namespace], Awaitable[list[Finding]]]] = {
        "kills": _kills,
        "streams": _streams,
        "away": _away,
        "rows": _rows,
    }
    wanted = [measure for name, measure in measurements.items() if getattr(options, name) is not None]
    if not wanted:
        parser.error("Name at least one measurement.")
    findings = [finding for measure in wanted for finding in uvloop.run(measure(options))]
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        verdict = "ok" if finding.met else "NOT ok"
        print(f"{verdict:<6}  {finding.what:<{width}}  wanted {finding.wanted:<12} found {finding.found}")
    return 0 if all(finding.met for finding in findings) else 1


async def _kills(options: argparse.Namespace) -> list[Finding]:
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name, redis_server(Path(name)) as redis:
        findings = []
        for title, storage in (("in memory", None), ("in a Redis", redis.url)):
            folder = Path(tempfile.mkdtemp(dir=name))
            url = f"sqlite:///{folder}/usage.db"
            half = -(-options.kills // 2)
            found = await kill_repeatedly(half, folder=folder, url=url, redis=storage, chance=chance, tell=progress)
            bound = (found.limit + found.forgotten) / 1e9
            more = f" (the budget: {found.limit / 1e9:.3f})"
            what = f"{half} kills, counts {title}"
            findings += [
                at_most(f"{what}: spent, USD", found.spent / 1e9, bound, "{:.3f}", more=more),
                at_most(f"{what}: rows that are there twice", found.requests - found.rows, 0),
                at_most(f"{what}: rows", found.rows, found.asked),
            ]
    return findings


async def _streams(options: argparse.Namespace) -> list[Finding]:
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name, redis_server(Path(name)) as redis, postgres_server() as postgres:
        folder = Path(name)
        found = await stream(
            options.streams,
            at_once=500,
            folder=folder,
            url=postgres.get_uri(),
            redis=redis.url,
            chance=chance,
            tell=progress,
        )
    more = f" ({found.said / 1e9:.9f} USD; {found.estimated} of {options.streams} streams are marked as estimates)"
    return [
        at_most("difference to the upstream, nano-units", abs(found.counted - found.said), 0, more=more),
        at_most("streams that are not written down", found.missing, 0),
        at_most("streams that are written down twice", found.double, 0),
        at_most("streams that were cut off and are not marked", found.unmarked, 0),
    ]


async def _away(options: argparse.Namespace) -> list[Finding]:
    with tempfile.TemporaryDirectory() as name, postgres_server() as postgres:
        folder = Path(name)
        url, keys = postgres.get_uri(), f"sqlite:///{folder}/keys.db"
        found = await lose_the_database(options.away, rate=100, folder=folder, url=url, keys=keys, usual=10.0)
    usual, during = _p99(found.usual), _p99(found.during)
    return [
        at_most("requests that failed", found.failed, 0, more=f" of {len(found.usual) + len(found.during)}"),
        at_most("p99 without the database, ms", during * 1000, 1.5 * usual * 1000 + 5, "{:.1f}"),
        at_least("entries", found.written, found.asked),
    ]


async def _rows(options: argparse.Namespace) -> list[Finding]:
    now = datetime.now(UTC)
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "usage.db")
        ledger = SQLLedger(f"sqlite:///{file}")
        await ledger.write([])
        await ledger.spent(Where(), now)  # which makes the tables
        days = _fill(file, options.rows, now)
        progress(f"{options.rows} rows, {days} sums of days")
        year, owner = now - timedelta(days=_YEAR), Where(owner="owner_7")
        asked: dict[str, Callable[[], Awaitable[object]]] = {
            "an owner's month": lambda: ledger.sums(by=(), since=month, until=now, where=owner),
            "an owner's year by month": lambda: ledger.sums(by=("month",), since=year, until=now, where=owner),
            "a month by owner": lambda: ledger.sums(by=("owner",), since=month, until=now),
            "what an owner spent since noon of the 1st": lambda: ledger.spent(owner, month + timedelta(hours=12)),
        }
        findings = []
        for what, ask in asked.items():
            took = []
            for _ in range(_TIMES):
                began = time.perf_counter()
                await ask()
                took.append(time.perf_counter() - began)
            findings.append(at_most(f"{what}, ms", statistics.median(took) * 1000, 50, "{:.1f}"))
        await ledger.aclose()
    return findings


def _fill(file: Path, rows: int, now: datetime) -> int:
    """Spread so many requests of 1000 keys and 100 owners over a year. Returns how many sums of days they make."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in ("synchronous=OFF", "cache_size=-500000", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        first = (now - timedelta(days=_YEAR)).strftime("%Y-%m-%d %H:%M:%S")
        with _timed(f"{rows} rows"):
            connection.execute(_FILL, {"rows": rows, "first": first, "seconds": _YEAR * 86_400})
        with _timed("sums of days"):
            connection.execute(_ADD_UP)
        (days,) = connection.execute("SELECT count(*) FROM xrouter_usage_days").fetchone()
        return int(days)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    progress(f"{what}: {time.monotonic() - began:.0f} s")


def _p99(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[98]


if __name__ == "__main__":
    sys.exit(main())
