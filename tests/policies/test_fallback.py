from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from tests.policies.candidates import call, candidate, scripted
from tests.policies.test_backoff import Widest
from tests.policies.upstream import ReadyUpstream, Upstream, events_of
from xrouter_asgi.context import Attempt, Principal, RequestContext
from xrouter_asgi.errors import (
    CircuitOpen,
    InvalidRequest,
    ModelNotFound,
    RequestRejected,
    UnsupportedOperation,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamUnavailable,
    XRouterError,
)
from xrouter_asgi.events import AttemptRetried
from xrouter_asgi.limits.prices import Price
from xrouter_asgi.policies import affinity as conversations
from xrouter_asgi.policies.backoff import Backoff
from xrouter_asgi.policies.candidates import Candidate, Capabilities
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.retry_budget import RetryBudget
from xrouter_asgi.policies.strategies import lowest_cost
from xrouter_asgi.providers.base import Call, Reply, Unready
from xrouter_asgi.providers.target import Target, Wrapper
from xrouter_asgi.testing.scripted import ScriptedProvider, chunk
from xrouter_asgi.testing.virtual import now, virtual
from xrouter_asgi.wire.stream import ChatStream

PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://e.example/a.png"}}]}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}


def down(text: str = "down") -> UpstreamUnavailable:
    return UpstreamUnavailable(text)


def too_long() -> RequestRejected:
    return RequestRejected("too long", code="context_length_exceeded")


def window(tokens: int | None) -> Capabilities:
    return Capabilities(context=tokens)


def order_of(one: Fallback, of: Call) -> list[str]:
    return [ranked.stats.candidate.name for ranked in one.plan(of).order]


def asked(*candidates: Candidate) -> list[int]:
    """How many calls each of them got."""
    return [len(scripted(each).calls) for each in candidates]


async def test_the_first_candidate_answers_and_no_other_is_asked() -> None:
    first, second = candidate("a"), candidate("b")
    reply = await Fallback([first, second]).send(call())
    assert reply.provider == "a"
    assert asked(first, second) == [1, 0]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_candidate_answers_when_one_fails_before_its_first_byte(stream: bool) -> None:
    first, second = candidate("a", down()), candidate("b")
    reply = await Fallback([first, second]).send(call(stream=stream))
    assert reply.provider == "b"


async def test_a_stream_that_breaks_after_its_first_byte_is_not_moved() -> None:
    first, second = candidate("a", [chunk("hel")], down()), candidate("b")
    reply = await Fallback([first, second]).send(call(stream=True))
    assert isinstance(reply.body, ChatStream)
    with pytest.raises(UpstreamUnavailable):
        [batch async for batch in reply.body]
    assert asked(second) == [0]


@pytest.mark.parametrize("error", [RequestRejected("no"), InvalidRequest("no", code="unsupported_value")])
async def test_a_mistake_of_the_caller_is_not_shown_to_another_upstream(error: XRouterError) -> None:
    first, second = candidate("a", error), candidate("b")
    with pytest.raises(InvalidRequest, match="no"):
        await Fallback([first, second]).send(call())
    assert asked(second) == [0]


async def test_a_failure_that_takes_back_its_fallback_is_not_moved() -> None:
    error = down()
    error.falls_back = False
    second = candidate("b")
    with pytest.raises(UpstreamUnavailable):
        await Fallback([candidate("a", error), second]).send(call())
    assert asked(second) == [0]


async def test_a_model_that_one_upstream_does_not_know_is_asked_for_at_the_next() -> None:
    reply = await Fallback([candidate("a", ModelNotFound("m")), candidate("b")]).send(call())
    assert reply.provider == "b"


async def test_a_defect_is_not_hidden_by_a_fallback() -> None:
    second = candidate("b")
    with pytest.raises(ZeroDivisionError):
        await Fallback([candidate("a", ZeroDivisionError()), second]).send(call())
    assert asked(second) == [0]


async def test_a_strategy_that_leaves_all_out_is_a_defect_and_not_the_fault_of_the_caller() -> None:
    able, unable = candidate("a"), candidate("b", capabilities=Capabilities(tools=False))
    with pytest.raises(ValueError, match="The strategy left out every candidate"):
        await Fallback([able, unable], strategy=lambda *_: []).send(call(tools=TOOLS))
    assert asked(able, unable) == [0, 0]


class TestTooLong:
    async def test_it_moves_to_a_larger_context_only(self) -> None:
        small, same, unknown, large = (
            candidate("small", too_long(), capabilities=window(100)),
            candidate("same", capabilities=window(100)),
            candidate("unknown"),
            candidate("large", capabilities=window(101)),
        )
        reply = await Fallback([small, same, unknown, large]).send(call())
        assert reply.provider == "large"
        assert asked(same, unknown) == [0, 0]

    async def test_it_does_not_move_from_a_context_that_nobody_knows(self) -> None:
        large = candidate("large", capabilities=window(1000))
        with pytest.raises(RequestRejected):
            await Fallback([candidate("unknown", too_long()), large]).send(call())
        assert asked(large) == [0]

    async def test_a_later_failure_does_not_lead_back_to_a_small_context(self) -> None:
        small = candidate("small", too_long(), capabilities=window(100))
        large = candidate("large", down(), capabilities=window(200))
        tiny = candidate("tiny", capabilities=window(50))
        with pytest.raises(UpstreamUnavailable):
            await Fallback([small, large, tiny]).send(call())
        assert asked(tiny) == [0]


@pytest.mark.parametrize(("allowed", "provider"), [(True, "b"), (False, None)])
@pytest.mark.parametrize("code", ["content_filter", "content_policy_violation"])
async def test_refused_content_moves_only_if_that_is_allowed(code: str, allowed: bool, provider: str | None) -> None:
    one = Fallback([candidate("a", RequestRejected("no", code=code)), candidate("b")], content_policy=allowed)
    try:
        answered = (await one.send(call())).provider
    except RequestRejected:
        answered = None
    assert answered == provider


class TestCapabilities:
    @pytest.mark.parametrize(
        ("lacking", "request_"),
        [
            (Capabilities(tools=False), {"tools": TOOLS}),
            (Capabilities(tools=False), {"functions": [{"name": "f"}]}),
            (Capabilities(vision=False), {"messages": PICTURE}),
            (Capabilities(json_schema=False), {"response_format": SCHEMA}),
            (Capabilities(context=10), {"messages": [{"role": "user", "content": "x" * 100}]}),
        ],
        ids=["tools", "functions", "vision", "json_schema", "context"],
    )
    async def test_a_candidate_without_what_is_needed_is_passed_over(
        self, lacking: Capabilities, request_: dict[str, Any]
    ) -> None:
        one = Fallback([candidate("a", capabilities=lacking), candidate("b")])
        assert order_of(one, call(**request_)) == ["b/m"]
        assert order_of(one, call()) == ["a/m", "b/m"]

    async def test_what_no_candidate_can_do_is_refused_without_asking(self) -> None:
        first, second = (candidate(name, capabilities=Capabilities(vision=False)) for name in "ab")
        with pytest.raises(UnsupportedOperation, match="'assistant' cannot take this request, because it lacks vision"):
            await Fallback([first, second]).send(call(messages=PICTURE))
        assert asked(first, second) == [0, 0]

    async def test_what_is_too_long_for_every_candidate_is_refused_as_an_upstream_would(self) -> None:
        one = Fallback([candidate("a", capabilities=window(2))])
        with pytest.raises(InvalidRequest) as refused:
            await one.send(call(messages=[{"role": "user", "content": "x" * 100}]))
        assert (refused.value.status, refused.value.code) == (400, "context_length_exceeded")


OPEN = Unready("circuit_open", None, "circuit open for 3 s")


class Refusing(Wrapper):
    """Stands in the way of every call, as an open circuit does."""

    def ready(self, call: Call, /) -> Unready | None:
        return OPEN

    async def send(self, call: Call, /) -> Reply:
        raise CircuitOpen("open", retry_after=3)


class TestUnready:
    async def test_a_candidate_that_is_not_ready_is_not_asked_while_another_answers(self) -> None:
        first, second = candidate("a", unready=OPEN), candidate("b")
        await Fallback([first, second]).send(call())
        assert asked(first, second) == [0, 1]

    async def test_if_those_that_are_ready_fail_the_others_may_say_no_for_themselves(self) -> None:
        first, second = candidate("a", CircuitOpen("open"), unready=OPEN), candidate("b", down("b is down"))
        with pytest.raises(UpstreamUnavailable, match="b is down"):
            await Fallback([first, second]).send(call())
        assert asked(first, second) == [1, 1]

    async def test_who_says_no_for_himself_takes_no_attempt_from_the_others(self) -> None:
        held = [Candidate(Refusing(candidate(str(i)).provider), str(i)) for i in range(5)]
        last = candidate("z", unready=Unready("queue_full", None, "over its limit"))
        assert (await Fallback([*held, last]).send(call())).provider == "z"

    async def test_if_none_is_ready_each_refuses_for_itself(self) -> None:
        refusal = CircuitOpen("open", retry_after=3)
        candidates = [candidate(name, refusal, unready=OPEN) for name in "ab"]
        with pytest.raises(CircuitOpen):
            await Fallback(candidates).send(call())
        assert asked(*candidates) == [1, 1]

    async def test_a_candidate_that_is_ready_again_is_first_again(self) -> None:
        first = candidate("a", unready=Unready("cooling", None, "cooling"))
        one = Fallback([first, candidate("b")])
        assert order_of(one, call())[0] == "b/m"
        scripted(first).unready = None
        assert order_of(one, call())[0] == "a/m"

    async def test_it_is_ready_if_one_candidate_is(self) -> None:
        full = Unready("queue_full", None, "over its limit")
        assert Fallback([candidate("a", unready=OPEN), candidate("b")]).ready(call()) is None
        assert Fallback([candidate("a", unready=full), candidate("b", unready=OPEN)]).ready(call()) is full


def told(seconds: float | None) -> UpstreamRateLimited:
    return UpstreamRateLimited("slow down", retry_after=seconds)


def overloaded() -> UpstreamUnavailable:
    return UpstreamUnavailable("overloaded", code="upstream_overloaded")


def among(*upstreams: Upstream, **options: Any) -> Fallback:
    candidates = [Candidate(Target(each, model="m"), f"{each.name}/m") for each in upstreams]
    return Fallback(candidates, **{"random": Widest(), **options})


class TestComingBack:
    """Nobody answered, and an upstream told to wait."""

    @virtual
    async def test_the_one_that_told_the_shortest_wait_is_asked_again(self) -> None:
        first, second = Upstream([told(3.0)], ["hi"], name="a"), Upstream([told(2.0)], ["hi"], name="b")
        third = Upstream([down()], name="c")
        assert (await among(first, second, third).send(call())).provider == "b"
        assert [each.times for each in (first, second, third)] == [[0.0], [0.0, 2.5], [0.0]]

    @virtual
    async def test_it_is_told_what_it_failed_with_and_that_nobody_else_can_be_asked(self) -> None:
        error = told(2.0)
        first, second = Upstream([error], ["hi"], name="a"), Upstream([down()], name="b")
        await among(first, second).send(call())
        assert [(asked.call.elsewhere, asked.call.repeats) for asked in first.asked] == [(True, None), (False, error)]
        assert [(asked.call.elsewhere, asked.call.repeats) for asked in second.asked] == [(True, None)]

    @virtual
    async def test_where_that_is_of_no_use_the_next_one_is(self) -> None:
        first, second = Upstream([told(3.0)], ["hi"], name="a"), ReadyUpstream([told(2.0)], name="b")
        second.unready = Unready("retry_budget", None, "no retry is left")
        assert (await among(first, second).send(call())).provider == "a"
        assert [len(each.asked) for each in (first, second)] == [2, 1]

    @virtual
    async def test_where_it_is_of_no_use_at_all_the_failure_is_told_at_once(self) -> None:
        first, second = Upstream([told(9.0)], ["hi"], name="a"), Upstream([down("b is down")], name="b")
        with pytest.raises(UpstreamUnavailable, match="b is down"):
            await among(first, second).send(call())
        assert (now(), len(first.asked)) == (0.0, 1)

    @virtual
    @pytest.mark.parametrize(("until", "times"), [(2.5, [0.0, 2.5]), (2.6, [0.0])])
    async def test_who_is_not_ready_by_then_is_not_waited_for(self, until: float, times: list[float]) -> None:
        upstream = ReadyUpstream([told(2.0)], ["hi"], name="a")
        upstream.unready = Unready("cooling", until, "cooling")
        with contextlib.suppress(UpstreamRateLimited):
            await among(upstream).send(call())
        assert upstream.times == times

    @virtual
    async def test_a_full_queue_is_stood_in(self) -> None:
        upstream = ReadyUpstream([told(2.0)], ["hi"], name="a")
        upstream.unready = Unready("queue_full", None, "over its limit")
        await among(upstream).send(call())
        assert upstream.times == [0.0, 2.5]

    @virtual
    async def test_of_two_that_wait_for_the_last_retry_only_the_one_that_asks_is_told_of(self) -> None:
        upstream = Upstream([told(2.0)], [told(2.0)], ["hi"], name="a")
        column = Retry(Target(upstream, model="m"), budget=RetryBudget(ratio=0, per_second=1))
        both = [call(), call()]
        events = list(map(events_of, both))
        one = Fallback([Candidate(column, "a/m"), candidate("b", down())], random=Widest())
        replies = await asyncio.gather(*map(one.send, both), return_exceptions=True)
        assert [getattr(reply, "should_retry", None) for reply in replies] == [None, False]
        assert (len(upstream.asked), list(map(len, events))) == (3, [1, 0])

    @virtual
    async def test_a_mistake_of_the_callers_is_told_at_once(self) -> None:
        first, second = Upstream([told(1.0)], name="a"), Upstream([RequestRejected("no")], name="b")
        with pytest.raises(UpstreamRateLimited):
            await among(first, second).send(call())
        assert (now(), len(first.asked)) == (0.0, 1)

    @virtual
    async def test_once_the_attempts_are_used_up_nobody_is_asked_again(self) -> None:
        upstreams = [Upstream([told(1.0)], name=name) for name in "abcd"]
        with pytest.raises(UpstreamRateLimited):
            await among(*upstreams).send(call())
        assert (now(), [len(each.asked) for each in upstreams]) == (0.0, [1, 1, 1, 1])

    @virtual
    async def test_it_is_asked_again_only_once(self) -> None:
        first, second = Upstream([told(1.0)], [down("again")], name="a"), Upstream([down()], name="b")
        with pytest.raises(UpstreamUnavailable, match="again"):
            await among(first, second).send(call())
        assert [len(each.asked) for each in (first, second)] == [2, 1]

    @pytest.mark.parametrize(("takes", "wait"), [(0.0, 2.5), (1.5, 1.0), (9.0, 0.0)])
    def test_what_has_passed_of_a_wait_is_not_waited_again(self, takes: float, wait: float) -> None:
        @virtual
        async def scenario() -> None:
            error = told(2.0)
            first, second = Upstream([error], ["hi"], name="a"), Upstream([takes, down()], name="b")
            one = call()
            events = events_of(one)
            await among(first, second).send(one)
            assert first.times == [0.0, takes + wait]
            assert events == [AttemptRetried(one.context, "a", 1, wait, error, "a/m")]

        scenario()

    @pytest.mark.parametrize(
        ("error", "made", "useful"),
        [
            (told(2.0), 2, True),
            (overloaded(), 2, True),
            (CircuitOpen("Cooling.", retry_after=2.0, retryable=True), 2, True),
            (told(2.0), 3, False),
            (told(6.0), 0, False),
            (told(None), 0, False),
            (CircuitOpen("Open.", retry_after=1.0), 0, False),
            (UpstreamUnavailable("Busy.", retry_after=1.0, should_retry=False), 0, False),
            (down(), 0, False),
        ],
        ids=lambda value: getattr(value, "code", None) or str(value),
    )
    def test_to_wait_is_of_use_if_it_told_so_and_an_attempt_is_left(
        self, error: XRouterError, made: int, useful: bool
    ) -> None:
        @virtual
        async def scenario() -> None:
            upstream = Upstream([error], ["hi"])
            one = call()
            one.context.attempts += [Attempt("other", "m")] * made
            with contextlib.suppress(XRouterError):
                await among(upstream).send(one)
            assert len(upstream.asked) == 1 + useful

        scenario()

    @pytest.mark.parametrize(("left", "times"), [(2.5, [0.0]), (2.6, [0.0, 2.5])])
    def test_who_would_be_asked_after_the_deadline_is_not_waited_for(self, left: float, times: list[float]) -> None:
        @virtual
        async def scenario() -> None:
            upstream = Upstream([told(2.0)], ["hi"])
            with contextlib.suppress(UpstreamRateLimited):
                await among(upstream).send(call(deadline=left))
            assert (upstream.times, now()) == (times, times[-1])

        scenario()

    @virtual
    async def test_without_backoff_nobody_is_waited_for(self) -> None:
        upstream = Upstream([told(1.0)], ["hi"])
        with pytest.raises(UpstreamRateLimited):
            await among(upstream, backoff=None).send(call())
        assert (upstream.times, now()) == ([0.0], 0.0)

    @virtual
    async def test_its_backoff_says_how_long(self) -> None:
        upstream = Upstream([told(9.0)], ["hi"])
        await among(upstream, backoff=Backoff(base=2.0, longest=9.0)).send(call())
        assert upstream.times == [0.0, 11.0]

    @virtual
    async def test_who_leaves_while_waiting_asks_no_more(self) -> None:
        upstream = Upstream([told(2.0)], ["hi"])
        task = asyncio.create_task(among(upstream).send(call()))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(60.0)
        assert upstream.times == [0.0]

    @virtual
    async def test_a_fallback_below_another_waits_for_nobody_while_the_other_has_more_to_ask(self) -> None:
        inner, outer = Upstream([told(2.0)], ["hi"], name="a"), Upstream(name="b")
        whole = Fallback([Candidate(among(inner), "a"), Candidate(outer, "b")])
        assert (await whole.send(call())).provider == "b"
        assert (now(), inner.times) == (0.0, [0.0])


class TestBounds:
    async def test_at_most_four_attempts_are_made(self) -> None:
        candidates = [candidate(str(number), down()) for number in range(6)]
        with pytest.raises(UpstreamUnavailable):
            await Fallback(candidates).send(call())
        assert asked(*candidates) == [1, 1, 1, 1, 0, 0]

    async def test_repetitions_below_count_as_attempts(self) -> None:
        class Twice(Wrapper):
            async def send(self, call: Call, /) -> Reply:
                with pytest.raises(UpstreamUnavailable):
                    await self.inner.send(call)
                return await self.inner.send(call)

        candidates = [candidate(str(number), down()) for number in range(3)]
        with pytest.raises(UpstreamUnavailable):
            await Fallback([Candidate(Twice(each.provider), each.name) for each in candidates]).send(call())
        assert asked(*candidates) == [2, 2, 0]

    async def test_providers_without_a_target_are_bounded_too(self) -> None:
        providers = [ScriptedProvider(down(), name=str(number)) for number in range(3)]
        with pytest.raises(UpstreamUnavailable):
            await Fallback([Candidate(each, each.name) for each in providers], attempts=2).send(call())
        assert [len(each.calls) for each in providers] == [1, 1, 0]

    async def test_after_the_deadline_no_other_is_asked(self) -> None:
        second = candidate("b")
        with pytest.raises(UpstreamUnavailable):
            await Fallback([candidate("a", down()), second]).send(call(deadline=now()))
        assert asked(second) == [0]

    async def test_before_the_deadline_another_is_asked(self) -> None:
        reply = await Fallback([candidate("a", down()), candidate("b")]).send(call(deadline=now() + 1000))
        assert reply.provider == "b"

    @pytest.mark.parametrize(("candidates", "options"), [([], {}), ([candidate("a")], {"attempts": 0})])
    def test_options_that_make_no_sense_are_refused(self, candidates: list[Candidate], options: Any) -> None:
        with pytest.raises(ValueError, match=r"[Gg]ive|[Ww]rite"):
            Fallback(candidates, **options)


class TestTheErrorThatIsTold:
    @pytest.mark.parametrize(
        ("errors", "told"),
        [
            ([down("one"), down("two")], "two"),
            ([down("one"), ModelNotFound("m")], "one"),
            ([UpstreamRateLimited("one"), CircuitOpen("two")], "one"),
            ([CircuitOpen("one"), CircuitOpen("two")], "two"),
            ([down("one"), RequestRejected("two")], "one"),
        ],
    )
    async def test_it_is_the_last_of_an_upstream_that_was_asked(self, errors: list[XRouterError], told: str) -> None:
        with pytest.raises(XRouterError) as failed:
            await Fallback([candidate(str(index), error) for index, error in enumerate(errors)]).send(call())
        assert failed.value.message == told


class TestOwnKey:
    async def test_whoever_pays_himself_is_not_moved(self) -> None:
        first = candidate("a", unready=OPEN, price=Price(9, 9), own_key=True)
        second = candidate("b", price=Price(1, 1))
        reply = await Fallback([first, second], strategy=lowest_cost).send(call(key="secret"))
        assert reply.provider == "a"

    async def test_nor_if_it_fails(self) -> None:
        second = candidate("b")
        with pytest.raises(UpstreamUnavailable):
            await Fallback([candidate("a", down(), own_key=True), second]).send(call(key="secret"))
        assert asked(second) == [0]

    async def test_where_no_candidate_takes_keys_of_callers_theirs_changes_nothing(self) -> None:
        blind = candidate("a", capabilities=Capabilities(tools=False))
        one = Fallback([blind, candidate("b", down()), candidate("c")])
        assert (await one.send(call(key="secret", tools=TOOLS))).provider == "c"


def turn(*texts: str, **more: Any) -> Call:
    """A conversation after so many messages, the user's and the assistant's in turn."""
    roles = ("user", "assistant")
    return call(messages=[{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)], **more)


class TestSessionAffinity:
    async def moved(self, **options: Any) -> Fallback:
        """With a conversation `hi` that was moved to the second candidate, and a first one that is well again."""
        steps = [down()]
        one = Fallback([candidate("a"), candidate("b")], session_affinity=True, **options)
        flaky = scripted(one.candidates[0])
        flaky.steps = steps
        assert (await one.send(turn("hi"))).provider == "b"
        flaky.steps = ()
        return one

    async def test_a_conversation_stays_where_it_was_answered(self) -> None:
        one = await self.moved()
        assert order_of(one, turn("hi", "hello", "how are you?")) == ["b/m", "a/m"]
        assert order_of(one, turn("something else")) == ["a/m", "b/m"]

    async def test_another_caller_with_the_same_words_has_a_conversation_of_its_own(self) -> None:
        one = await self.moved()
        context = RequestContext(principal=Principal("key_1"))
        assert order_of(one, turn("hi", context=context)) == ["a/m", "b/m"]

    async def test_conversations_that_differ_in_one_long_text_or_picture_are_told_apart(self) -> None:
        def shown(words: str, picture: str = "https://a") -> Call:
            parts = [{"type": "text", "text": words}, {"type": "image_url", "image_url": {"url": picture}}]
            return call(messages=[{"role": "system", "content": "x" * 100_000}, {"role": "user", "content": parts}])

        one = Fallback([candidate("a", down()), candidate("b")], session_affinity=True)
        await one.send(shown("y" * 100_000))
        assert order_of(one, shown("y" * 100_000)) == ["b/m", "a/m"]
        assert order_of(one, shown("y" * 100_001)) == ["a/m", "b/m"]
        assert order_of(one, shown("y" * 99_999 + "z")) == ["a/m", "b/m"]
        assert order_of(one, shown("y" * 100_000, "https://b")) == ["a/m", "b/m"]

    async def test_a_client_may_name_its_conversation(self) -> None:
        one = Fallback([candidate("a", down()), candidate("b")], session_affinity=True)
        await one.send(turn("hi", prompt_cache_key="c1"))
        assert order_of(one, turn("other words", prompt_cache_key="c1")) == ["b/m", "a/m"]
        assert order_of(one, turn("hi", prompt_cache_key="c2")) == ["a/m", "b/m"]

    async def test_it_leaves_a_candidate_that_is_not_ready(self) -> None:
        one = await self.moved()
        scripted(one.candidates[1]).unready = OPEN
        assert order_of(one, turn("hi")) == ["a/m", "b/m"]

    async def test_without_being_asked_nothing_is_remembered(self) -> None:
        one = Fallback([candidate("a", down()), candidate("b")])
        await one.send(turn("hi"))
        assert order_of(one, turn("hi")) == ["a/m", "b/m"]

    async def test_the_conversation_not_heard_of_for_longest_is_forgotten(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conversations, "_CONVERSATIONS", 2)
        one = Fallback([candidate("a", down()), candidate("b")], session_affinity=True)
        for text in ("1", "2", "1", "3"):
            await one.send(turn(text))
        assert [order_of(one, turn(text))[0] for text in "123"] == ["b/m", "a/m", "b/m"]

    async def test_a_conversation_without_a_user_is_known_by_its_first_message(self) -> None:
        one = Fallback([candidate("a", down()), candidate("b")], session_affinity=True)
        system = {"role": "system", "content": "Begin."}
        await one.send(call(messages=[system]))
        assert order_of(one, call(messages=[system, {"role": "assistant", "content": "So."}])) == ["b/m", "a/m"]


class TestTheDecision:
    async def test_it_tells_the_order_the_excluded_and_the_attempts(self) -> None:
        first, second, third, fourth = (
            candidate("a", down(), price=Price(2, 2)),
            candidate("b", unready=OPEN),
            candidate("c", price=Price(1, 1), capabilities=Capabilities(tools=False)),
            candidate("d", price=Price(3, 3)),
        )
        context = RequestContext()
        one = Fallback([first, second, third, fourth], strategy=lowest_cost)
        reply = await one.send(call(context=context, tools=TOOLS))
        decision = context.decision
        assert decision.strategy == "lowest_cost"
        assert [(each.name, each.excluded) for each in decision.candidates] == [
            ("a/m", None),
            ("d/m", None),
            ("b/m", OPEN),
            ("c/m", Unready("capability", None, "lacks tools")),
        ]
        scores = [each.score for each in decision.candidates]
        assert scores[0] == pytest.approx(2 * 500 / 1e6)
        assert [attempt.provider for attempt in decision.attempts] == ["a", "d"]
        assert reply.attempt is decision.attempts[1]

    async def test_it_says_that_a_conversation_was_kept_together(self) -> None:
        one = Fallback([candidate("a")], session_affinity=True)
        await one.send(turn("hi"))
        context = RequestContext()
        await one.send(turn("hi", context=context))
        assert context.decision.strategy == "in_order, session affinity"

    async def test_the_outer_of_two_fallbacks_decided(self) -> None:
        context = RequestContext()
        inner = Fallback([candidate("b")], strategy=lowest_cost)
        await Fallback([candidate("a", down()), Candidate(inner, "others")]).send(call(context=context))
        assert [each.name for each in context.decision.candidates] == ["a/m", "others"]
        assert context.decision.strategy == "in_order"

    async def test_who_is_asked_although_none_is_ready_is_told_once(self) -> None:
        context = RequestContext()
        await Fallback([candidate(name, unready=OPEN) for name in "ab"]).send(call(context=context))
        assert [(each.name, each.excluded) for each in context.decision.candidates] == [("a/m", OPEN), ("b/m", OPEN)]

    async def test_of_a_caller_with_an_own_key_it_tells_why_the_others_were_passed_over(self) -> None:
        context = RequestContext()
        own = candidate("a", own_key=True)
        await Fallback([own, candidate("b")]).send(call(context=context, key="secret"))
        assert [(each.name, each.excluded and each.excluded.kind) for each in context.decision.candidates] == [
            ("a/m", None),
            ("b/m", "own_key"),
        ]


class TestStats:
    async def test_a_stream_loads_its_candidate_until_it_ends(self) -> None:
        one = Fallback([candidate("a")])
        stats = one.plan(call()).order[0].stats
        reply = await one.send(call(stream=True))
        assert isinstance(reply.body, ChatStream)
        assert stats.load == 1
        await reply.body.aclose()
        assert stats.load == 0

    @pytest.mark.parametrize("steps", [(), (down(),)])
    async def test_a_call_that_is_over_loads_nobody(self, steps: tuple[Any, ...]) -> None:
        one = Fallback([candidate("a", *steps), candidate("b")])
        await one.send(call())
        assert [ranked.stats.load for ranked in one.plan(call()).order] == [0, 0]

    async def test_a_cancelled_call_loads_nobody_and_closes_its_upstream(self) -> None:
        first, second = candidate("a", asyncio.Event()), candidate("b")
        one = Fallback([first, second])
        task = asyncio.create_task(one.send(call()))
        await scripted(first).reached.wait()
        assert one.plan(call()).order[0].stats.load == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert one.plan(call()).order[0].stats.load == 0
        assert scripted(first).closed == 1
        assert asked(second) == [0]

    @virtual
    async def test_the_latency_is_a_moving_average_of_those_that_answered(self) -> None:
        one = among(Upstream([2.0], [9.0, RequestRejected("no")], [1.0]))
        for _ in range(3):
            with contextlib.suppress(RequestRejected):
                await one.send(call())
        assert one.plan(call()).order[0].stats.latency == pytest.approx(2.0 + 0.2 * (1.0 - 2.0))


class TestModels:
    def listing(self, name: str, *steps: Any) -> Candidate:
        return Candidate(ScriptedProvider(*steps, name=name, models=[name]), f"{name}/*")

    async def listed(self, *candidates: Candidate) -> list[str]:
        models = await Fallback(candidates).models()
        return [model["id"] for model in models.value["data"]]

    async def test_the_first_that_lists_its_models_is_heard(self) -> None:
        assert await self.listed(self.listing("a", down()), self.listing("b"), self.listing("c")) == ["b"]

    async def test_an_error_that_does_not_fall_back_is_told(self) -> None:
        with pytest.raises(InvalidRequest, match="own key"):
            await self.listed(self.listing("a", InvalidRequest("own key")), self.listing("b"))

    async def test_the_last_one_says_what_is_wrong(self) -> None:
        with pytest.raises(UpstreamError, match="two"):
            await self.listed(self.listing("a", down("one")), self.listing("b", down("two")))


class TestClosing:
    async def test_each_provider_is_closed_once(self) -> None:
        provider, other = ScriptedProvider(), ScriptedProvider()
        await Fallback([Candidate(provider, "a"), Candidate(provider, "b"), Candidate(other, "c")]).aclose()
        assert (provider.closings, other.closings) == (1, 1)

    async def test_one_that_cannot_be_closed_keeps_no_other_open(self) -> None:
        class Stuck(ScriptedProvider):
            async def aclose(self) -> None:
                raise OSError("stuck")

        other = ScriptedProvider()
        with pytest.raises(ExceptionGroup):
            await Fallback([Candidate(Stuck(), "a"), Candidate(other, "b")]).aclose()
        assert other.closings == 1

    def test_it_bears_the_name_of_its_first_candidate(self) -> None:
        assert Fallback([candidate("a"), candidate("b")]).name == "a"
