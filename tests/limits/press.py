"""One of several processes that press on one limit: `python -m tests.limits.press URL REQUESTS_PER_SECOND SECONDS`.

Redis itself notes, by its own clock, when it admitted something, in the list `admitted`, and when it refused something
in the list `refused`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from tests.limits.scripts import replace_in_scripts
from xrouter_asgi.limits.base import Charge, Reservation
from xrouter_asgi.limits.limit import Limit
from xrouter_asgi.limits.redis import RedisLimits

LIMIT = Limit(1000, window=2.0)
_TICK = 0.01  # seconds
_MOST = 64  # at once; what a slow machine does not manage is not made up for later


async def press(url: str, rate: int, seconds: float) -> None:
    store = RedisLimits(url, timeout=5.0)
    replace_in_scripts(
        store,
        "return reply",
        "if #KEYS > 1 then redis.call('RPUSH', refused == 0 and 'admitted' or 'refused', now) end return reply",
    )
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[Reservation]] = set()
    due, start = 0.0, loop.time()
    while (passed := loop.time() - start) < seconds:
        while due < passed:
            due += 1 / rate
            if len(running) < _MOST:
                asking = store.reserve([Charge("key", LIMIT)], lease=f"{os.getpid()} {due}")
                running.add(task := asyncio.create_task(asking))
                task.add_done_callback(running.discard)
        await asyncio.sleep(_TICK)
    await asyncio.gather(*running)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(press(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
