"""Whole gateways with a ledger: killed, two at once, without their database. `benchmarks.ledger` does more."""

from __future__ import annotations

import random
from pathlib import Path

from tests.ledger.kills import kill_repeatedly
from tests.ledger.outage import lose_the_database
from tests.ledger.streams import stream
from tests.limits.fixtures import redis_process, redis_url

__all__ = ["redis_process", "redis_url"]


async def test_a_gateway_that_is_killed_five_times_keeps_its_budget(tmp_path: Path) -> None:
    found = await kill_repeatedly(5, folder=tmp_path, url=f"sqlite:///{tmp_path}/usage.db", chance=random.Random(1))
    assert found.holds, found


async def test_two_gateways_write_down_what_the_upstream_says_to_the_nano_unit(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    found = await stream(120, at_once=40, folder=tmp_path, url=postgres_url, redis=redis_url, chance=random.Random(2))
    assert found.exact, found
    assert found.within_budget, found
    assert found.refused > 0
    assert found.estimated > 0


async def test_nobody_waits_for_a_database_that_is_away_and_nothing_is_lost(tmp_path: Path, postgres_url: str) -> None:
    found = await lose_the_database(
        2.0, rate=20, folder=tmp_path, url=postgres_url, keys=f"sqlite:///{tmp_path}/keys.db", usual=0.5
    )
    assert found.failed == 0
    assert found.written == found.asked == len(found.usual) + len(found.during)
    assert max(found.during) < 1.0  # it is asked again every second, and its connections take 2 s to give up
