from __future__ import annotations

import pytest

from tests.limits.fixtures import redis_process, redis_store, redis_url
from tests.middleware.spans import Recorded

__all__ = ["recorded", "redis_process", "redis_store", "redis_url"]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()
