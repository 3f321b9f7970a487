"""Whether budgets and the ledger hold what they promise, when gateways are killed, and when there is much to add up.

Each option is a measurement of its own. The exit code is 0 if every goal was met.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

from tests.databases import postgres_server
from tests.ledger.kills import kill_repeatedly
from tests.ledger.outage import lose_the_database
from tests.ledger.streams import stream
from tests.limits.servers import redis_server
from xrouter_asgi.ledger import ALL, Where
from xrouter_asgi.ledger.sql import SQLLedger

from .resilience.goal import Finding, at_least, at_most, progress
from .rows import YEAR, fill

_EPILOG = """\
examples:
  python -m benchmarks.ledger --kills 200         kill -9 at random moments, and a Redis that is emptied now and then
  python -m benchmarks.ledger --streams 10000     two gateways and a Redis: is each nano-unit written down
  python -m benchmarks.ledger --away 60           PostgreSQL away for a minute at 100 requests a second
  python -m benchmarks.ledger --rows 10000000     how long sums take of so many requests, in SQLite and PostgreSQL"""

_TIMES = 20  # that each sum is taken


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
                at_least(f"{what}: rows", found.rows, found.least, more=f" (of {found.asked} requests)"),
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
    more = f" ({found.said / 1e9:.9f} USD; {found.estimated} entries are marked as estimates)"
    budget = f" (the budget: {found.limit / 1e9:.6f}; {len(found.alone)} streams were admitted without the Redis)"
    return [
        at_least("streams that the upstream was asked for", found.asked, options.streams * 0.6),
        at_least("streams that the budget refused", found.refused, 1),
        at_most("spent, USD", found.spent / 1e9, found.bound / 1e9, "{:.6f}", more=budget),
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
        at_most("entries", found.written, found.asked),
    ]


async def _rows(options: argparse.Namespace) -> list[Finding]:
    with tempfile.TemporaryDirectory() as name:
        findings = await _sums(f"sqlite:///{name}/usage.db", options.rows, "SQLite")
        with postgres_server(Path(name)) as postgres:
            findings += await _sums(postgres.get_uri(), options.rows, "PostgreSQL")
    return findings


async def _sums(url: str, rows: int, title: str) -> list[Finding]:
    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    last = today.replace(day=1) - timedelta(microseconds=1)  # of the month before
    month = last.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    year, owner, key = now - timedelta(days=YEAR), Where(owner="owner_7"), Where(key="key_7")
    ledger = SQLLedger(url)
    await ledger.migrate()
    progress(title)
    await fill(url, rows, until=now)
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "a month by owner": lambda: ledger.sums(by=("owner",), since=month, until=last),
        "half of a month by owner": lambda: ledger.sums(by=("owner",), since=month, until=month + timedelta(days=14)),
        "a year by owner and month": lambda: ledger.sums(by=("owner", "month"), since=year, until=now),
        "an owner's year by month": lambda: ledger.sums(by=("month",), since=year, until=now, where=owner),
        "a key's year by month": lambda: ledger.sums(by=("month",), since=year, until=now, where=key),
        "what an owner spent in a month": lambda: ledger.spent(owner, month),
        "what a key spent in 30 days": lambda: ledger.spent(key, now - timedelta(days=30)),
        "what all spent in a month": lambda: ledger.spent(ALL, month),
    }
    findings = []
    for what, ask in asked.items():
        took = []
        for _ in range(_TIMES):
            began = time.perf_counter()
            await ask()
            took.append(time.perf_counter() - began)
        findings.append(at_most(f"{title}: {what}, ms", statistics.median(took) * 1000, 50, "{:.1f}"))
    await ledger.aclose()
    return findings


def _p99(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[98]


if __name__ == "__main__":
    sys.exit(main())
