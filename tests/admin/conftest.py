from __future__ import annotations

import pytest

from tests.admin.stand import Stand


@pytest.fixture
async def stand() -> Stand:
    return await Stand.open()
