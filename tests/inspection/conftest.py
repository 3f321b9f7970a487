"""A Redis for the tests in this folder."""

from __future__ import annotations

from tests.limits.fixtures import redis_process, redis_url

__all__ = ["redis_process", "redis_url"]
