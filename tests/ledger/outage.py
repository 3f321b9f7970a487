"""A gateway whose PostgreSQL goes away for a while: who waits, and what is written down afterwards."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from tests.databases import DatabaseWire
from tests.gateway import serving
from tests.ledger.stand import Upstream, new_key, settings
from xrouter_asgi.ledger import SQLLedger


@dataclass
class Outage:
    """What came of it.

    Attributes:
        usual, during: Seconds that each request took, while the database was there and while it was away.
        failed: Requests that were not answered with a 200.
        asked, written: Requests that were answered, and entries.
    """

    usual: list[float] = field(default_factory=list)
    during: list[float] = field(default_factory=list)
    failed: int = 0
    asked: int = 0
    written: int = 0


async def lose_the_database(
    seconds: float, *, rate: float, folder: Path, url: str, keys: str, usual: float = 2.0
) -> Outage:
    """Send requests at a rate: for a while as usual, then without the database, then with it again.

    Args:
        url: Of the PostgreSQL.
        keys: Of the database of keys, which stays.
    """
    found = Outage()
    _, secret = await new_key(keys)
    store = SQLLedger(url)
    await store.migrate()
    async with Upstream() as upstream, DatabaseWire(url) as wire:
        limit = "1000 USD/calendar month per key"
        config = settings(folder / "xrouter.toml", upstream.url, keys, limit=limit, ledger=wire.url)
        async with serving(config, {}) as gateway, httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
            client.headers["authorization"] = f"Bearer {secret}"
            await _send(client, found, found.usual, rate=rate, seconds=usual)
            wire.cut = True
            await _send(client, found, found.during, rate=rate, seconds=seconds)
            wire.cut = False
            await _send(client, found, found.usual, rate=rate, seconds=usual)
        found.asked = upstream.asked
    now = datetime.now(UTC)
    (sum,) = await store.sums(by=(), since=now - timedelta(days=1), until=now)
    found.written = sum.totals.requests
    await store.aclose()
    return found


async def _send(client: httpx.AsyncClient, found: Outage, took: list[float], *, rate: float, seconds: float) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "10 well 0"}], "max_tokens": 10}

    async def one() -> None:
        began = time.perf_counter()
        answer = await client.post("/v1/chat/completions", json=body)
        took.append(time.perf_counter() - began)
        found.failed += answer.status_code != 200

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            await asyncio.sleep(began + number / rate - time.monotonic())
            group.create_task(one())
