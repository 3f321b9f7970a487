from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.policies.candidates import call, candidate, scripted
from tests.scripted import ScriptedProvider, chunk
from xrouter_asgi.context import Principal, RequestContext
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
from xrouter_asgi.policies import affinity as conversations
from xrouter_asgi.policies import candidates as words
from xrouter_asgi.policies.candidates import Candidate, Capabilities, Price
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.strategies import lowest_cost
from xrouter_asgi.providers import own_key
from xrouter_asgi.providers.base import Call, Reply
from xrouter_asgi.wire import ModelsRequest
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
    return [ranked.standing.candidate.name for ranked in one.plan(of).order]


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


class TestAvailability:
    async def test_a_candidate_that_is_not_available_is_not_asked_while_another_answers(self) -> None:
        first, second = candidate("a", available=lambda: "circuit open for 3 s"), candidate("b")
        await Fallback([first, second]).send(call())
        assert asked(first, second) == [0, 1]

    async def test_if_those_that_are_available_fail_the_others_may_say_no_for_themselves(self) -> None:
        first = candidate("a", CircuitOpen("open"), available=lambda: "circuit open for 3 s")
        second = candidate("b", down("b is down"))
        with pytest.raises(UpstreamUnavailable, match="b is down"):
            await Fallback([first, second]).send(call())
        assert asked(first, second) == [1, 1]

    async def test_who_says_no_for_himself_takes_no_attempt_from_the_others(self) -> None:
        held = [Candidate(ScriptedProvider(CircuitOpen("open")), str(i), available=lambda: "open") for i in range(5)]
        last = candidate("z", available=lambda: "over its limit")
        assert (await Fallback([*held, last]).send(call())).provider == "z"

    async def test_if_none_is_available_each_refuses_for_itself(self) -> None:
        refusal = CircuitOpen("open", retry_after=3)
        candidates = [candidate(name, refusal, available=lambda: "circuit open") for name in "ab"]
        with pytest.raises(CircuitOpen):
            await Fallback(candidates).send(call())
        assert asked(*candidates) == [1, 1]

    async def test_a_candidate_that_is_available_again_is_first_again(self) -> None:
        said: list[str | None] = ["cooling", None]
        one = Fallback([candidate("a", available=lambda: said.pop(0)), candidate("b")])
        assert [order_of(one, call())[0] for _ in range(2)] == ["b/m", "a/m"]


class TestAgain:
    """What `Retry.again` does is played by a function."""

    def scene(self, *failures: tuple[str, XRouterError], useless: str = "") -> tuple[Fallback, list[str]]:
        """Candidates that fail; whoever is asked again and is not `useless` answers then. And who was, and how late."""
        again: list[str] = []
        times = iter(range(100))

        def ask(one: Candidate) -> Callable[[Call, XRouterError, float], Awaitable[Reply] | None]:
            def ask_again(call: Call, error: XRouterError, since: float) -> Awaitable[Reply] | None:
                again.append(f"{one.name} after {since:.0f}")
                return None if one.provider.name in useless else ScriptedProvider(name=one.provider.name).send(call)

            return ask_again

        candidates = [candidate(name, error) for name, error in failures]
        candidates = [replace(one, again=ask(one)) for one in candidates]
        return Fallback(candidates, clock=lambda: next(times)), again

    def told(self, seconds: float) -> UpstreamRateLimited:
        return UpstreamRateLimited("slow down", retry_after=seconds)

    async def test_if_nobody_answers_the_one_that_told_the_shortest_wait_is_asked_again(self) -> None:
        one, again = self.scene(("a", self.told(3)), ("b", self.told(2)), ("c", down()))
        assert (await one.send(call())).provider == "b"
        assert again == ["b/m after 3"]

    async def test_where_that_is_of_no_use_the_next_one_is(self) -> None:
        one, again = self.scene(("a", self.told(3)), ("b", self.told(2)), ("c", down()), useless="b")
        assert (await one.send(call())).provider == "a"
        assert [each[0] for each in again] == ["b", "a"]

    async def test_where_it_is_of_no_use_at_all_the_failure_is_told(self) -> None:
        one, again = self.scene(("a", self.told(3)), ("b", down("b is down")), useless="ab")
        with pytest.raises(UpstreamUnavailable, match="b is down"):
            await one.send(call())
        assert [each[0] for each in again] == ["a", "b"]

    async def test_a_mistake_of_the_callers_is_told_at_once(self) -> None:
        one, again = self.scene(("a", self.told(1)), ("b", RequestRejected("no")))
        with pytest.raises(UpstreamRateLimited):
            await one.send(call())
        assert again == []

    async def test_once_the_attempts_are_used_up_nobody_is(self) -> None:
        one, again = self.scene(*[(name, self.told(1)) for name in "abcd"])
        with pytest.raises(UpstreamRateLimited):
            await one.send(call())
        assert again == []


class TestBounds:
    async def test_at_most_four_attempts_are_made(self) -> None:
        candidates = [candidate(str(number), down()) for number in range(6)]
        with pytest.raises(UpstreamUnavailable):
            await Fallback(candidates).send(call())
        assert asked(*candidates) == [1, 1, 1, 1, 0, 0]

    async def test_repetitions_below_count_as_attempts(self) -> None:
        class Twice:
            def __init__(self, inner: Candidate) -> None:
                self.inner = inner.provider
                self.name = self.inner.name

            async def send(self, call: Call, /) -> Any:
                with pytest.raises(UpstreamUnavailable):
                    await self.inner.send(call)
                return await self.inner.send(call)

            async def aclose(self) -> None: ...

        candidates = [candidate(str(number), down()) for number in range(3)]
        with pytest.raises(UpstreamUnavailable):
            await Fallback([Candidate(Twice(each), each.name) for each in candidates]).send(call())
        assert asked(*candidates) == [2, 2, 0]

    async def test_candidates_that_note_no_attempts_are_bounded_too(self) -> None:
        providers = [ScriptedProvider(down(), name=str(number)) for number in range(3)]
        with pytest.raises(UpstreamUnavailable):
            await Fallback([Candidate(each, each.name) for each in providers], attempts=2).send(call())
        assert [len(each.calls) for each in providers] == [1, 1, 0]

    async def test_after_the_deadline_no_other_is_asked(self) -> None:
        now = asyncio.get_running_loop().time()
        second = candidate("b")
        with pytest.raises(UpstreamUnavailable):
            await Fallback([candidate("a", down()), second]).send(call(deadline=now))
        assert asked(second) == [0]

    async def test_before_the_deadline_another_is_asked(self) -> None:
        later = asyncio.get_running_loop().time() + 1000
        reply = await Fallback([candidate("a", down()), candidate("b")]).send(call(deadline=later))
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
    def test_the_header_is_the_one_of_own_key(self) -> None:
        assert words._OWN_KEY.decode() == own_key.HEADER

    async def test_whoever_pays_himself_is_not_moved(self) -> None:
        first = candidate("a", available=lambda: "circuit open", price=Price(9, 9))
        second = candidate("b", price=Price(1, 1))
        reply = await Fallback([first, second], strategy=lowest_cost).send(call(key="secret"))
        assert reply.provider == "a"

    async def test_nor_if_it_fails(self) -> None:
        second = candidate("b")
        with pytest.raises(UpstreamUnavailable):
            await Fallback([candidate("a", down()), second]).send(call(key="secret"))
        assert asked(second) == [0]


def turn(*texts: str, **more: Any) -> Call:
    """A conversation after so many messages, the user's and the assistant's in turn."""
    roles = ("user", "assistant")
    return call(messages=[{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)], **more)


class TestSticky:
    async def moved(self, **options: Any) -> Fallback:
        """With a conversation `hi` that was moved to the second candidate, and a first one that is well again."""
        steps = [down()]
        one = Fallback([candidate("a"), candidate("b")], sticky=True, **options)
        flaky = scripted(one.candidates[0])
        flaky._steps = steps
        assert (await one.send(turn("hi"))).provider == "b"
        flaky._steps = ()
        return one

    async def test_a_conversation_stays_where_it_was_answered(self) -> None:
        one = await self.moved()
        assert order_of(one, turn("hi", "hello", "how are you?")) == ["b/m", "a/m"]
        assert order_of(one, turn("something else")) == ["a/m", "b/m"]

    async def test_another_caller_with_the_same_words_has_a_conversation_of_its_own(self) -> None:
        one = await self.moved()
        context = RequestContext(principal=Principal("key_1"))
        assert order_of(one, turn("hi", context=context)) == ["a/m", "b/m"]

    async def test_a_client_may_name_its_conversation(self) -> None:
        one = Fallback([candidate("a", down()), candidate("b")], sticky=True)
        await one.send(turn("hi", prompt_cache_key="c1"))
        assert order_of(one, turn("other words", prompt_cache_key="c1")) == ["b/m", "a/m"]
        assert order_of(one, turn("hi", prompt_cache_key="c2")) == ["a/m", "b/m"]

    async def test_it_leaves_a_candidate_that_is_not_available(self) -> None:
        one = await self.moved()
        object.__setattr__(one.candidates[1], "available", lambda: "cooling")
        assert order_of(one, turn("hi")) == ["a/m", "b/m"]

    async def test_without_being_asked_nothing_is_remembered(self) -> None:
        one = Fallback([candidate("a", down()), candidate("b")])
        await one.send(turn("hi"))
        assert order_of(one, turn("hi")) == ["a/m", "b/m"]

    async def test_the_conversation_not_heard_of_for_longest_is_forgotten(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conversations, "_CONVERSATIONS", 2)
        one = Fallback([candidate("a", down()), candidate("b")], sticky=True)
        for text in ("1", "2", "1", "3"):
            await one.send(turn(text))
        assert [order_of(one, turn(text))[0] for text in "123"] == ["b/m", "a/m", "b/m"]

    async def test_a_conversation_without_a_user_is_known_by_its_first_message(self) -> None:
        one = Fallback([candidate("a", down()), candidate("b")], sticky=True)
        system = {"role": "system", "content": "Begin."}
        await one.send(call(messages=[system]))
        assert order_of(one, call(messages=[system, {"role": "assistant", "content": "So."}])) == ["b/m", "a/m"]


class TestTheDecision:
    async def test_it_tells_the_order_the_excluded_and_the_attempts(self) -> None:
        first, second, third, fourth = (
            candidate("a", down(), price=Price(2, 2)),
            candidate("b", available=lambda: "circuit open for 3.2 s"),
            candidate("c", price=Price(1, 1), capabilities=Capabilities(tools=False)),
            candidate("d", price=Price(3, 3)),
        )
        context = RequestContext()
        await Fallback([first, second, third, fourth], strategy=lowest_cost).send(call(context=context, tools=TOOLS))
        decision = context.decision
        assert decision.strategy == "lowest_cost"
        assert [(each.name, each.excluded) for each in decision.candidates] == [
            ("a/m", None),
            ("d/m", None),
            ("b/m", "circuit open for 3.2 s"),
            ("c/m", "lacks tools"),
        ]
        scores = [each.score for each in decision.candidates]
        assert scores[0] == pytest.approx(2 * 500 / 1e6)
        assert [attempt.provider for attempt in decision.attempts] == ["a", "d"]
        assert decision.served is decision.attempts[1]

    async def test_it_says_that_a_conversation_was_kept_together(self) -> None:
        one = Fallback([candidate("a")], sticky=True)
        await one.send(turn("hi"))
        context = RequestContext()
        await one.send(turn("hi", context=context))
        assert context.decision.strategy == "in_order, sticky"

    async def test_the_outer_of_two_fallbacks_decided(self) -> None:
        context = RequestContext()
        inner = Fallback([candidate("b")], strategy=lowest_cost)
        await Fallback([candidate("a", down()), Candidate(inner, "others")]).send(call(context=context))
        assert [each.name for each in context.decision.candidates] == ["a/m", "others"]
        assert context.decision.strategy == "in_order"

    async def test_who_is_asked_although_none_is_available_is_told_once(self) -> None:
        context = RequestContext()
        await Fallback([candidate("a", available=lambda: "cooling")]).send(call(context=context))
        assert [(each.name, each.excluded) for each in context.decision.candidates] == [("a/m", "cooling")]


class TestStandings:
    async def test_a_stream_loads_its_candidate_until_it_ends(self) -> None:
        one = Fallback([candidate("a")])
        standing = one.plan(call()).order[0].standing
        reply = await one.send(call(stream=True))
        assert isinstance(reply.body, ChatStream)
        assert standing.load == 1
        await reply.body.aclose()
        assert standing.load == 0

    @pytest.mark.parametrize("steps", [(), (down(),)])
    async def test_a_call_that_is_over_loads_nobody(self, steps: tuple[Any, ...]) -> None:
        one = Fallback([candidate("a", *steps), candidate("b")])
        await one.send(call())
        assert [ranked.standing.load for ranked in one.plan(call()).order] == [0, 0]

    async def test_a_cancelled_call_loads_nobody_and_closes_its_upstream(self) -> None:
        first, second = candidate("a", asyncio.Event()), candidate("b")
        one = Fallback([first, second])
        task = asyncio.create_task(one.send(call()))
        await scripted(first).reached.wait()
        assert one.plan(call()).order[0].standing.load == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert one.plan(call()).order[0].standing.load == 0
        assert scripted(first).closed == 1
        assert asked(second) == [0]

    async def test_the_latency_is_a_moving_average_of_those_that_answered(self) -> None:
        times = iter([0.0, 2.0, 10.0, 11.0])
        one = Fallback([candidate("a")], clock=lambda: next(times))
        for _ in range(2):
            await one.send(call())
        assert one.plan(call()).order[0].standing.latency == pytest.approx(2.0 + 0.2 * (1.0 - 2.0))


class TestModels:
    def listing(self, name: str, *steps: Any) -> Candidate:
        return Candidate(ScriptedProvider(*steps, name=name, models=[name]), f"{name}/*")

    async def test_the_first_that_lists_its_models_is_heard(self) -> None:
        one = Fallback([self.listing("a", down()), self.listing("b"), self.listing("c")])
        assert [model["id"] for model in (await one.send(Call(ModelsRequest()))).models] == ["b"]

    async def test_an_error_that_does_not_fall_back_is_told(self) -> None:
        one = Fallback([self.listing("a", InvalidRequest("own key")), self.listing("b")])
        with pytest.raises(InvalidRequest, match="own key"):
            await one.send(Call(ModelsRequest()))

    async def test_the_last_one_says_what_is_wrong(self) -> None:
        one = Fallback([self.listing("a", down("one")), self.listing("b", down("two"))])
        with pytest.raises(UpstreamError, match="two"):
            await one.send(Call(ModelsRequest()))


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
