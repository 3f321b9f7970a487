from __future__ import annotations

import asyncio

import pytest

from tests.policies.upstream import HANG, Step, Upstream, call, stream_of, text_of
from xrouter_asgi.errors import UpstreamTimeout, UpstreamUnavailable
from xrouter_asgi.policies.breaker import CircuitBreaker
from xrouter_asgi.policies.circuit import Thresholds
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.timeout import Deadline, Timeout
from xrouter_asgi.providers.base import Call, Reply
from xrouter_asgi.providers.target import Target
from xrouter_asgi.testing.virtual import now, virtual


def cancelling() -> int:
    """How often the running task is being cancelled."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


# Before the commit point


@virtual
async def test_a_stream_that_does_not_begin_ends_after_first() -> None:
    upstream = Upstream([HANG])
    with pytest.raises(UpstreamTimeout, match=r"did not start to answer") as caught:
        await Timeout(upstream, first=3.0).send(call(stream=True))
    assert (caught.value.code, caught.value.trips, caught.value.retryable) == ("first_byte_timeout", True, False)
    assert (now(), upstream.open) == (3.0, 0)


@virtual
async def test_events_without_content_are_no_beginning() -> None:
    upstream = Upstream([1.0, "", 1.0, "", HANG])
    with pytest.raises(UpstreamTimeout, match=r"did not start"):
        await Timeout(upstream, first=3.0).send(call(stream=True))
    assert now() == 3.0


@virtual
async def test_a_whole_answer_may_take_longer_than_first() -> None:
    assert (await Timeout(Upstream([4.0]), first=3.0).send(call())).provider == "up"


@virtual
async def test_without_bounds_nothing_ends_early() -> None:
    policy = Timeout(Upstream([1e6, "hi", 1e6]), first=None, idle=None)
    reply = await policy.send(call(stream=True))
    assert await text_of(reply) == "hi"
    await policy.send(call())
    assert now() == 4e6


@virtual
async def test_an_error_of_the_upstream_passes_unchanged() -> None:
    error = UpstreamUnavailable("Down.")
    with pytest.raises(UpstreamUnavailable) as caught:
        await Timeout(Upstream([error])).send(call())
    assert caught.value is error


@virtual
async def test_the_attempt_notes_which_clock_ran_out() -> None:
    one = call(stream=True)
    with pytest.raises(UpstreamTimeout) as caught:
        await Timeout(Target(Upstream([HANG]), model="m"), first=3.0).send(one)
    assert one.context.attempts[0].error is caught.value


# After the commit point


@virtual
async def test_a_stream_that_falls_silent_breaks_off_after_idle() -> None:
    upstream = Upstream(["a", 2.9, "b", 2.9, "c", HANG])
    one = call(stream=True)
    stream = await stream_of(await Timeout(Target(upstream, model="m"), idle=3.0).send(one))
    told: list[BaseException | None] = []
    stream.when_ended(told.append)
    with pytest.raises(UpstreamTimeout, match=r"fell silent") as caught:
        async for _ in stream:
            pass
    assert (caught.value.code, upstream.open) == ("idle_timeout", 0)
    assert now() == pytest.approx(2.9 + 2.9 + 3.0)
    assert told == [caught.value] == [one.context.attempts[0].error]


@virtual
async def test_empty_events_are_no_life() -> None:
    empty: list[Step] = [1.0, ""]
    stream = await stream_of(await Timeout(Upstream(["a", *empty * 9]), idle=3.0).send(call(stream=True)))
    with pytest.raises(UpstreamTimeout, match=r"fell silent"):
        async for _ in stream:
            pass
    assert now() == 3.0


@virtual
async def test_a_client_that_reads_slowly_does_not_make_the_upstream_silent() -> None:
    stream = await stream_of(await Timeout(Upstream(["a", "b"]), idle=3.0).send(call(stream=True)))
    async for _ in stream:
        await asyncio.sleep(100.0)


@virtual
async def test_a_stream_that_has_ended_leaves_no_timer() -> None:
    loop = asyncio.get_running_loop()
    policy = Timeout(Upstream(["a", 1.0, "b"]), first=5.0, idle=500.0)
    await text_of(await policy.send(call(stream=True)))
    stream = await stream_of(await policy.send(call(stream=True)))
    await anext(stream)
    waiting = asyncio.create_task(stream.__anext__())
    await asyncio.sleep(0.5)
    waiting.cancel()
    await asyncio.wait([waiting])
    await stream.aclose()
    await policy.send(call())
    timers: list[asyncio.TimerHandle] = getattr(loop, "_scheduled")  # noqa: B009 -- private, and unknown to mypy
    assert [timer for timer in timers if not timer.cancelled()] == []


# Cancellation


@virtual
async def test_a_cancelled_call_leaves_nothing() -> None:
    upstream = Upstream([HANG])
    task = asyncio.create_task(Timeout(upstream, first=5.0).send(call(stream=True)))
    await asyncio.sleep(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(60.0)  # no alarm rings
    assert upstream.open == 0


@pytest.mark.parametrize("earlier", [False, True], ids=["after the alarm", "before the alarm"])
def test_a_cancellation_at_the_time_of_an_alarm_is_not_swallowed(earlier: bool) -> None:
    @virtual
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        task: asyncio.Task[Reply]
        if earlier:
            loop.call_at(5.0, lambda: task.cancel())
        task = asyncio.create_task(Timeout(Upstream([HANG]), first=5.0).send(call(stream=True)))
        await asyncio.sleep(1.0)
        if not earlier:
            loop.call_at(5.0, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    scenario()


@virtual
async def test_the_innermost_of_several_tells_first_and_a_breaker_between_them_hears_it() -> None:
    breaker = CircuitBreaker(Timeout(Upstream([HANG])), thresholds=Thresholds(minimum=1))
    with pytest.raises(UpstreamTimeout) as caught:
        await Timeout(breaker, first=60.0).send(call(stream=True))
    assert (caught.value.code, now()) == ("first_byte_timeout", 60.0)
    assert breaker.state == "open"


@virtual
async def test_of_two_alarms_at_once_one_is_told() -> None:
    policy = Timeout(Timeout(Upstream([HANG]), first=5.0), first=5.0)
    with pytest.raises(UpstreamTimeout):
        await policy.send(call(stream=True))
    assert now() == 5.0
    assert cancelling() == 0


@virtual
async def test_an_answer_that_comes_in_spite_of_the_alarm_is_kept() -> None:
    class Stubborn(Upstream):
        async def send(self, call: Call, /) -> Reply:
            try:
                await asyncio.sleep(HANG)
            except asyncio.CancelledError:
                return await super().send(call)
            raise AssertionError

    assert await text_of(await Timeout(Stubborn(), first=5.0).send(call(stream=True))) == "hi"
    assert cancelling() == 0


@virtual
async def test_it_works_inside_a_task_only() -> None:
    coroutine = Timeout(Upstream()).send(call(stream=True))
    outcome = asyncio.get_running_loop().create_future()

    def step_outside() -> None:
        try:
            coroutine.send(None)
        except RuntimeError as error:
            outcome.set_result(str(error))

    asyncio.get_running_loop().call_soon(step_outside)
    assert await outcome == "Timeout works inside a task of asyncio only."


@pytest.mark.parametrize("name", ["first", "idle"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_clock_has_to_go(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"'{name}' is"):
        Timeout(Upstream(), **{name: value})


# The deadline, which others keep


@virtual
async def test_a_call_gets_the_deadline_and_keeps_an_earlier_one() -> None:
    upstream = Upstream()
    policy = Deadline(upstream, total=5.0)
    for deadline in (None, 2.0, 9.0):
        await policy.send(call(deadline=deadline))
    assert [asked.call.deadline for asked in upstream.asked] == [5.0, 2.0, 5.0]


@virtual
async def test_attempts_share_one_deadline() -> None:
    upstream = Upstream([0.5, UpstreamUnavailable("Down.")])
    with pytest.raises(UpstreamUnavailable):
        await Deadline(Retry(upstream), total=5.0).send(call())
    assert len(upstream.asked) == 3
    assert {asked.call.deadline for asked in upstream.asked} == {5.0}


@pytest.mark.parametrize("total", [0.0, -1.0, float("nan")])
def test_a_deadline_is_above_zero(total: float) -> None:
    with pytest.raises(ValueError, match="'total' is"):
        Deadline(Upstream(), total=total)
