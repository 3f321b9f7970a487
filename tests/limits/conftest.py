"""Stores and a Redis of their own for every test in this folder."""

from __future__ import annotations

from tests.limits.fixtures import (
    clock,
    redis_process,
    redis_store,
    redis_url,
    sentinel_set,
    store,
    store_and_clock,
    three_nodes,
)

__all__ = [
    "clock",
    "redis_process",
    "redis_store",
    "redis_url",
    "sentinel_set",
    "store",
    "store_and_clock",
    "three_nodes",
]
