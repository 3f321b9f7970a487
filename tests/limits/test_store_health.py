from __future__ import annotations

import asyncio
import time

import pytest

from xrouter_asgi.limits.store_health import StoreHealth, StoreUnavailable


async def well() -> str:
    return "well"


def link(**options: object) -> StoreHealth:
    return StoreHealth(well, name="It", **{"timeout": 0.05, "max_parallel": 2, "on_restored": lambda: None, **options})  # type: ignore[arg-type]  # its own keywords


async def test_a_busy_process_does_not_take_its_own_slowness_for_an_outage() -> None:
    asked = 0

    async def answered_while_busy() -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            asyncio.get_running_loop().call_soon(time.sleep, 0.12)
            await asyncio.sleep(0.06)
        return "well"

    over = link()
    assert await over.call(answered_while_busy) == "well"
    assert asked == 2
    assert over.up


async def test_no_answer_in_time_means_away() -> None:
    over = link(timeout=0.01)
    with pytest.raises(StoreUnavailable):
        await over.call(asyncio.Event().wait)
    assert not over.up
    await over.aclose()


async def test_any_failure_means_away_but_a_cancellation_does_not() -> None:
    async def defective() -> None:
        raise RuntimeError

    over = link()
    asking = asyncio.create_task(over.call(asyncio.Event().wait))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert over.up
    with pytest.raises(StoreUnavailable):
        await over.call(defective)
    assert not over.up
    await over.aclose()


async def test_who_waits_for_a_turn_does_not_wait_for_what_is_away() -> None:
    """Of a hundred calls at once two are made, each twice at most; the others learn from these."""
    asked = 0

    async def silent() -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    over = link(timeout=0.02)
    answers = await asyncio.gather(*(over.call(silent) for _ in range(100)), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    assert asked in (2, 3, 4)
    await over.aclose()


async def test_probes_become_rarer_until_one_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    back = asyncio.Event()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def probe() -> None:
        if len(pauses) < 5:
            raise OSError

    async def broken() -> None:
        raise OSError

    monkeypatch.setattr("xrouter_asgi.limits.store_health.asyncio.sleep", pause)
    over = StoreHealth(probe, name="It", timeout=0.05, max_parallel=1, on_restored=back.set)
    with pytest.raises(StoreUnavailable):
        await over.call(broken)
    await back.wait()
    assert pauses == [1.0, 2.0, 4.0, 4.0, 4.0]
    assert await over.call(well) == "well"
    await over.aclose()
