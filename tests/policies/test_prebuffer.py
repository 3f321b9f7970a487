from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.policies.upstream import HANG, Step, Upstream, call, stream_of, text_of
from tests.test_cancellation import Interrupted, cancel_now, cancel_one_tick_later, nothing_is_left
from xrouter_asgi.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from xrouter_asgi.policies.prebuffer import Prebuffer
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.providers.target import Target
from xrouter_asgi.testing.scripted import ScriptedProvider, chunk, usage_chunk
from xrouter_asgi.testing.virtual import now, virtual

SPOKEN: Sequence[Step] = ("a", 1.0, "b", 1.0, "c", 1.0, "d")
"""One token a second, beginning at once."""


def lost() -> UpstreamUnavailable:
    return UpstreamUnavailable("Lost.", code="connection_lost")


@pytest.mark.parametrize(
    ("bounds", "at"),
    [
        ({"seconds": 0.5}, 0.5),
        ({"seconds": 2.5}, 2.5),
        ({"seconds": 60.0}, 3.0),
        ({"tokens": 1}, 0.0),
        ({"tokens": 3}, 2.0),
        ({"tokens": 60}, 3.0),
        ({"seconds": 1.5, "tokens": 4}, 1.5),
        ({"seconds": 2.5, "tokens": 2}, 1.0),
    ],
    ids=str,
)
def test_a_stream_is_handed_over_whole_when_the_first_bound_is_reached_or_it_has_ended(
    bounds: dict[str, Any], at: float
) -> None:
    @virtual
    async def scenario() -> None:
        upstream = Upstream(SPOKEN)
        reply = await Prebuffer(upstream, **bounds).send(call(stream=True))
        assert (now(), reply.provider) == (at, "up")
        assert (await text_of(reply), now(), upstream.open) == ("abcd", 3.0, 0)

    scenario()


async def test_chunks_that_say_nothing_are_no_tokens_and_none_of_them_is_lost() -> None:
    begins, ends = asyncio.Event(), asyncio.Event()
    batches = [[chunk("")], [chunk(), chunk("a")], [chunk("b")], [chunk(finish="stop")], [usage_chunk()]]
    provider = ScriptedProvider(batches[0], begins, batches[1], ends, *batches[2:])
    sending = asyncio.create_task(Prebuffer(provider, tokens=1).send(call(stream=True)))
    await provider.reached.wait()
    assert not sending.done()
    begins.set()
    stream = await stream_of(await sending)
    ends.set()
    assert [batch async for batch in stream] == batches
    assert (stream.usage is not None, stream.characters) == (True, 2)


@virtual
async def test_what_breaks_a_stream_off_while_it_is_held_is_raised_at_once() -> None:
    upstream = Upstream(["a", 1.0, lost()])
    one = call(stream=True)
    with pytest.raises(Exception, match="before the answer was finished") as broken:
        await Prebuffer(Target(upstream, model="m"), seconds=5.0).send(one)
    assert (now(), upstream.open) == (1.0, 0)
    assert [attempt.error for attempt in one.context.attempts] == [broken.value.__cause__]


@virtual
async def test_a_stream_that_ends_too_early_while_it_is_held_may_be_repeated_once() -> None:
    upstream = Upstream(["a", lost()], ["a", lost()], ["b"])
    policy = Retry(Prebuffer(upstream, tokens=5))
    with pytest.raises(UpstreamError) as broken:
        await policy.send(call(stream=True))
    assert (broken.value.code, broken.value.should_retry, len(upstream.asked)) == ("stream_broken", False, 2)


@virtual
async def test_what_breaks_it_off_later_breaks_off_the_stream() -> None:
    upstream = Upstream(["a", 1.0, lost()])
    reply = await Prebuffer(upstream, seconds=0.5).send(call(stream=True))
    ended: list[BaseException | None] = []
    (await stream_of(reply)).when_ended(ended.append)
    with pytest.raises(Exception, match="before the answer was finished") as broken:
        await text_of(reply)
    assert (now(), upstream.open, ended) == (1.0, 0, [broken.value])


@virtual
async def test_whole_answers_are_not_held() -> None:
    await Prebuffer(Upstream(), seconds=5.0).send(call())
    assert now() == 0.0


# Its end before its time


@pytest.mark.parametrize("reason", [(), (UpstreamTimeout("Late."),)], ids=["left", "given up"])
def test_who_leaves_while_a_stream_is_held_closes_the_upstream_which_learns_why(reason: tuple[Any, ...]) -> None:
    @virtual
    async def scenario() -> None:
        upstream = Upstream(["a", HANG])
        one = call(stream=True)
        task = asyncio.create_task(Prebuffer(Target(upstream, model="m"), seconds=5.0).send(one))
        await asyncio.sleep(1.0)
        assert upstream.open == 1
        task.cancel(*reason)
        with pytest.raises(asyncio.CancelledError):
            await task
        (attempt,) = one.context.attempts
        assert (upstream.open, now()) == (0, 1.0)
        assert attempt.error is reason[0] if reason else isinstance(attempt.error, asyncio.CancelledError)

    scenario()


@virtual
async def test_who_closes_a_stream_that_is_being_read_ahead_closes_the_upstream() -> None:
    upstream = Upstream(["a", HANG])
    stream = await stream_of(await Prebuffer(upstream, seconds=1.0).send(call(stream=True)))
    await stream.aclose()
    await stream.aclose()
    assert (upstream.open, now()) == (0, 1.0)


@virtual
async def test_who_leaves_while_he_waits_for_what_is_being_read_closes_the_upstream() -> None:
    upstream = Upstream(["a", HANG])
    reply = await Prebuffer(upstream, seconds=1.0).send(call(stream=True))
    reading = asyncio.create_task(text_of(reply))
    await asyncio.sleep(1.0)
    reading.cancel()
    await asyncio.wait([reading])
    assert (upstream.open, now()) == (0, 2.0)


@pytest.mark.parametrize("cancel", [cancel_now, cancel_one_tick_later])
@pytest.mark.parametrize("times", [1, 2, 1000])
@pytest.mark.parametrize("bounds", [{"tokens": 3}, {"seconds": 60.0}, {"seconds": 1e-9}], ids=str)
async def test_a_call_cancelled_at_any_step_leaves_nothing_open(
    cancel: Callable[[], None], times: int, bounds: dict[str, Any]
) -> None:
    async def read(provider: ScriptedProvider) -> None:
        stream = await stream_of(await Prebuffer(provider, **bounds).send(call(stream=True)))
        try:
            async for _ in stream:
                pass
        finally:
            await stream.aclose()

    for n in itertools.count(1):
        provider = ScriptedProvider()
        interrupted = Interrupted(read(provider), range(n, n + times), cancel)
        await asyncio.wait([asyncio.create_task(interrupted.run())])
        await nothing_is_left(provider)
        if interrupted.suspensions < n:
            break
    assert n > 4


@pytest.mark.parametrize(
    ("bounds", "words"),
    [({}, "'seconds', 'tokens' or both"), ({"seconds": 0.0}, "'seconds'"), ({"tokens": -1}, "'tokens'")],
)
def test_bounds_that_make_no_sense_are_refused(bounds: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Prebuffer(Upstream(), **bounds)
