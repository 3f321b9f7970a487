from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.policies.candidates import call, embedding
from tests.policies.upstream import HANG, ReadyUpstream, Upstream
from xrouter_asgi.context import Attempt, RequestContext
from xrouter_asgi.errors import UpstreamRateLimited, UpstreamUnavailable
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.hedge import Hedge, HedgeBudget, Latencies
from xrouter_asgi.providers.base import Call, Reply, Unready
from xrouter_asgi.providers.target import Target, Wrapper
from xrouter_asgi.testing.scripted import ScriptedProvider, Step, chunk
from xrouter_asgi.testing.virtual import now, virtual
from xrouter_asgi.wire.stream import ChatStream

TOOLS = [{"type": "function", "function": {"name": "f"}}]


class Scene:
    """Two upstreams, and a hedge around them that has seen `learnt` calls of 2.5 s."""

    def __init__(self, first: tuple[Step, ...] = (), second: tuple[Step, ...] = (), *, learnt: int = 20) -> None:
        self.earlier = 0
        self.first = ScriptedProvider(*first, name="first")
        self.second = ScriptedProvider(*second, name="second")
        self.budget = HedgeBudget(share=1.0)
        self.hedge = Hedge(Target(self.first, model="m"), second=Target(self.second, model="m"), budget=self.budget)
        for latencies in (self.hedge._plain, self.hedge._streamed):
            for _ in range(learnt):
                latencies.add(2.5)

    async def sent(self, **request: Any) -> tuple[asyncio.Task[Reply], RequestContext]:
        """A call whose first upstream is silent."""
        context = RequestContext(attempts=[Attempt("earlier", "m")] * self.earlier)
        task = asyncio.create_task(self.hedge.send(call(context=context, **request)))
        await self.first.reached.wait()
        return task, context


async def left(task: asyncio.Task[Reply]) -> None:
    """The client leaves."""
    task.cancel()
    await asyncio.wait([task])


@virtual
@pytest.mark.parametrize("stream", [False, True])
async def test_a_second_upstream_answers_when_the_first_is_unusually_late(stream: bool) -> None:
    scene = Scene(first=(asyncio.Event(),))
    task, context = await scene.sent(stream=stream)
    reply = await task
    assert reply.provider == "second"
    assert now() == 2.5
    assert context.decision.hedges == 1
    await reply.aclose()


@virtual
async def test_the_loser_is_closed_and_stays_noted_as_an_attempt() -> None:
    scene = Scene(first=(asyncio.Event(),))
    task, context = await scene.sent()
    reply = await task
    assert scene.first.closed == 1
    assert [(each.provider, type(each.error)) for each in context.attempts] == [
        ("first", asyncio.CancelledError),
        ("second", type(None)),
    ]
    assert reply.attempt is context.attempts[1]


@virtual
async def test_the_first_may_still_win_after_the_second_was_asked() -> None:
    late = asyncio.Event()
    scene = Scene(first=(late,), second=(asyncio.Event(),))
    task, context = await scene.sent()
    await scene.second.reached.wait()
    late.set()
    assert (await task).provider == "first"
    assert scene.second.closed == 1
    assert isinstance(context.attempts[1].error, asyncio.CancelledError)


@virtual
@pytest.mark.parametrize(("earlier", "asked"), [(2, 1), (3, 0)])
async def test_a_hedge_is_the_fourth_attempt_at_most(earlier: int, asked: int) -> None:
    late = asyncio.Event()
    scene = Scene(first=(late,), second=(asyncio.Event(),))
    scene.earlier = earlier
    task, context = await scene.sent()
    await asyncio.sleep(10.0)
    late.set()
    assert (await task).provider == "first"
    assert (len(scene.second.calls), context.decision.hedges) == (asked, asked)


@virtual
@pytest.mark.parametrize(("earlier", "asked"), [(2, 1), (3, 0)])
async def test_a_first_attempt_that_waits_in_a_queue_counts(earlier: int, asked: int) -> None:
    class Queue(Wrapper):
        async def send(self, call: Call, /) -> Reply:
            await asyncio.Event().wait()
            raise AssertionError

    scene = Scene(second=(asyncio.Event(),))
    scene.hedge.inner = Queue(scene.first)
    context = RequestContext(attempts=[Attempt("earlier", "m")] * earlier)
    task = asyncio.create_task(scene.hedge.send(call(context=context)))
    await asyncio.sleep(10.0)
    assert (len(context.attempts), len(scene.second.calls)) == (earlier + asked, asked)
    await left(task)


@virtual
async def test_an_upstream_that_answers_in_time_is_asked_alone() -> None:
    scene = Scene()
    assert (await scene.hedge.send(call())).provider == "first"
    assert scene.second.calls == []


@virtual
async def test_an_upstream_that_fails_in_time_is_left_to_fallback() -> None:
    scene = Scene(first=(UpstreamUnavailable("one"),))
    with pytest.raises(UpstreamUnavailable, match="one"):
        await scene.hedge.send(call())
    assert scene.second.calls == []


@virtual
async def test_a_failure_of_one_waits_for_the_other() -> None:
    fails = asyncio.Event()
    answers = asyncio.Event()
    scene = Scene(first=(fails, UpstreamUnavailable("one")), second=(answers,))
    task, _ = await scene.sent()
    await scene.second.reached.wait()
    fails.set()
    await scene.first.settled.wait()
    answers.set()
    assert (await task).provider == "second"


@virtual
async def test_if_both_fail_the_error_is_the_first_upstreams() -> None:
    fails = asyncio.Event()
    scene = Scene(first=(fails, UpstreamUnavailable("one")), second=(UpstreamUnavailable("two"),))
    task, _ = await scene.sent()
    await scene.second.settled.wait()
    fails.set()
    with pytest.raises(UpstreamUnavailable, match="one"):
        await task


@virtual
async def test_both_may_answer_at_once_and_only_one_stream_stays_open() -> None:
    late, other = asyncio.Event(), asyncio.Event()
    scene = Scene(first=(late, [chunk("a")], asyncio.Event()), second=(other, [chunk("b")], asyncio.Event()))
    task, _ = await scene.sent(stream=True)
    await scene.second.reached.wait()
    late.set()
    other.set()
    reply = await task
    assert reply.provider == "first"
    assert (scene.first.closed, scene.second.closed) == (0, 1)
    assert isinstance(reply.body, ChatStream)
    await reply.body.aclose()
    assert scene.first.closed == 1


@virtual
@pytest.mark.parametrize("hedged", [False, True])
async def test_a_client_that_leaves_closes_all_that_was_asked(hedged: bool) -> None:
    scene = Scene(first=(asyncio.Event(),), second=(asyncio.Event(),))
    task, _ = await scene.sent()
    if hedged:
        await scene.second.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scene.first.closed == 1
    assert scene.second.closed == scene.second.opened == hedged
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Lingering(Upstream):
    """Takes its time to end a call that is given up."""

    async def send(self, call: Call, /) -> Reply:
        try:
            return await super().send(call)
        finally:
            await asyncio.sleep(1.0)


@virtual
async def test_a_client_that_leaves_while_the_loser_ends_closes_the_winner() -> None:
    winner = Upstream(["hi", HANG])
    hedge = Hedge(Lingering([HANG]), second=winner, budget=HedgeBudget(share=1.0))
    for _ in range(20):
        hedge._streamed.add(2.5)
    task = asyncio.create_task(hedge.send(call(stream=True)))
    await asyncio.sleep(3.0)
    assert (winner.open, task.done()) == (1, False)
    await left(task)
    assert (winner.open, task.cancelled()) == (0, True)


@virtual
async def test_no_task_is_left_after_an_answer() -> None:
    scene = Scene()
    await scene.hedge.send(call())
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual
async def test_a_defect_of_the_loser_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    fails = asyncio.Event()
    answers = asyncio.Event()
    scene = Scene(first=(fails, ZeroDivisionError("one")), second=(answers,))
    task, _ = await scene.sent()
    await scene.second.reached.wait()
    fails.set()
    await scene.first.settled.wait()
    answers.set()
    with caplog.at_level(logging.ERROR, "xrouter"):
        await task
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


class TestWhatIsNeverAskedTwice:
    async def asked(self, one: Call, *, learnt: int = 20) -> int:
        """How often the second upstream is asked while the first one is silent."""
        scene = Scene(first=(asyncio.Event(),), learnt=learnt)
        task = asyncio.create_task(scene.hedge.send(one))
        await asyncio.sleep(10.0)
        await left(task)
        return len(scene.second.calls)

    @virtual
    @pytest.mark.parametrize("request_", [{"tools": TOOLS}, {"functions": [{"name": "f"}]}])
    async def test_a_request_with_tools(self, request_: dict[str, Any]) -> None:
        assert await self.asked(call(**request_)) == 0

    @virtual
    async def test_what_the_caller_pays_himself(self) -> None:
        assert await self.asked(call(key="secret")) == 0

    @virtual
    async def test_what_is_no_chat(self) -> None:
        assert await self.asked(embedding("text")) == 0

    @virtual
    async def test_what_comes_back_after_a_failure(self) -> None:
        assert await self.asked(call().among_others(elsewhere=False, repeats=UpstreamUnavailable("down"))) == 0

    @virtual
    @pytest.mark.parametrize(("learnt", "asked"), [(19, 0), (20, 1)])
    async def test_anything_before_enough_is_learnt(self, learnt: int, asked: int) -> None:
        assert await self.asked(call(), learnt=learnt) == asked

    @virtual
    async def test_a_plain_chat_is(self) -> None:
        assert await self.asked(call()) == 1


@virtual
@pytest.mark.parametrize("stream", [False, True])
async def test_streams_and_whole_answers_are_learnt_apart(stream: bool) -> None:
    first = Upstream([1.0, "hi"], name="first")
    hedge = Hedge(first, second=Upstream(name="second"), budget=HedgeBudget(share=1.0))
    for _ in range(20):
        await (await hedge.send(call(stream=stream))).aclose()
    learnt, other = (hedge._streamed, hedge._plain) if stream else (hedge._plain, hedge._streamed)
    assert (learnt.unusual(), other.unusual()) == (1.0, None)


@virtual
async def test_without_budget_the_first_upstream_is_waited_for() -> None:
    late = asyncio.Event()
    scene = Scene(first=(late,))
    while scene.budget.hedge():
        pass
    scene.budget._share = 0
    task, context = await scene.sent()
    await asyncio.sleep(10.0)
    late.set()
    assert (await task).provider == "first"
    assert (scene.second.calls, context.decision.hedges) == ([], 0)


@virtual
async def test_closing_closes_both_though_one_fails() -> None:
    class Stuck(ScriptedProvider):
        async def aclose(self) -> None:
            raise OSError("stuck")

    second = ScriptedProvider()
    hedge = Hedge(Stuck(name="first"), second=second)
    with pytest.raises(OSError, match="stuck"):
        await hedge.aclose()
    assert second.closings == 1
    assert hedge.name == "first"


class TestNestedFallback:
    """The second upstream is a choice among several, as in `stack`."""

    def hedged(self, first: Upstream, *others: Upstream) -> Hedge:
        second = Fallback([Candidate(each, each.name) for each in others], attempts=2, backoff=None)
        hedge = Hedge(first, second=second, budget=HedgeBudget(share=1.0))
        for _ in range(20):
            hedge._plain.add(2.5)
        return hedge

    @virtual
    async def test_the_first_of_them_that_is_ready_is_asked(self) -> None:
        first, second, third = Upstream([HANG], name="a"), ReadyUpstream(name="b"), Upstream(name="c")
        second.unready = Unready("circuit_open", None, "circuit open")
        reply = await self.hedged(first, second, third).send(call())
        assert (reply.provider, now(), first.open) == ("c", 2.5, 0)

    @virtual
    async def test_one_that_fails_is_not_made_good_and_the_first_upstream_is_waited_for(self) -> None:
        first, second, third = Upstream([9.0], name="a"), Upstream([UpstreamUnavailable("b")], name="b"), Upstream()
        one = call()
        assert (await self.hedged(first, second, third).send(one)).provider == "a"
        assert (now(), third.asked, [each.provider for each in one.context.attempts]) == (9.0, [], ["a", "b"])

    @virtual
    async def test_one_that_tells_to_wait_is_not_waited_for(self) -> None:
        first = Upstream([5.0], name="a")
        second = Upstream([UpstreamRateLimited("slow down", retry_after=1.0)], ["hi"], name="b")
        assert (await self.hedged(first, second).send(call())).provider == "a"
        assert second.times == [2.5]

    @virtual
    async def test_one_that_loses_is_closed_and_loads_nobody(self) -> None:
        first, second = Upstream([5.0], name="a"), Upstream([HANG], name="b")
        hedge = self.hedged(first, second, Upstream(name="c"))
        assert (await hedge.send(call())).provider == "a"
        assert isinstance(hedge.second, Fallback)
        assert (second.open, [each.stats.load for each in hedge.second.plan(call()).order]) == (0, [0, 0])


class TestBudget:
    @pytest.mark.parametrize("share", [0.03, 0.1, 1.0])
    def test_hedges_are_their_share_of_the_requests(self, share: float) -> None:
        budget = HedgeBudget(share=share)
        hedges = 0
        for _ in range(1000):
            budget.request()
            hedges += budget.hedge()
        assert hedges == 1000 * share

    def test_a_quiet_time_saves_up_five(self) -> None:
        budget = HedgeBudget()
        for _ in range(10_000):
            budget.request()
        assert sum(budget.hedge() for _ in range(100)) == 5

    @pytest.mark.parametrize("share", [0, 1.1, float("nan")])
    def test_a_share_that_is_none_is_refused(self, share: float) -> None:
        with pytest.raises(ValueError, match="share"):
            HedgeBudget(share=share)


class TestLatencies:
    def test_one_in_twenty_is_unusual(self) -> None:
        latencies = Latencies()
        for seconds in range(100):
            latencies.add(float(seconds))
        assert latencies.unusual() == 94.0

    def test_of_too_few_nothing_is_concluded(self) -> None:
        latencies = Latencies()
        for _ in range(19):
            latencies.add(1.0)
        assert latencies.unusual() is None

    def test_what_is_long_ago_is_forgotten(self) -> None:
        latencies = Latencies()
        for seconds in [*[9.0] * 200, *[1.0] * 200]:
            latencies.add(seconds)
        assert latencies.unusual() == 1.0
