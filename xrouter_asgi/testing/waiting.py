"""Waiting for what happens in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], *, within: float = 10.0) -> None:
    """What happens in the background gets its time."""
    for _ in range(round(within / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError
