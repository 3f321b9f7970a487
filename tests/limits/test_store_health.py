"""When a store is left, and when it is asked again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from xrouter_asgi.limits.store_health import StoreHealth, StoreUnavailable
from xrouter_asgi.testing.waiting import until


class Answering:
    """A store whose answers a test gives.

    Attributes:
        seconds: After which an answer comes; None for never.
        connecting: Seconds that connecting takes.
        error: What calls fail with.
    """

    def __init__(self) -> None:
        self.connected = False
        self.seconds: float | None = 0.0
        self.connecting = 0.0
        self.error: Exception | None = None
        self.unreachable: Exception | None = None
        self.connects = 0
        self.asked = 0
        self.caught_up = 0

    async def connect(self) -> None:
        self.connects += 1
        await asyncio.sleep(self.connecting)
        if self.unreachable is not None:
            raise self.unreachable
        self.connected = True

    def ask(self) -> list[asyncio.Future[str]]:
        self.asked += 1
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if self.error is not None:
            answer.set_exception(self.error)
        elif self.seconds is not None:
            asyncio.get_running_loop().call_later(self.seconds, _tell, answer)
        return [answer]

    probe = ask

    def is_lost(self, error: Exception) -> bool:
        return isinstance(error, ConnectionError)

    def disconnect(self) -> None:
        self.connected = False

    async def catch_up(self) -> None:
        self.caught_up += 1


def _tell(answer: asyncio.Future[str]) -> None:
    if not answer.done():
        answer.set_result("well")


def watch(
    store: Answering, *, timeout: float = 0.05, restored: Callable[[], Awaitable[object]] | None = None
) -> StoreHealth:
    return StoreHealth(store, name="It", timeout=timeout, on_restored=restored or store.catch_up)


async def test_connecting_is_waited_for_and_done_once() -> None:
    store = Answering()
    store.connecting = 0.2  # four times the timeout
    health = watch(store)
    assert await asyncio.gather(*(health.call(store.ask) for _ in range(50))) == [["well"]] * 50
    assert store.connects == 1
    assert health.up
    await health.aclose()


async def test_a_late_answer_is_waited_for_while_a_probe_is_in_time() -> None:
    store = Answering()
    health = watch(store)
    await health.connect()
    store.seconds = 0.08
    late = asyncio.create_task(health.call(store.ask))
    await asyncio.sleep(0.02)
    store.seconds = 0.0
    assert await late == ["well"]
    assert health.up
    await health.aclose()


async def test_one_answer_that_never_comes_is_no_outage() -> None:
    store = Answering()
    health = watch(store)
    await health.call(store.ask)
    store.seconds = 10.0
    late = asyncio.create_task(health.call(store.ask))
    await asyncio.sleep(0.02)
    store.seconds = 0.0
    with pytest.raises(StoreUnavailable):
        await late
    assert await health.call(store.ask) == ["well"]
    assert health.up
    await health.aclose()


async def test_a_late_answer_and_a_late_probe_are_an_outage() -> None:
    store = Answering()
    health = watch(store, timeout=0.02)
    await health.call(store.ask)
    store.seconds = None
    with pytest.raises(StoreUnavailable):
        await health.call(store.ask)
    assert health.up
    await until(lambda: not health.up)
    store.asked = 0
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            await health.call(store.ask)
    assert store.asked == 0
    await health.aclose()


async def test_a_store_that_is_too_slow_is_left_before_it_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    store = Answering()
    store.seconds = 0.06
    health = watch(store)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await health.call(store.ask)
    (line,) = caplog.messages
    assert line.startswith("It is too slow: it answers after ")
    assert line.endswith(" ms, and a request waits for 50 ms at most")
    await health.aclose()


async def test_a_busy_process_does_not_take_its_own_slowness_for_an_outage() -> None:
    store = Answering()
    health = watch(store)
    await health.connect()
    store.seconds = 0.06
    asyncio.get_running_loop().call_later(0.01, time.sleep, 0.12)
    assert await health.call(store.ask) == ["well"]
    assert health.up
    await health.aclose()


async def test_a_call_is_repeated_on_a_new_connection_once() -> None:
    store = Answering()
    health = watch(store)

    def lost_once() -> list[asyncio.Future[str]]:
        answer = store.ask()
        if store.connects < 2:
            answer[0].cancel()
            raise ConnectionError
        return answer

    assert await health.call(lost_once) == ["well"]
    assert (store.connects, health.up) == (2, True)
    store.error = ConnectionResetError()
    with pytest.raises(StoreUnavailable):
        await health.call(store.ask)
    assert not health.up
    await health.aclose()


async def test_a_failure_means_away_but_a_cancellation_does_not() -> None:
    store = Answering()
    health = watch(store)
    await health.connect()
    store.seconds = None
    asking = asyncio.create_task(health.call(store.ask))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert health.up
    store.error = RuntimeError()
    with pytest.raises(StoreUnavailable):
        await health.call(store.ask)
    assert not health.up
    await health.aclose()


async def test_who_waits_for_a_connection_does_not_wait_for_what_cannot_be_reached() -> None:
    store = Answering()
    store.unreachable = ConnectionRefusedError()
    health = watch(store)
    answers = await asyncio.gather(*(health.call(store.ask) for _ in range(100)), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    assert (store.connects, store.asked) == (1, 0)
    await health.aclose()


async def test_probes_become_rarer_until_one_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    store = Answering()
    back = asyncio.Event()

    async def pause(seconds: float) -> None:
        if seconds:
            pauses.append(seconds)
        if len(pauses) == 5:
            store.error = None

    async def restored() -> None:
        assert not health.up  # it hears what it missed before anybody asks it
        back.set()

    health = watch(store, restored=restored)
    await health.connect()
    monkeypatch.setattr("xrouter_asgi.limits.store_health.asyncio.sleep", pause)
    store.error = OSError()
    with pytest.raises(StoreUnavailable):
        await health.call(store.ask)
    await back.wait()
    assert pauses == [1.0, 2.0, 4.0, 4.0, 4.0]
    assert await health.call(store.ask) == ["well"]
    await health.aclose()
