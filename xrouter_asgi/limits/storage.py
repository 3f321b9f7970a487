"""Where counts are kept, by URL."""

from __future__ import annotations

from .base import LimitStore
from .memory import MemoryLimits
from .redis import RedisLimits


def budget_at(url: str) -> LimitStore:
    """A budget for a storage URL as the library `limits` writes them: `memory://`, `redis://host:6379/0`, …

    Raises:
        ValueError: A scheme nobody knows here.
        ImportError: What it needs is not installed.
    """
    return MemoryLimits() if url == "memory://" else RedisLimits(url)
