"""A gateway that is killed again and again while it spends a budget, and what the budget and the ledger say of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
from redis import Redis

from tests.gateway import Gateway, serving
from tests.ledger.stand import Upstream, nano, new_key, settings
from xrouter_asgi.ledger import SQLLedger
from xrouter_asgi.testing.waiting import until

CLIENTS = 4
_EACH = nano(9, 10)  # of one request, which is bounded so that as much is reserved as is spent
_PER_ROUND = 150  # requests for which the budget has room


@dataclass
class Killed:
    """What came of it.

    Attributes:
        limit, spent: Nano-units: the budget, and what the upstream has said.
        forgotten: Nano-units that were not to be known after the kills: of requests that ran, and that had ended in the
            second before.
        rows, requests: Entries of the ledger, and what their sums of days count.
        asked: Requests that reached the upstream.
        seconds: How long a request waited that began a count, at most.
    """

    limit: int = 0
    spent: int = 0
    forgotten: int = 0
    rows: int = 0
    requests: int = 0
    asked: int = 0
    refused: bool = False
    ended: list[float] = field(default_factory=list)
    running: int = 0

    @property
    def holds(self) -> bool:
        """Whether the budget was exceeded by no more than nobody could know, and nothing is lost or there twice."""
        known = self.refused and self.spent <= self.limit + self.forgotten
        return known and self.requests == self.rows and self.least <= self.rows <= self.asked

    @property
    def least(self) -> int:
        """Rows that have to be there: those of all requests but the forgotten ones."""
        return self.asked - self.forgotten // _EACH


async def kill_repeatedly(
    rounds: int,
    *,
    folder: Path,
    url: str,
    redis: str | None = None,
    chance: random.Random,
    tell: Callable[[str], None] = lambda text: None,
) -> Killed:
    """Start a gateway, ask it, kill it, and so on; then ask the last one until the budget is used up.

    Args:
        redis: Keeps the counts, and is emptied before every third kill. None counts in memory.
    """
    found = Killed(limit=rounds * _PER_ROUND * _EACH)
    _, secret = await new_key(url)
    async with Upstream() as upstream:
        limit = f"{found.limit / 10**9:.9f} USD/calendar month per key"
        config = settings(folder / "xrouter.toml", upstream.url, url, limit=limit, redis=redis)
        for number in range(rounds):
            async with serving(config, {}) as gateway:
                found.refused = False
                under_way = partial(_is_under_way, found, upstream, upstream.asked)
                asking = asyncio.create_task(_ask(gateway, secret, found))
                await until(under_way, within=60)
                await asyncio.sleep(chance.uniform(0.0, 2.5))
                if redis is not None and number % 3 == 0:
                    Redis.from_url(redis).flushall()
                    _forget(found, found.running)
                    await asyncio.sleep(chance.uniform(0.0, 0.2))
                running = found.running  # the clients learn of it before this function does
                gateway.process.kill()
                await gateway.process.wait()
                _forget(found, running)
                await asking
            tell(f"kill {number + 1} of {rounds}: {upstream.asked} requests so far")
        found.refused = False  # a fast one may have used the budget up before it was killed
        async with serving(config, {}) as gateway:
            while not found.refused:
                await _ask(gateway, secret, found)
        found.spent, found.asked = upstream.cost, upstream.asked
    store = SQLLedger(url)
    now = datetime.now(UTC)
    (sum,) = await store.sums(by=(), since=now - timedelta(days=1), until=now)
    found.requests, found.rows = sum.totals.requests, await _rows(store)
    await store.aclose()
    return found


def _is_under_way(found: Killed, upstream: Upstream, before: int) -> bool:
    """Whether requests come through, or there is no room for any."""
    return upstream.asked > before or found.refused


def _forget(found: Killed, running: int) -> None:
    """What nobody can know after this moment."""
    late = sum(ended > time.monotonic() - 1.0 for ended in found.ended)
    found.forgotten += (late + running) * _EACH
    found.ended.clear()


async def _ask(gateway: Gateway, secret: str, found: Killed) -> None:
    """Ask with some clients at once until the gateway dies or refuses."""
    async with httpx.AsyncClient(base_url=gateway.url, headers={"authorization": f"Bearer {secret}"}) as client:
        await asyncio.gather(*(_client(client, found) for _ in range(CLIENTS)))


async def _client(client: httpx.AsyncClient, found: Killed) -> None:
    messages = [{"role": "user", "content": "10 well 0"}]
    body = {"model": "m", "messages": messages, "max_tokens": 10}
    while True:
        with _running(found):
            try:
                answer = await client.post("/v1/chat/completions", json=body)
            except httpx.HTTPError:
                return
        if answer.status_code == 429:
            assert answer.json()["error"]["code"] == "insufficient_quota", answer.text
            found.refused = True
            return
        assert answer.status_code == 200, answer.text
        found.ended.append(time.monotonic())


@contextmanager
def _running(found: Killed) -> Iterator[None]:
    found.running += 1
    try:
        yield
    finally:
        found.running -= 1


async def _rows(store: SQLLedger) -> int:
    count, before = 0, None
    while True:
        page = await store.entries(before=before, limit=1000)
        count += len({each.id for each in page.entries})
        if (before := page.before) is None:
            return count
