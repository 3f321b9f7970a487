"""A Redis and a PostgreSQL for the tests in this folder."""

from __future__ import annotations

from tests.databases import postgres, postgres_url
from tests.limits.fixtures import redis_process, redis_url

__all__ = ["postgres", "postgres_url", "redis_process", "redis_url"]
