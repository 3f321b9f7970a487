"""One of several processes that press on one limit: `python -m tests.limits.press URL REQUESTS_PER_SECOND SECONDS`.

Redis itself notes when it admitted something, by its own clock, in the list `history`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from tests.limits.fixtures import replace_in_scripts
from xrouter_asgi.limits.base import Charge, Limit
from xrouter_asgi.limits.redis import RedisBudget

LIMIT = Limit(1000, window=2.0)
_TICK = 0.01  # seconds


async def press(url: str, rate: int, seconds: float) -> None:
    budget = RedisBudget(url, patience=5.0)
    replace_in_scripts(
        budget, "return reply", "if refused == 0 then redis.call('RPUSH', 'history', now) end return reply"
    )
    loop = asyncio.get_running_loop()
    asked, start = 0, loop.time()
    async with asyncio.TaskGroup() as group:
        while (passed := loop.time() - start) < seconds:
            while asked < passed * rate:
                group.create_task(budget.reserve([Charge("key", LIMIT)], lease=f"{os.getpid()} {asked}"))
                asked += 1
            await asyncio.sleep(_TICK)
    await budget.aclose()


if __name__ == "__main__":
    asyncio.run(press(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
