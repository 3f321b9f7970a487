from __future__ import annotations

import pytest

from tests.telemetry.measured import Measured, MeasuredByMeter


@pytest.fixture(params=[Measured, MeasuredByMeter])
def kind(request: pytest.FixtureRequest) -> type[Measured]:
    """Where the numbers of metrics are kept: what holds for one holds for both."""
    chosen: type[Measured] = request.param
    return chosen
