from __future__ import annotations

import pytest

from tests.limits.fixtures import budget, budget_and_clock, clock, redis_budget, redis_process, redis_url
from tests.middleware.spans import Recorded

__all__ = ["budget", "budget_and_clock", "clock", "recorded", "redis_budget", "redis_process", "redis_url"]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()
