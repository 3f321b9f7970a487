"""Where counts are kept, by URL."""

from __future__ import annotations

from .base import Budget
from .memory import MemoryBudget
from .redis import RedisBudget


def budget_at(url: str) -> Budget:
    """A budget for a storage URL as the library `limits` writes them: `memory://`, `redis://host:6379/0`, …

    Raises:
        ValueError: A scheme nobody knows here.
        ImportError: What it needs is not installed.
    """
    return MemoryBudget() if url == "memory://" else RedisBudget(url)
