from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from tests.asgi_client import get, post
from xrouter_asgi.context import Principal, RequestContext, Usage
from xrouter_asgi.decision import Attempt, CandidateVerdict, Cost, Unready
from xrouter_asgi.errors import InvalidRequest, UpstreamError
from xrouter_asgi.events import (
    CircuitClosed,
    CircuitOpened,
    CooldownStarted,
    LimiterDegraded,
    LimiterRestored,
    ProviderReplaced,
    RequestEnded,
)
from xrouter_asgi.live import BOUNDS, KEPT, MINUTES, Happenings, Live, Minute, Seen, quantile
from xrouter_asgi.live.requests import plain, recalled, remember
from xrouter_asgi.middleware.request_events import RequestEventsMiddleware
from xrouter_asgi.router import LLMRouter
from xrouter_asgi.testing.scripted import ScriptedProvider, chat


class Wall:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


def ended(context: RequestContext, status: int | None = 200, **changes: Any) -> RequestEnded:
    facts = {"method": "POST", "path": "/", "complete": True, "duration": 0.2, "first_byte": 0.1}
    return RequestEnded(context, **{**facts, "received": 1, "sent": 1, "client": None, "status": status, **changes})


async def test_a_request_through_a_router_is_remembered_with_its_attempts() -> None:
    live = Live()
    app = RequestEventsMiddleware(LLMRouter({"m": ScriptedProvider(name="up")}), observers=[live])
    await post(app, "/v1/chat/completions", chat("m"))
    (request,) = live.recent
    assert (request.endpoint, request.model, request.status, request.failed) == ("chat", "m", 200, False)
    (attempt,) = request.attempts
    assert (attempt.provider, attempt.error, attempt.hint) == ("up", None, None)
    assert attempt.ended is not None
    assert 0 <= attempt.started <= attempt.ended <= request.duration


async def test_probes_are_not_remembered() -> None:
    live = Live()
    app = RequestEventsMiddleware(LLMRouter({"m": ScriptedProvider()}), observers=[live])
    for path in ("/health", "/ready", "/openapi.json"):
        await get(app, path)
    assert not live.recent
    assert sum(minute.requests for minute in live.minutes()) == 0


def test_a_minute_sums_what_ended_in_it() -> None:
    wall = Wall()
    live = Live(now=wall)
    live(ended(RequestContext(endpoint="chat", usage=Usage(10, 5), streamed=True)))
    live(ended(RequestContext(endpoint="chat", error=UpstreamError("It broke off.", status=502))))
    live(ended(RequestContext(endpoint="chat", error=InvalidRequest("No.")), 400))
    live(ended(RequestContext(endpoint="chat"), None, first_byte=None))
    wall.time += 120
    live(ended(RequestContext(endpoint="chat", usage=Usage(1, 1))))
    before, between, now = live.minutes(3)
    assert (before.requests, before.failed, before.refused) == (4, 1, 1)
    assert (before.prompt_tokens, before.completion_tokens) == (10, 5)
    assert (sum(before.durations), sum(before.first_bytes)) == (4, 1)
    assert between.requests == 0
    assert now.requests == 1


def test_a_minute_knows_its_cost_and_how_many_ran_when_its_first_request_ended() -> None:
    wall = Wall()
    live, contexts = Live(now=wall), [RequestContext(endpoint="chat") for _ in range(3)]
    contexts[0].cost, contexts[1].cost = Cost(7, False), Cost(5, False)
    live(ended(contexts[0], running=3))
    live(ended(contexts[1], 502, running=2))
    wall.time += 60
    live(ended(contexts[2], running=1))
    before, now = live.minutes(2)
    assert [(minute.cost, minute.in_flight) for minute in (before, now)] == [(12, 4), (0, 2)]


def succeeded(number: int) -> RequestEnded:
    """A request that went well, one of many that differ."""
    usage = Usage(number, 1) if number % 3 else None
    context = RequestContext(endpoint="chat", model="m", provider="up", streamed=bool(number % 2), usage=usage)
    context.cost = Cost(number, False) if number % 4 else None
    context.attempts.append(Attempt("up", "a", started=1.0, first=2.0, ended=3.0))
    context.decision.began = 0.5
    return ended(context, duration=0.01 * number, first_byte=None if number % 5 == 0 else 0.005 * number)


def test_many_at_once_are_summed_as_one_by_one() -> None:
    wall, minute = Wall(), Minute(int(Wall().time // 60), in_flight=1)
    live = Live(now=wall)
    for number in range(1200):
        live(succeeded(number))
        minute.add([remember(succeeded(number), wall.time)])
    assert live.minutes(1) == [minute]


def test_a_request_that_went_well_is_remembered_like_any_other() -> None:
    event = succeeded(7)
    kept = plain(event, 2.0)
    assert kept is not None
    assert recalled(kept, 1) == recalled(remember(event, 2.0), 1)


@pytest.mark.parametrize(
    "facts", [{"model": "m" * 129}, {"upstream_model": "m" * 129}, {"error": UpstreamError("No.")}, {"attempts": []}]
)
def test_what_may_be_large_is_cut_at_once(facts: dict[str, Any]) -> None:
    event = succeeded(7)
    for name, value in facts.items():
        setattr(event.context, name, value)
    assert plain(event, 2.0) is None


def test_the_last_2000_are_remembered_whenever_somebody_looks() -> None:
    live = Live()
    for number in range(3 * KEPT):
        live(succeeded(number % 100))
        if number in (10, KEPT + 5):
            assert live.recent[-1].number == number + 1
    assert [each.number for each in live.recent] == list(range(2 * KEPT + 1, 3 * KEPT + 1))


def test_a_quantile_lies_between_the_bounds_that_it_was_counted_by() -> None:
    counts = [0] * (len(BOUNDS) + 1)
    assert quantile(counts, 0.5) is None
    counts[1] = 10  # from 0.05 to 0.1 s
    assert quantile(counts, 0.5) == pytest.approx(0.075)
    counts[-1] = 90
    assert quantile(counts, 0.95) == BOUNDS[-1]


def test_what_is_new_is_told_once() -> None:
    live = Live()
    live(ended(RequestContext(endpoint="chat")))
    seen = live.seen
    live(ended(RequestContext(endpoint="chat")))
    live(CircuitOpened(RequestContext(), "up", 5, "up/a"))
    told = live.since(seen, 10)
    assert (told.requests, told.problems, told.dropped) == ([live.recent[1]], live.problems.present, 0)
    assert live.since(told.seen, 10) == Happenings(told.seen, [], [], 0)


def test_of_much_that_is_new_the_last_is_told_and_the_rest_counted() -> None:
    live = Live()
    seen = live.seen
    for _ in range(5):
        live(ended(RequestContext(endpoint="chat")))
    told = live.since(seen, 2)
    assert ([each.number for each in told.requests], told.dropped) == ([4, 5], 3)


def test_who_has_seen_more_than_there_is_hears_of_all() -> None:
    """The process was replaced meanwhile."""
    live = Live()
    live(ended(RequestContext(endpoint="chat")))
    assert live.since(Seen(100, 100), 10).requests == [live.recent[0]]


def test_an_open_circuit_is_a_problem_until_it_closes() -> None:
    wall = Wall()
    live = Live(now=wall)
    live(CircuitOpened(RequestContext(), "up", 5, "up/a"))
    wall.time += 60
    live(CircuitOpened(RequestContext(), "up", 10, "up/a"))  # a probe failed
    (problem,) = live.problems.present
    assert (problem.kind, problem.subject) == ("circuit_open", "up/a")
    assert (problem.since, problem.until) == (wall.time - 60, wall.time + 10)
    live(CircuitClosed(RequestContext(), "up", "up/a"))
    assert live.problems.present == []


def test_a_cooldown_is_a_problem_until_its_time_is_over() -> None:
    wall = Wall()
    live = Live(now=wall)
    live(CooldownStarted(RequestContext(), "up", "rate", 30, "up/a"))
    wall.time += 31
    assert live.problems.present == []
    live(CooldownStarted(RequestContext(), "up", "rate", 30, "up/a"))
    (again,) = live.problems.present
    assert again.since == wall.time


def test_limits_that_are_not_shared_are_a_problem_until_they_are() -> None:
    live = Live()
    live(LimiterDegraded(RequestContext()))
    assert [problem.subject for problem in live.problems.present] == ["limits"]
    live(LimiterRestored(RequestContext()))
    assert live.problems.present == []


def test_problems_of_a_provider_end_when_it_is_replaced() -> None:
    live = Live()
    live(CircuitOpened(RequestContext(), "up", 5, "up/a"))
    live(CircuitOpened(RequestContext(), "uphill", 5, "uphill/a"))
    live(ProviderReplaced("up"))
    assert [problem.subject for problem in live.problems.present] == ["uphill/a"]


def largest(number: int) -> RequestContext:
    """A request that leaves as much behind as one can: what is not from the settings is long, and its own."""
    principal = Principal(f"key_{number:08}", "o" * 200, limits=tuple(f"{n}/minute" for n in range(4)))
    name = f"{number:05}" + "п" * 251
    context = RequestContext(
        request_id=f"{number:064}", endpoint="chat", model=name, upstream_model=name * 100, provider="up",
        principal=principal, usage=Usage(number + 300, number + 301), streamed=True,
    )  # fmt: skip
    for nth in range(10):
        error = UpstreamError(name * 10, code=f"{number}-{nth}-" + "c" * 300, status=502)
        context.attempts.append(Attempt("up", f"{nth}{name}", first=1.0 + nth, ended=2.0 + nth, error=error))
    context.error = error
    context.decision.candidates = tuple(
        CandidateVerdict("up/a", 1.5 + nth, Unready("cooling", 2.5 + nth, f"cooling for {number}.{nth} s"))
        for nth in range(20)
    )
    return context


def test_it_takes_20_mib_at_most_whatever_it_is_told() -> None:
    wall = Wall()
    tracemalloc.start()
    try:
        live = Live(now=wall)
        for number in range(KEPT):
            wall.time += 60 * (number < MINUTES)
            live(ended(largest(number), 502))
        for number in range(2000):
            live(CircuitOpened(RequestContext(), "up", 5, f"{number}" + "п" * 500))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(live.recent) == KEPT
    assert size <= 20 << 20, f"{size / (1 << 20):.1f} MiB"
