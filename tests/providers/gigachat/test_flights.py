from __future__ import annotations

import asyncio

import pytest

from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.providers.gigachat.flights import SingleFlight


class Work:
    """Counts how often it is done, and ends when the test says so."""

    def __init__(self) -> None:
        self.count = 0
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.count += 1
        return await asyncio.shield(self.outcome)


class Reluctant:
    """Takes its time to end when it is cancelled."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            await self.go.wait()
            self.ended.set()
        raise AssertionError


async def joined(flights: SingleFlight[str, str], work: Work, count: int) -> list[asyncio.Task[str]]:
    tasks = [asyncio.ensure_future(flights.join("key", work)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_all_who_want_the_same_share_one_result() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    tasks = await joined(flights, work, 5)
    work.outcome.set_result("done")
    assert await asyncio.gather(*tasks) == ["done"] * 5
    assert work.count == 1


async def test_all_who_want_the_same_share_one_failure_each_in_a_copy_of_its_own() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    tasks = await joined(flights, work, 2)
    work.outcome.set_exception(UpstreamUnavailable("No.", code="token_unavailable", detail="why"))
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, UpstreamUnavailable)
    assert isinstance(second, UpstreamUnavailable)
    assert first is not second
    assert (first.message, first.code, first.detail) == ("No.", "token_unavailable", "why")


async def test_a_mistake_of_ours_passes_through() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    (task,) = await joined(flights, work, 1)
    work.outcome.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await task


async def test_a_cancelled_waiter_leaves_the_flight_to_the_others() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    leaving, staying = await joined(flights, work, 2)
    leaving.cancel()
    await asyncio.wait({leaving})
    work.outcome.set_result("done")
    assert await staying == "done"


async def test_a_failure_nobody_waits_for_is_not_reported_as_forgotten() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    flight = flights.start("key", work)
    work.outcome.set_exception(UpstreamUnavailable("No."))
    await asyncio.wait({flight})
    await asyncio.sleep(0)
    del flight, work
    assert reports == []


async def test_after_a_flight_has_landed_the_next_one_starts() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    work.outcome.set_result("done")
    await flights.join("key", work)
    await flights.join("key", work)
    assert work.count == 2


async def test_a_flight_goes_on_when_nobody_waits_for_it_any_more() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    (task,) = await joined(flights, work, 1)
    task.cancel()
    await asyncio.wait({task})
    (later,) = await joined(flights, work, 1)
    work.outcome.set_result("done")
    assert await later == "done"
    assert work.count == 1


class TestEndUnwanted:
    async def test_the_last_one_who_leaves_ends_the_flight(self) -> None:
        flights: SingleFlight[str, str] = SingleFlight(end_unwanted=True)
        work = Work()
        first, last = await joined(flights, work, 2)
        flight = flights.start("key", work)
        for task in (first, last):
            assert not flight.done()
            task.cancel()
            await asyncio.wait({task})
        await asyncio.wait({flight})
        assert flight.cancelled()

    async def test_whoever_comes_while_a_flight_ends_gets_another_one(self) -> None:
        flights: SingleFlight[str, str] = SingleFlight(end_unwanted=True)
        reluctant = Reluctant()
        leaving = asyncio.ensure_future(flights.join("key", reluctant))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait({leaving})
        work = Work()
        (staying,) = await joined(flights, work, 1)
        reluctant.go.set()
        await reluctant.ended.wait()
        work.outcome.set_result("done")
        assert await staying == "done"

    async def test_closing_waits_for_what_is_ending(self) -> None:
        flights: SingleFlight[str, str] = SingleFlight(end_unwanted=True)
        reluctant = Reluctant()
        leaving = asyncio.ensure_future(flights.join("key", reluctant))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait({leaving})
        closing = asyncio.ensure_future(flights.aclose())
        await asyncio.sleep(0)
        reluctant.go.set()
        await closing
        assert reluctant.ended.is_set()

    async def test_a_flight_that_landed_is_not_ended(self) -> None:
        flights: SingleFlight[str, str] = SingleFlight(end_unwanted=True)
        work = Work()
        work.outcome.set_result("done")
        assert await flights.join("key", work) == "done"
        assert await flights.join("key", work) == "done"


async def test_closing_ends_flights_and_tells_those_who_wait() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    (task,) = await joined(flights, Work(), 1)
    await flights.aclose()
    with pytest.raises(UpstreamUnavailable, match="closed"):
        await task
    await flights.aclose()
