"""One of several processes whose clients ask one after the other: `python -m tests.limits.short_requests URL …`.

Prints how many requests were admitted, refused, and decided without Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter

from xrouter_asgi.limits.base import Charge
from xrouter_asgi.limits.limit import Limit
from xrouter_asgi.limits.redis import RedisLimits


async def ask(url: str, limit: Limit, *, clients: int, rounds: int, timeout: float) -> Counter[str]:
    store = RedisLimits(url, timeout=timeout, workers=2)
    told: Counter[str] = Counter()

    async def client(name: str) -> None:
        for number in range(rounds):
            lease = f"{os.getpid()} {name} {number}"
            reservation = await store.reserve([Charge("key", limit)], lease=lease)
            told["admitted" if reservation.admitted else "refused"] += 1
            told["local"] += reservation.local
            await asyncio.sleep(0)  # a very short request
            store.settle(lease, [1])

    await asyncio.gather(*(client(str(number)) for number in range(clients)))
    await store.aclose()
    return told


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("limit")
    parser.add_argument("clients", type=int)
    parser.add_argument("rounds", type=int)
    parser.add_argument("timeout", type=float)
    options = parser.parse_args()
    told = asyncio.run(
        ask(
            options.url,
            Limit.parse(options.limit),
            clients=options.clients,
            rounds=options.rounds,
            timeout=options.timeout,
        )
    )
    sys.stdout.write(f"{told['admitted']} {told['refused']} {told['local']}\n")
