from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.policies.upstream import HANG, Step, Upstream, call, stream_of, text_of
from xrouter_asgi.errors import ConcurrencyExceeded, UpstreamRateLimited, UpstreamTimeout, UpstreamUnavailable
from xrouter_asgi.policies.concurrency import Concurrency
from xrouter_asgi.providers.base import Reply, Unready
from xrouter_asgi.queueing.adaptive import AdaptiveLimit
from xrouter_asgi.queueing.slots import Slots
from xrouter_asgi.testing.virtual import now, virtual
from xrouter_asgi.wire.stream import ChatStream


def concurrency(upstream: Upstream, **options: Any) -> Concurrency:
    return Concurrency(upstream, slots=Slots(**options))


async def all_of(calls: Sequence[Awaitable[Reply]]) -> list[Reply | BaseException]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def settle() -> None:
    """Let everything happen that can happen now."""
    await asyncio.sleep(0.001)


# The bound


@virtual
async def test_it_is_not_ready_while_a_call_would_have_to_wait() -> None:
    policy = concurrency(Upstream([1.0]), limit=2)
    asked = [asyncio.create_task(policy.send(call()))]
    await settle()
    assert policy.ready(call()) is None
    asked += [asyncio.create_task(policy.send(call())) for _ in range(2)]
    await settle()
    assert policy.ready(call()) == Unready("queue_full", None, "over its limit: 2 of 2 calls under way")
    await all_of(asked)
    assert policy.ready(call()) is None


@virtual
async def test_upstreams_that_share_their_slots_are_counted_together() -> None:
    slots = Slots(2)
    upstreams = [Upstream([1.0]) for _ in range(2)]
    policies = [Concurrency(upstream, slots=slots) for upstream in upstreams]
    await all_of([policy.send(call()) for policy in policies for _ in range(3)])
    assert (now(), slots.in_flight, slots.waiting) == (3.0, 0, 0)
    assert upstreams[0].most + upstreams[1].most <= 4


@virtual
async def test_no_more_are_under_way_than_the_limit() -> None:
    upstream = Upstream([1.0])
    policy = concurrency(upstream, limit=3)
    assert all(isinstance(reply, Reply) for reply in await all_of([policy.send(call()) for _ in range(10)]))
    assert (upstream.most, policy.slots.in_flight, policy.slots.waiting, now()) == (3, 0, 0, 4.0)


@virtual
async def test_a_stream_holds_its_slot_until_it_has_ended() -> None:
    policy = concurrency(Upstream(["a", 5.0, "b"]), limit=1, queue_timeout=100.0)
    first = await policy.send(call(stream=True))
    second = asyncio.create_task(policy.send(call(stream=True)))
    await settle()
    assert (policy.slots.in_flight, policy.slots.waiting) == (1, 1)
    await text_of(first)
    stream = await stream_of(await second)
    assert now() == pytest.approx(5.0, abs=0.01)
    await stream.aclose()
    await stream.aclose()
    assert policy.slots.in_flight == 0


@virtual
async def test_a_failed_call_gives_its_slot_back() -> None:
    policy = concurrency(Upstream([UpstreamUnavailable("Down.")], ["hi"]), limit=1)
    with pytest.raises(UpstreamUnavailable):
        await policy.send(call())
    await policy.send(call())
    assert policy.slots.in_flight == 0


# The queue


@virtual
async def test_who_waits_too_long_is_refused() -> None:
    policy = concurrency(Upstream([HANG]), limit=1, queue_timeout=7.0)
    holder = asyncio.create_task(policy.send(call()))
    await settle()
    began = now()
    with pytest.raises(
        ConcurrencyExceeded,
        match=r"serves 1 call at a time here, and none became free within 7 s\. Please try again in 1\.0s\.$",
    ) as caught:
        await policy.send(call())
    assert now() == began + 7.0
    error = caught.value
    assert (error.status, error.code, error.retryable, error.trips, error.cooldown_kind, error.falls_back) == (
        429,
        "concurrency_limit",
        False,
        False,
        None,
        True,
    )
    assert policy.slots.waiting == 0
    holder.cancel()
    await asyncio.wait([holder])


@virtual
async def test_nobody_waits_beyond_the_deadline() -> None:
    policy = concurrency(Upstream([HANG]), limit=1, queue_timeout=100.0)
    holder = asyncio.create_task(policy.send(call()))
    await settle()
    for deadline in (5.0, 5.0):  # the second time it is over already
        with pytest.raises(UpstreamTimeout, match="in the time of this call") as caught:
            await policy.send(call(deadline=deadline))
        assert (now(), caught.value.code, caught.value.trips) == (5.0, "total_timeout", False)
    holder.cancel()
    await asyncio.wait([holder])


@virtual
async def test_a_full_queue_refuses_at_once() -> None:
    policy = concurrency(Upstream([1.0]), limit=2, queue=3)
    replies = await all_of([policy.send(call()) for _ in range(7)])
    assert [isinstance(reply, Reply) for reply in replies] == [True] * 5 + [False] * 2


@virtual
async def test_without_a_queue_only_the_slots_serve() -> None:
    policy = concurrency(Upstream([1.0]), limit=2, queue=0)
    replies = await all_of([policy.send(call()) for _ in range(4)])
    assert [isinstance(reply, Reply) for reply in replies] == [True, True, False, False]


@virtual
async def test_callers_are_served_in_turn() -> None:
    upstream = Upstream([1.0])
    policy = concurrency(upstream, limit=1)
    await all_of([policy.send(call(caller=caller)) for caller in "aaaabbc"])
    principals = [asked.call.context.principal for asked in upstream.asked]
    assert "".join(principal.id for principal in principals if principal) == "aabcaba"


@virtual
async def test_a_caller_of_few_calls_takes_the_place_of_one_of_many_in_a_full_queue() -> None:
    policy = concurrency(Upstream([1.0]), limit=1, queue=3)
    replies = await all_of([policy.send(call(caller=caller)) for caller in "aaaabbb"])
    # a's last leaves for b's first; then both have as many as is fair, and b's others are refused.
    assert [isinstance(reply, Reply) for reply in replies] == [True, True, True, False, True, False, False]


@virtual
async def test_the_wait_that_is_told_is_learnt_from_calls() -> None:
    policy = concurrency(Upstream([10.0]), limit=1, queue=0)
    told = []
    for _ in range(30):
        replies = await all_of([policy.send(call()) for _ in range(2)])
        assert isinstance(replies[1], ConcurrencyExceeded)
        told.append(replies[1].retry_after)
    assert told[0] == 1.0
    assert told == sorted(told, key=float)  # type: ignore[arg-type]  # None would fail, and should
    assert told[-1] == pytest.approx(10.0, rel=0.02)


@virtual
async def test_the_wait_that_is_told_has_an_upper_bound() -> None:
    policy = concurrency(Upstream([10_000.0]), limit=1, queue=0)
    await policy.send(call())
    replies = await all_of([policy.send(call()) for _ in range(2)])
    assert isinstance(replies[1], ConcurrencyExceeded)
    assert replies[1].retry_after == 60.0


# Cancellation


@virtual
async def test_who_leaves_the_queue_is_passed_over() -> None:
    upstream = Upstream([5.0])
    policy = concurrency(upstream, limit=1)
    tasks = [asyncio.create_task(policy.send(call())) for _ in range(3)]
    await settle()
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert (len(upstream.asked), policy.slots.in_flight, policy.slots.waiting) == (2, 0, 0)


@virtual
async def test_a_slot_that_comes_in_the_moment_of_leaving_goes_to_the_next() -> None:
    upstream = Upstream([HANG], [5.0])
    policy = concurrency(upstream, limit=1)
    tasks = [asyncio.create_task(policy.send(call())) for _ in range(3)]
    await settle()
    tasks[0].cancel()
    await asyncio.sleep(0)  # the slot is handed over
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [True, True, False]
    assert (len(upstream.asked), policy.slots.in_flight, policy.slots.waiting) == (2, 0, 0)


@virtual
async def test_who_leaves_in_the_moment_of_being_served_is_passed_over() -> None:
    upstream = Upstream([HANG], [5.0])
    policy = concurrency(upstream, limit=1)
    tasks = [asyncio.create_task(policy.send(call())) for _ in range(3)]
    await settle()
    tasks[0].cancel()
    tasks[1].cancel()  # not yet out of the queue when the slot comes
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [True, True, False]
    assert (len(upstream.asked), policy.slots.in_flight, policy.slots.waiting) == (2, 0, 0)


@virtual
async def test_who_is_sent_away_in_the_moment_of_leaving_just_leaves() -> None:
    upstream = Upstream([5.0])
    policy = concurrency(upstream, limit=1, queue=2)
    tasks = [asyncio.create_task(policy.send(call(caller=caller))) for caller in "aaa"]
    await settle()
    newcomer = policy.send(call(caller="b"))
    tasks[2].cancel()
    await newcomer
    await asyncio.wait(tasks)
    assert tasks[2].cancelled()
    assert (len(upstream.asked), policy.slots.in_flight, policy.slots.waiting) == (3, 0, 0)


@virtual
async def test_who_leaves_in_the_moment_of_being_sent_away_takes_no_slot_along() -> None:
    policy = concurrency(Upstream([5.0]), limit=1, queue=2)
    tasks = [asyncio.create_task(policy.send(call(caller="a"))) for _ in range(3)]
    await settle()
    newcomer = asyncio.create_task(policy.send(call(caller="b")))
    await asyncio.sleep(0)  # it has sent the last one away
    tasks[2].cancel()
    await asyncio.wait([*tasks, newcomer])
    assert [task.cancelled() for task in [*tasks, newcomer]] == [False, False, True, False]
    assert (policy.slots.in_flight, policy.slots.waiting) == (0, 0)


Act = tuple[str, int]


@given(
    acts=st.lists(
        st.tuples(st.sampled_from(["send", "stream", "cancel", "read", "wait"]), st.integers(0, 7)), max_size=40
    ),
    limit=st.integers(1, 3),
    queue=st.integers(0, 4),
)
@settings(deadline=None, max_examples=60)
def test_whatever_happens_no_slot_is_lost_or_given_twice(acts: list[Act], limit: int, queue: int) -> None:
    @virtual
    async def scenario() -> None:
        upstream = Upstream(["a", 2.0, "b"], ["a", 1.0], [3.0, UpstreamUnavailable("Down.")], ["a"])
        policy = concurrency(upstream, limit=limit, queue=queue, queue_timeout=4.0)
        tasks: list[asyncio.Task[Reply]] = []
        for act, number in acts:
            match act:
                case "send" | "stream":
                    one = call(stream=act == "stream", caller=str(number % 3))
                    tasks.append(asyncio.create_task(policy.send(one)))
                case "cancel" if tasks:
                    tasks[number % len(tasks)].cancel()
                case "read" if tasks:
                    task = tasks[number % len(tasks)]
                    if task.done() and not task.cancelled() and task.exception() is None:
                        await close(task.result())
                case _:
                    await asyncio.sleep(number / 2)
            assert 0 <= policy.slots.in_flight <= limit
            assert upstream.open <= limit
            assert policy.slots.waiting <= queue
        await drain(tasks)
        assert (policy.slots.in_flight, policy.slots.waiting, upstream.open) == (0, 0, 0)

    scenario()


async def drain(tasks: list[asyncio.Task[Reply]]) -> None:
    """Wait for all; each stream is closed as soon as it is there."""

    async def closed(task: asyncio.Task[Reply]) -> Reply:
        reply = await task
        await close(reply)
        return reply

    await all_of([closed(task) for task in tasks])


async def close(reply: Reply) -> None:
    if isinstance(reply.body, ChatStream):
        await reply.body.aclose()


# The limit that adapts


@virtual
async def test_a_limit_that_is_used_rises_to_its_maximum() -> None:
    limit = AdaptiveLimit(initial=2, maximum=5)
    upstream = Upstream([1.0])
    policy = concurrency(upstream, limit=limit)
    await all_of([policy.send(call()) for _ in range(100)])
    assert (policy.slots.limit, upstream.most) == (5, 5)


@virtual
async def test_a_limit_that_is_not_used_stays() -> None:
    policy = concurrency(Upstream([1.0]), limit=AdaptiveLimit(initial=10))
    for _ in range(100):
        await policy.send(call())
    assert policy.slots.limit == 10


@virtual
async def test_refusals_of_one_round_lower_the_limit_once() -> None:
    policy = concurrency(Upstream([1.0, UpstreamRateLimited("No.")]), limit=AdaptiveLimit(initial=10))
    await all_of([policy.send(call()) for _ in range(10)])
    assert policy.slots.limit == 7
    await all_of([policy.send(call())])
    assert policy.slots.limit == 4
    for _ in range(10):
        await all_of([policy.send(call())])
    assert policy.slots.limit == 1


@virtual
async def test_an_overloaded_upstream_lowers_the_limit_and_a_broken_one_does_not() -> None:
    overloaded = UpstreamUnavailable("Busy.", code="upstream_overloaded")
    for error, limit in ((overloaded, 7), (UpstreamUnavailable("Down."), 10)):
        policy = concurrency(Upstream([error]), limit=AdaptiveLimit(initial=10))
        await all_of([policy.send(call())])
        assert policy.slots.limit == limit


@virtual
async def test_streams_that_begin_late_lower_the_limit() -> None:
    prompt: list[Step] = [1.0, "a"]
    policy = concurrency(Upstream(*[prompt] * 5, [4.0, "a"]), limit=AdaptiveLimit(initial=10))
    limits = []
    for _ in range(20):
        await text_of(await policy.send(call(stream=True)))
        limits.append(policy.slots.limit)
    assert limits[4] == 10
    assert limits[-1] < 5


@virtual
async def test_long_answers_are_no_sign_of_load() -> None:
    policy = concurrency(Upstream(*[[1.0]] * 5, [40.0]), limit=AdaptiveLimit(initial=10))
    for _ in range(20):
        await policy.send(call())
    assert policy.slots.limit == 10


@pytest.mark.parametrize(
    ("options", "word"), [({"limit": 0}, "limit"), ({"queue": -1}, "queue"), ({"queue_timeout": 0.0}, "queue_timeout")]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=rf"'{word}' is"):
        Slots(**options)


@pytest.mark.parametrize("options", [{"initial": 0}, {"initial": 11, "maximum": 10}])
def test_bounds_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is .* Write"):
        AdaptiveLimit(**options)
