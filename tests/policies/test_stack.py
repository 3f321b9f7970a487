from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from tests.policies.upstream import HANG, Step, Upstream, call, events_of, text_of
from xrouter_asgi.errors import (
    RequestRejected,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    XRouterError,
)
from xrouter_asgi.events import AttemptRetried
from xrouter_asgi.policies.breaker import CircuitBreaker
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.concurrency import Concurrency
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.hedge import Hedge
from xrouter_asgi.policies.prebuffer import Prebuffer
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.retry_budget import RetryBudget
from xrouter_asgi.policies.stack import Patience, resilient, stack
from xrouter_asgi.policies.timeout import Deadline, Timeout
from xrouter_asgi.policies.upstream_state import UpstreamState
from xrouter_asgi.providers.base import Call, Provider, Reply, Unready
from xrouter_asgi.providers.target import Target
from xrouter_asgi.queueing.slots import Slots
from xrouter_asgi.testing.virtual import now, virtual


class Down(Upstream):
    """Fails each time."""

    def __init__(self, name: str, error: type[XRouterError] = UpstreamUnavailable) -> None:
        super().__init__(name=name)
        self._error = error

    async def send(self, call: Call, /) -> Reply:
        await super().send(call)
        raise self._error(f"{self.name} is down")


def stacked(*upstreams: Upstream, options: dict[str, Any] | None = None, **more: Any) -> Provider:
    candidates = [Candidate(Target(each, model="m"), f"{each.name}/m", **(options or {})) for each in upstreams]
    return stack(candidates, random=Random(1), **more)


def verdicts(one: Call) -> list[tuple[str, Unready | None]]:
    """The candidates as the decision tells of them."""
    return [(each.name, each.excluded) for each in one.context.decision.candidates]


def fallback_of(provider: Provider) -> Fallback:
    assert isinstance(provider, Deadline)
    assert isinstance(provider.inner, Fallback)
    return provider.inner


def layers(provider: Provider) -> list[type]:
    found = [type(provider)]
    while (inner := getattr(provider, "inner", None)) is not None:
        provider = inner
        found.append(type(provider))
    return found


CLOCKS = Patience(first=1.0)


class TestOrder:
    def test_from_the_outside_in(self) -> None:
        whole = stacked(Upstream(), Upstream(name="other"), options={"max_parallel": 3}, patience=CLOCKS)
        candidate, _ = fallback_of(whole).candidates
        assert layers(candidate.provider) == [Retry, CircuitBreaker, Concurrency, Timeout, Target, Upstream]

    def test_what_is_held_is_held_between_the_breaker_and_the_queue(self) -> None:
        patience = Patience(idle=1.0, prebuffer=0.5, prebuffer_tokens=20)
        whole = stacked(Upstream(), Upstream(name="other"), options={"max_parallel": 3}, patience=patience)
        candidate, _ = fallback_of(whole).candidates
        assert layers(candidate.provider) == [Retry, CircuitBreaker, Prebuffer, Concurrency, Timeout, Target, Upstream]

    def test_an_upstream_that_is_alone_has_no_breaker(self) -> None:
        """It has the last word on each request: there is nowhere else to go."""
        (candidate,) = fallback_of(stacked(Upstream(), patience=CLOCKS)).candidates
        assert layers(candidate.provider) == [Retry, Timeout, Target, Upstream]

    def test_without_clocks_of_ours_an_upstream_keeps_its_own(self) -> None:
        (candidate,) = fallback_of(stacked(Upstream())).candidates
        assert layers(candidate.provider) == [Retry, Target, Upstream]

    def test_where_an_upstream_is_asked_once_there_are_no_retries(self) -> None:
        (candidate,) = fallback_of(stacked(Upstream(), patience=Patience(attempts=1))).candidates
        assert layers(candidate.provider) == [Target, Upstream]

    def test_without_a_total_there_is_no_deadline(self) -> None:
        assert isinstance(stacked(Upstream(), patience=Patience(total=None)), Fallback)

    def test_without_a_bound_there_is_no_queue(self) -> None:
        (candidate,) = fallback_of(stacked(Upstream())).candidates
        assert Concurrency not in layers(candidate.provider)

    def test_the_queue_of_one_model_stands_before_that_of_the_account(self) -> None:
        upstreams = {"up": UpstreamState(slots=Slots(2))}
        (candidate,) = fallback_of(stacked(Upstream(), options={"max_parallel": 3}, upstreams=upstreams)).candidates
        assert layers(candidate.provider) == [Retry, Concurrency, Concurrency, Target, Upstream]
        assert isinstance(candidate.provider, Retry)
        queue = candidate.provider.inner
        assert isinstance(queue, Concurrency)
        assert queue.slots.limit == 3

    def test_around_a_single_provider(self) -> None:
        assert layers(resilient(Upstream(), max_parallel=1, patience=Patience(idle=1.0))) == [
            Deadline,
            Retry,
            CircuitBreaker,
            Concurrency,
            Timeout,
            Target,
            Upstream,
        ]

    def test_whoever_may_bring_a_key_of_his_own_shares_only_clocks(self) -> None:
        whole = stacked(Upstream(), options={"own_key": True, "max_parallel": 3}, patience=CLOCKS)
        (candidate,) = fallback_of(whole).candidates
        assert layers(candidate.provider) == [Timeout, Target, Upstream]

    def test_a_hedge_stands_around_the_policies_of_one_upstream(self) -> None:
        one, other = fallback_of(stacked(Upstream(name="a"), Upstream(name="b"), hedge=0.03)).candidates
        assert layers(one.provider)[:2] == [Hedge, Retry]
        assert isinstance(one.provider, Hedge)
        assert isinstance(other.provider, Hedge)
        assert one.provider.budget is other.provider.budget
        assert one.provider.second.name == "b"

    def test_one_upstream_alone_is_not_hedged(self) -> None:
        (candidate,) = fallback_of(stacked(Upstream(), hedge=0.03)).candidates
        assert Hedge not in layers(candidate.provider)

    def test_models_share_the_retries_of_a_provider(self) -> None:
        upstreams: dict[str, UpstreamState] = {}
        first, second = (stacked(Upstream(name="a"), Upstream(name="b"), upstreams=upstreams) for _ in range(2))
        assert set(upstreams) == {"a", "b"}
        for whole in (first, second):
            retries = [candidate.provider for candidate in fallback_of(whole).candidates]
            budgets = [retry.budget for retry in retries if isinstance(retry, Retry)]
            assert budgets == [state.retry_budget for state in upstreams.values()]


class TestAttempts:
    @virtual
    async def test_upstreams_that_cannot_be_asked_again_take_one_each(self) -> None:
        upstreams = [Down(name, UpstreamError) for name in "abcde"]
        with pytest.raises(UpstreamError, match="d is down"):
            await stacked(*upstreams).send(call())
        assert [len(each.asked) for each in upstreams] == [1, 1, 1, 1, 0]

    @virtual
    async def test_a_mistake_of_the_caller_takes_one(self) -> None:
        first, second = Down("a", RequestRejected), Upstream(name="b")
        with pytest.raises(RequestRejected):
            await stacked(first, second).send(call())
        assert [len(each.asked) for each in (first, second)] == [1, 0]

    @virtual
    async def test_two_hundred_requests_at_a_dead_upstream_make_few_attempts(self) -> None:
        first, second = Down("a"), Upstream(name="b")
        whole = stacked(first, second)
        await asyncio.gather(*(whole.send(call()) for _ in range(200)))
        assert len(first.asked) <= 1.2 * 200 + 30


class TestTime:
    @virtual
    async def test_attempts_waits_and_other_upstreams_share_one_deadline(self) -> None:
        upstreams = [Upstream([HANG], name=name) for name in "ab"]
        with pytest.raises(UpstreamTimeout) as late:
            await stacked(*upstreams, patience=Patience(total=10.0)).send(call())
        assert late.value.code == "total_timeout"
        assert now() == pytest.approx(10.0, abs=0.1)
        assert [len(each.asked) for each in upstreams] == [1, 0]
        assert [each.open for each in upstreams] == [0, 0]

    @virtual
    async def test_a_silent_upstream_is_left_in_time_for_the_next(self) -> None:
        first, second = Upstream([HANG], name="a"), Upstream(name="b")
        whole = stacked(first, second, patience=Patience(first=3.0, total=10.0))
        reply = await whole.send(call(stream=True))
        assert (await text_of(reply), reply.provider, now()) == ("hi", "b", 3.0)

    @virtual
    async def test_a_queue_is_no_silence(self) -> None:
        upstream = Upstream([2.0, "hi"])
        whole = stacked(upstream, options={"max_parallel": 1}, patience=Patience(first=3.0))
        replies = await asyncio.gather(*(self.text(whole) for _ in range(3)))
        assert (replies, now(), upstream.most) == (["hi"] * 3, 6.0, 1)

    async def text(self, whole: Provider) -> str:
        return await text_of(await whole.send(call(stream=True)))


class TestWaits:
    """An upstream tells a wait."""

    def told(self, seconds: float) -> list[Step]:
        return [UpstreamRateLimited("slow down", retry_after=seconds)]

    @virtual
    async def test_it_is_not_waited_while_another_upstream_is_there(self) -> None:
        first, second = Upstream(self.told(1.0), name="a"), Upstream(name="b")
        assert (await stacked(first, second).send(call())).provider == "b"
        assert (now(), len(first.asked)) == (0.0, 1)

    @virtual
    async def test_it_is_waited_once_nobody_else_has_answered(self) -> None:
        first = Upstream(self.told(2.0), ["hi"], name="a")
        second = Upstream([1.5, UpstreamError("b is down")], name="b")
        one = call()
        assert (await stacked(first, second).send(one)).provider == "a"
        assert first.times[1] == pytest.approx(2.25, abs=0.25)
        assert [attempt.provider for attempt in one.context.attempts] == ["a", "b", "a"]

    @virtual
    async def test_it_is_not_waited_without_a_retry_in_the_budget(self) -> None:
        empty = {"a": UpstreamState(retry_budget=RetryBudget(ratio=0, per_second=0))}
        first = Upstream(self.told(2.0), ["hi"], name="a")
        second = Upstream([UpstreamError("b is down")], name="b")
        with pytest.raises(UpstreamError, match="b is down"):
            await stacked(first, second, upstreams=empty).send(call())
        assert (now(), len(first.asked)) == (0.0, 1)

    @virtual
    async def test_it_is_waited_after_retries_of_another_upstream(self) -> None:
        first, second = Upstream(self.told(2.0), ["hi"], name="a"), Down("b")
        one = call()
        assert (await stacked(first, second).send(one)).provider == "a"
        assert [attempt.provider for attempt in one.context.attempts] == ["a", "b", "b", "a"]

    @virtual
    async def test_an_upstream_that_cools_is_waited_for_too(self) -> None:
        first, second = Upstream(self.told(3.0), ["hi"], name="a"), Upstream(["hi"], [UpstreamError("down")], name="b")
        whole = stacked(first, second)
        assert (await whole.send(call())).provider == "b"
        assert (await whole.send(call())).provider == "a"
        assert first.times[1] == pytest.approx(3.25, abs=0.25)

    @virtual
    async def test_of_two_upstreams_the_sooner_is_waited_for(self) -> None:
        first, second = Upstream(self.told(4.0), name="a"), Upstream(self.told(1.0), ["hi"], name="b")
        assert (await stacked(first, second).send(call())).provider == "b"
        assert second.times[1] == pytest.approx(1.25, abs=0.25)

    @virtual
    async def test_an_upstream_that_is_alone_is_waited_for(self) -> None:
        upstream = Upstream(self.told(1.0), ["hi"])
        await stacked(upstream).send(call())
        assert upstream.times[1] == pytest.approx(1.25, abs=0.25)


class TestHealth:
    @virtual
    async def test_an_upstream_that_keeps_failing_is_passed_over_and_the_decision_says_so(self) -> None:
        first, second = Down("a", UpstreamError), Upstream(name="b")
        whole = stacked(first, second)
        for _ in range(20):
            await whole.send(call())
        assert len(first.asked) == 20
        one = call()
        assert (await whole.send(one)).provider == "b"
        assert len(first.asked) == 20
        assert verdicts(one) == [("b/m", None), ("a/m", Unready("circuit_open", 5.0, "circuit open for 5.0 s"))]

    @virtual
    async def test_an_upstream_that_is_alone_is_asked_however_it_fails(self) -> None:
        upstream = Down("a", UpstreamError)
        whole = stacked(upstream)
        for _ in range(50):
            with pytest.raises(UpstreamError, match="a is down"):
                await whole.send(call())
        assert len(upstream.asked) == 50

    @virtual
    async def test_a_credential_that_one_model_saw_refused_is_not_shown_by_another(self) -> None:
        upstreams: dict[str, UpstreamState] = {}
        refusing, backup = Down("a", UpstreamUnauthorized), Upstream(name="b")
        for _ in range(2):
            one = call()
            assert (await stacked(refusing, backup, upstreams=upstreams).send(one)).provider == "b"
        assert len(refusing.asked) == 1
        cooling = Unready("cooling", 60.0, "cooling (credential) for 60.0 s")
        assert verdicts(one) == [("b/m", None), ("a/m", cooling)]

    @virtual
    async def test_an_upstream_that_told_to_wait_is_not_asked_meanwhile(self) -> None:
        class Busy(Down):
            async def send(self, call: Call, /) -> Reply:
                with pytest.raises(XRouterError):
                    await super().send(call)
                raise UpstreamRateLimited("slow down", retry_after=30.0)

        first, second = Busy("a"), Upstream(name="b")
        whole = stacked(first, second)
        for _ in range(3):
            assert (await whole.send(call())).provider == "b"
        assert len(first.asked) == 1


class TestPrebuffering:
    @virtual
    async def test_a_stream_that_breaks_while_it_is_held_is_repeated_and_then_asked_for_elsewhere(self) -> None:
        first = Upstream(["a", UpstreamUnavailable("lost", code="connection_lost")], name="a")
        second = Upstream(["b"], name="b")
        one = call(stream=True)
        reply = await stacked(first, second, patience=Patience(prebuffer_tokens=3)).send(one)
        assert (await text_of(reply), reply.provider) == ("b", "b")
        assert [attempt.provider for attempt in one.context.attempts] == ["a", "a", "b"]


class TestLimits:
    """As many calls are under way as an upstream bears."""

    def pair(self, whole: Provider) -> list[asyncio.Task[Reply]]:
        return [asyncio.create_task(whole.send(call())) for _ in range(2)]

    @virtual
    async def test_what_is_over_its_limit_is_passed_over_and_the_decision_says_so(self) -> None:
        whole = stacked(Upstream([1.0], name="a"), Upstream(name="b"), options={"max_parallel": 2})
        running = self.pair(whole)
        await asyncio.sleep(0.5)
        one = call()
        assert (await whole.send(one)).provider == "b"
        assert now() == 0.5
        full = Unready("queue_full", None, "over its limit: 2 of 2 calls under way")
        assert verdicts(one) == [("b/m", None), ("a/m", full)]
        await asyncio.gather(*running)
        assert (await whole.send(call())).provider == "a"

    @virtual
    async def test_where_the_others_fail_it_is_waited_in_the_queue(self) -> None:
        whole = stacked(Upstream([1.0], name="a"), Down("b", UpstreamError), options={"max_parallel": 2})
        running = self.pair(whole)
        await asyncio.sleep(0.5)
        assert (await whole.send(call())).provider == "a"
        assert now() == 2.0
        await asyncio.gather(*running)

    @virtual
    async def test_models_of_one_account_share_its_limit(self) -> None:
        upstreams = {"a": UpstreamState(slots=Slots(2))}
        large, small = (stacked(Upstream([1.0], name="a"), Upstream(name="b"), upstreams=upstreams) for _ in range(2))
        running = self.pair(large)
        await asyncio.sleep(0.5)
        assert (await small.send(call())).provider == "b"
        await asyncio.gather(*running)
        assert (await small.send(call())).provider == "a"


LEARNT: list[list[Step]] = [[seconds, "hi"] for seconds in (*[1.0] * 3, *[0.5] * 37)]  # later than 1 s is unusual


class TestHedging:
    @virtual
    async def test_a_late_upstream_is_raced_and_the_whole_costs_two_attempts(self) -> None:
        first = Upstream(*LEARNT, [HANG], name="a")
        second = Upstream(name="b")
        whole = stacked(first, second, hedge=1.0)
        for _ in LEARNT:
            await text_of(await whole.send(call(stream=True)))
        began = now()
        one = call(stream=True)
        reply = await whole.send(one)
        assert (await text_of(reply), reply.provider) == ("hi", "b")
        assert now() == began + 1.0
        assert one.context.decision.hedges == 1
        assert [attempt.provider for attempt in one.context.attempts] == ["a", "b"]
        assert [each.name for each in one.context.decision.candidates] == ["a/m", "b/m"]
        assert first.open == 0

    @virtual
    async def test_a_hedge_that_fails_is_not_tried_elsewhere(self) -> None:
        first = Upstream(*LEARNT, [2.0, "late"], name="a")
        second, third = Down("b", UpstreamError), Upstream(name="c")
        whole = stacked(first, second, third, hedge=1.0)
        for _ in LEARNT:
            await text_of(await whole.send(call(stream=True)))
        assert await text_of(await whole.send(call(stream=True))) == "late"
        assert [len(each.asked) for each in (second, third)] == [1, 0]


@virtual
async def test_a_single_provider_is_asked_again() -> None:
    upstream = Upstream([UpstreamUnavailable("down")], ["hi"])
    whole = resilient(upstream, patience=Patience(total=None))
    assert await text_of(await whole.send(call(stream=True))) == "hi"


@virtual
async def test_events_say_which_target_they_are_about() -> None:
    one = call()
    told = events_of(one)
    first = Upstream([UpstreamUnavailable("Down.")], ["hi"], name="a")
    await stacked(first, Upstream(name="b")).send(one)
    assert [event.target for event in told if isinstance(event, AttemptRetried)] == ["a/m"]


@virtual
async def test_closing_closes_every_upstream() -> None:
    upstreams = [Upstream(name=name) for name in "ab"]
    await stacked(*upstreams, hedge=0.03).aclose()
    assert all(each.closings for each in upstreams)


@virtual
async def test_a_call_to_who_does_not_keep_the_deadline_is_ended() -> None:
    with pytest.raises(UpstreamTimeout) as caught:
        await stacked(Upstream([HANG]), patience=Patience(total=3.0)).send(call())
    assert caught.value.code == "total_timeout"
    assert now() == 3.1


@virtual
async def test_retries_end_before_the_deadline() -> None:
    upstream = Down("up")
    with pytest.raises(UpstreamUnavailable):
        await stacked(upstream, patience=Patience(attempts=100, total=3.0)).send(call())
    assert now() < 3.0
    assert len(upstream.asked) < 100


@virtual
@pytest.mark.parametrize(("downs", "asked"), [(1, [3, 1]), (2, [2, 1, 1]), (3, [1, 1, 1, 1]), (4, [1, 1, 1, 1, 0])])
async def test_the_attempts_of_a_request_are_shared_out_so_that_each_upstream_gets_one(
    downs: int, asked: list[int]
) -> None:
    upstreams = [*(Down(f"down{number}") for number in range(downs)), Upstream(name="well")]
    request = call()
    if asked[-1]:
        assert (await stacked(*upstreams).send(request)).provider == "well"
    else:
        with pytest.raises(UpstreamUnavailable):
            await stacked(*upstreams).send(request)
    made = [attempt.provider for attempt in request.context.attempts]
    assert [made.count(upstream.name) for upstream in upstreams] == asked
