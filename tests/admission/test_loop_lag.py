"""When the event loop sheds load, and how much."""

from __future__ import annotations

import asyncio
import time

from xrouter_asgi.admission import LoopLag
from xrouter_asgi.admission.loop_lag import INTERVAL, LOOK
from xrouter_asgi.testing.virtual import virtual


def look(loop_lag: LoopLag, *lags: float, seconds: float = INTERVAL, began: float = 0.0) -> None:
    """Look for so many seconds, at which the loop is as late as told, again and again."""
    for turn in range(round(seconds / LOOK) + 1):
        loop_lag.note(lags[turn % len(lags)], began + turn * LOOK)


def shed(lag: float, intervals: int) -> LoopLag:
    loop_lag = LoopLag(0.1)
    for turn in range(intervals):
        look(loop_lag, lag, began=10.0 * turn)
    return loop_lag


def test_a_loop_that_is_in_time_now_and_then_sheds_nothing() -> None:
    loop_lag = LoopLag(0.1)
    look(loop_lag, 5.0, 0.0)
    assert loop_lag.share == 1.0


def test_a_loop_that_is_late_at_every_look_sheds_more_and_more() -> None:
    shares = [shed(0.2, intervals).share for intervals in range(4)]
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) == 4


def test_some_requests_always_pass() -> None:
    assert 0 < shed(5.0, 100).share <= 0.05


def test_a_loop_that_is_in_time_again_sheds_nothing_soon() -> None:
    loop_lag = shed(5.0, 100)
    for turn in range(20):
        look(loop_lag, 0.0, began=10_000 + 10.0 * turn)
    assert loop_lag.share == 1.0


@virtual
async def test_the_share_is_that_of_the_requests_that_pass() -> None:
    loop_lag = shed(0.2, 2)
    passed = sum(loop_lag.admit() for _ in range(1000))
    assert abs(passed / 1000 - loop_lag.share) < 0.01


def test_the_more_are_refused_the_later_they_are_told_to_ask_again() -> None:
    assert shed(0.2, 1).retry_after < shed(0.2, 5).retry_after <= 20.0


async def test_a_loop_that_is_held_up_again_and_again_refuses() -> None:
    loop_lag = LoopLag(0.01)
    loop_lag.admit()
    async with asyncio.timeout(10):
        while loop_lag.share == 1.0:
            time.sleep(0.05)  # noqa: ASYNC251 -- what this is about
            await asyncio.sleep(0)
    assert sum(loop_lag.admit() for _ in range(10)) < 10
