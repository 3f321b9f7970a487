from __future__ import annotations

import pytest

from tests.limits.fixtures import redis_process, redis_store, redis_url
from tests.middleware.spans import Recorded, RecordedBySDK, RecordedByUs

__all__ = ["by_sdk", "recorded", "redis_process", "redis_store", "redis_url"]


@pytest.fixture(params=[RecordedByUs, RecordedBySDK], ids=["own", "sdk"])
def recorded(request: pytest.FixtureRequest) -> Recorded:
    """What each of the two tracers made: what they share is tested with both."""
    made: Recorded = request.param()
    return made


@pytest.fixture
def by_sdk() -> RecordedBySDK:
    """For a host that has a tracer provider."""
    return RecordedBySDK()
