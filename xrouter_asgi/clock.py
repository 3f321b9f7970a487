"""The one clock of deadlines, waits, cooldowns and latencies."""

from __future__ import annotations

import asyncio


def now() -> float:
    """Seconds of the running event loop's clock: `time.monotonic()`, unless the loop has a clock of its own."""
    return asyncio.get_running_loop().time()
