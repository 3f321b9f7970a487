from __future__ import annotations

import pytest

from tests.limits.fixtures import clock, redis_process, redis_store, redis_url, store, store_and_clock
from tests.middleware.spans import Recorded

__all__ = ["clock", "recorded", "redis_process", "redis_store", "redis_url", "store", "store_and_clock"]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()
