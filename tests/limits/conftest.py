"""Budgets and a Redis of their own for every test in this folder."""

from __future__ import annotations

from tests.limits.fixtures import budget, budget_and_clock, clock, redis_budget, redis_process, redis_url

__all__ = ["budget", "budget_and_clock", "clock", "redis_budget", "redis_process", "redis_url"]
