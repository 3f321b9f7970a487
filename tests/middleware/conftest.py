from __future__ import annotations

import pytest

from tests.middleware.spans import Recorded


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()
