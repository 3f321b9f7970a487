from __future__ import annotations

import asyncio

import pytest

from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.queueing.single_flight import SingleFlight


class Work:
    """Counts its calls and ends when the test sets `outcome`."""

    def __init__(self) -> None:
        self.count = 0
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.count += 1
        return await asyncio.shield(self.outcome)


class Reluctant:
    """Ends only after `go` is set, even when it is cancelled."""

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
    tasks = [asyncio.ensure_future(flights.do("key", work)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_callers_of_one_key_share_one_result() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    tasks = await joined(flights, work, 5)
    work.outcome.set_result("done")
    assert await asyncio.gather(*tasks) == ["done"] * 5
    assert work.count == 1


async def test_each_caller_gets_its_own_copy_of_the_failure() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    tasks = await joined(flights, work, 2)
    work.outcome.set_exception(UpstreamUnavailable("No.", code="token_unavailable", detail="why"))
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, UpstreamUnavailable)
    assert isinstance(second, UpstreamUnavailable)
    assert first is not second
    assert (first.message, first.code, first.detail) == ("No.", "token_unavailable", "why")


async def test_an_unexpected_exception_passes_through() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    (task,) = await joined(flights, work, 1)
    work.outcome.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await task


async def test_a_cancelled_caller_leaves_the_flight_to_the_others() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    leaving, staying = await joined(flights, work, 2)
    leaving.cancel()
    await asyncio.wait({leaving})
    work.outcome.set_result("done")
    assert await staying == "done"


async def test_asyncio_does_not_report_a_failure_that_nobody_waits_for() -> None:
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


async def test_a_call_after_the_flight_ended_starts_a_new_one() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    work.outcome.set_result("done")
    await flights.do("key", work)
    await flights.do("key", work)
    assert work.count == 2


async def test_a_flight_goes_on_after_its_last_caller_has_left() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    (task,) = await joined(flights, work, 1)
    task.cancel()
    await asyncio.wait({task})
    (later,) = await joined(flights, work, 1)
    work.outcome.set_result("done")
    assert await later == "done"
    assert work.count == 1


async def test_a_deadline_ends_the_wait_of_one_caller_and_not_the_flight() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    now = asyncio.get_running_loop().time()
    (staying,) = await joined(flights, work, 1)
    with pytest.raises(TimeoutError):
        await flights.do("key", work, deadline=now)
    work.outcome.set_result("done")
    assert await staying == "done"
    assert work.count == 1


async def test_a_flight_that_ends_before_the_deadline_answers() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    work.outcome.set_result("done")
    assert await flights.do("key", work, deadline=asyncio.get_running_loop().time() + 60) == "done"


async def test_waiting_for_all_flights_cancels_none() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    (task,) = await joined(flights, work, 1)
    waiting = asyncio.ensure_future(flights.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    work.outcome.set_result("done")
    await waiting
    assert await task == "done"


class TestEndUnwanted:
    async def test_a_deadline_of_the_last_caller_cancels_the_flight(self) -> None:
        flights: SingleFlight[str, str] = SingleFlight(end_unwanted=True)
        work = Work()
        flight = flights.start("key", work)
        with pytest.raises(TimeoutError):
            await flights.do("key", work, deadline=asyncio.get_running_loop().time())
        await asyncio.wait({flight})
        assert flight.cancelled()

    async def test_the_last_caller_to_leave_cancels_the_flight(self) -> None:
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

    async def test_a_caller_does_not_join_a_flight_that_is_being_cancelled(self) -> None:
        flights: SingleFlight[str, str] = SingleFlight(end_unwanted=True)
        reluctant = Reluctant()
        leaving = asyncio.ensure_future(flights.do("key", reluctant))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait({leaving})
        work = Work()
        (staying,) = await joined(flights, work, 1)
        reluctant.go.set()
        await reluctant.ended.wait()
        work.outcome.set_result("done")
        assert await staying == "done"

    async def test_closing_waits_for_flights_that_are_being_cancelled(self) -> None:
        flights: SingleFlight[str, str] = SingleFlight(end_unwanted=True)
        reluctant = Reluctant()
        leaving = asyncio.ensure_future(flights.do("key", reluctant))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait({leaving})
        closing = asyncio.ensure_future(flights.aclose())
        await asyncio.sleep(0)
        reluctant.go.set()
        await closing
        assert reluctant.ended.is_set()

    async def test_a_flight_that_ended_by_itself_is_not_cancelled(self) -> None:
        flights: SingleFlight[str, str] = SingleFlight(end_unwanted=True)
        work = Work()
        work.outcome.set_result("done")
        assert await flights.do("key", work) == "done"
        assert await flights.do("key", work) == "done"


async def test_closing_cancels_flights_and_tells_their_callers() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    (task,) = await joined(flights, Work(), 1)
    await flights.aclose()
    with pytest.raises(UpstreamUnavailable, match="closed"):
        await task
    await flights.aclose()
