"""Streams of random length that end in all ways, through two gateways and a Redis, and what ledger and upstream say."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.gateway import serving
from tests.ledger.stand import Upstream, nano, new_key, prompt_tokens, settings
from xrouter_asgi.ledger import Entry, SQLLedger

FATES = ("well",) * 6 + ("leave", "break", "refuse", "late")
_ROOM = 8 * nano(10, 100) // 10  # that the budget has for each stream, which is too little for the last ones


@dataclass
class Streamed:
    """What came of it.

    Attributes:
        counted, said: Nano-units of the streams whose tokens the upstream has told: by the ledger, and by the upstream.
        missing: Streams that reached the upstream and have no entry.
        double: Entries beyond the first of a stream.
        unmarked: Entries of streams that were cut off, and do not say that they are estimates.
        estimated: Entries that are.
        spent, limit: Nano-units: all entries together, and the budget.
        missed: Nano-units by which streams cost more than was reserved for them, at most: as many of them as ran at
            once, and those that cost most.
        asked, refused: Streams that reached the upstream, and that the budget refused.
        alone: The numbers of streams that a gateway admitted alone, because it could not reach the Redis in time.
        unshared: Nano-units that those cost, which is what the budget in the Redis knows nothing of.
    """

    counted: int = 0
    said: int = 0
    missing: int = 0
    double: int = 0
    unmarked: int = 0
    estimated: int = 0
    spent: int = 0
    limit: int = 0
    missed: int = 0
    asked: int = 0
    refused: int = 0
    alone: set[str] = field(default_factory=set)
    unshared: int = 0

    @property
    def exact(self) -> bool:
        return self.counted == self.said and not (self.missing or self.double or self.unmarked)

    @property
    def within_budget(self) -> bool:
        return self.spent <= self.bound

    @property
    def bound(self) -> int:
        return self.limit + self.missed + self.unshared


async def stream(
    count: int,
    *,
    at_once: int,
    folder: Path,
    url: str,
    redis: str,
    chance: random.Random,
    tell: Callable[[str], None] = lambda text: None,
) -> Streamed:
    """Send so many streams, for some of which the budget has no room, and compare."""
    found = Streamed(limit=count * _ROOM)
    _, secret = await new_key(url)
    store = SQLLedger(url)
    await store.migrate()
    async with Upstream() as upstream:
        file, limit = folder / "xrouter.toml", f"{found.limit / 10**9:.9f} USD/calendar month"
        config = settings(file, upstream.url, url, limit=limit, redis=redis, model="hedge = 0.1")
        async with AsyncExitStack() as stack:
            gateways = [await stack.enter_async_context(serving(config, {})) for _ in range(2)]
            limits = httpx.Limits(max_connections=at_once)
            client = await stack.enter_async_context(httpx.AsyncClient(limits=limits, timeout=120))
            client.headers["authorization"] = f"Bearer {secret}"
            numbers, one = iter(range(count)), dict[str, int]()

            async def worker() -> None:
                for number in numbers:
                    fate, words = chance.choice(FATES), chance.randint(1, 200)
                    one[str(number)] = nano(prompt_tokens(words), words)
                    await _one(client, gateways[number % 2].url, f"{words} {fate} {number}", found)
                    if number % 500 == 499:
                        tell(f"{number + 1} of {count} streams")

            await asyncio.gather(*(worker() for _ in range(at_once)))
        entries = await _entries(store)
        _compare(entries, upstream, found, one=one, at_once=at_once)
    await store.aclose()
    return found


async def _one(client: httpx.AsyncClient, url: str, content: str, found: Streamed) -> None:
    words, fate, number = content.split()
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": content}],
        "stream": True,
        "max_tokens": int(words),
        "metadata": {"number": number},
    }
    try:
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
            found.refused += answer.status_code == 429
            if answer.headers.get("x-ratelimit-scope") == "local":
                found.alone.add(number)
            left = int(words) // 2
            async for line in answer.aiter_lines():
                left -= line.startswith("data: ")
                if fate == "leave" and left <= 0:
                    return
    except httpx.HTTPError:
        return


async def _entries(store: SQLLedger) -> list[Entry]:
    found: list[Entry] = []
    before = None
    while True:
        page = await store.entries(before=before, limit=1000)
        found += page.entries
        if (before := page.before) is None:
            return found


def _compare(
    entries: list[Entry], upstream: Upstream, found: Streamed, *, one: Mapping[str, int], at_once: int
) -> None:
    """Args:
    one: Nano-units that one attempt at each stream costs, which is what is reserved for it.
    """
    by_number: dict[str, list[Entry]] = {}
    missed = []
    for entry in entries:
        by_number.setdefault(entry.labels["number"], []).append(entry)
        found.spent += entry.cost or 0
        found.estimated += entry.estimated
        number, cost = entry.labels["number"], entry.cost or 0
        missed.append(max(0, cost - one[number]))
        found.unshared += cost if number in found.alone else 0
    found.missed = sum(sorted(missed)[-at_once:])
    found.asked = sum(map(bool, upstream.said.values()))
    for number, said in upstream.said.items():
        if not said:
            continue
        mine = by_number.get(number, [])
        found.missing += not mine
        found.double += max(0, len(mine) - 1)
        for entry in mine[:1]:
            if entry.estimated:
                continue
            found.unmarked += not all(each.whole for each in said)
            found.counted += entry.cost or 0
            found.said += sum(nano(each.prompt, each.completion) for each in said)
