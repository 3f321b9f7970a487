from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.asgi_client import Answer, Exchange, body_messages, get, http_scope, post
from xrouter_asgi.context import Principal, RequestContext
from xrouter_asgi.events import LimiterDegraded, LimiterRestored
from xrouter_asgi.limits.base import Charge, LimitStatus, Reservation
from xrouter_asgi.limits.memory import MemoryLimits
from xrouter_asgi.middleware.rate_limit import RateLimitMiddleware
from xrouter_asgi.providers.target import Target
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.clock import Clock
from xrouter_asgi.testing.scripted import USAGE, ScriptedProvider, chat, chunk


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


def limited(app: ASGIApp = hello, *, limit: Any = "2/minute", **options: Any) -> RateLimitMiddleware:
    return RateLimitMiddleware(app, limit=limit, **{"store": MemoryLimits(clock=Clock()), **options})


def in_front_of_a_model(provider: ScriptedProvider | None = None, **options: Any) -> RateLimitMiddleware:
    target = Target(provider or ScriptedProvider(), model="upstream-model")
    router = LLMRouter({"scripted": target, "gpt-*": target})
    return limited(router, **options)


def known_as(app: ASGIApp, principal: Principal) -> ASGIApp:
    """What an authentication further out does."""

    async def identified(scope: Scope, receive: Receive, send: Send) -> None:
        scope = dict(scope)
        RequestContext.of(scope).principal = principal
        await app(scope, receive, send)

    return identified


async def statuses(app: ASGIApp, count: int, **more: Any) -> list[int]:
    return [(await get(app, "/", **more)).status for _ in range(count)]


def limit_headers(answer: Answer) -> dict[str, str]:
    return {
        name.decode().removeprefix("x-ratelimit-"): value.decode()
        for name, value in answer.messages[0]["headers"]
        if b"ratelimit" in name
    }


# On any application


async def test_an_application_that_never_heard_of_models_is_limited() -> None:
    assert await statuses(limited(), 4) == [200, 200, 429, 429]


class Sockets:
    """An application of WebSockets, each of which is closed when the test says so."""

    def __init__(self) -> None:
        self.close = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await self.close.wait()
        await send({"type": "websocket.close", "code": 1000})


async def socket(app: ASGIApp) -> list[Message]:
    """What a WebSocket is sent, from a server that can answer one with a status."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    extensions: dict[str, Any] = {"websocket.http.response": {}}
    await app({**http_scope("GET", "/"), "type": "websocket", "extensions": extensions}, receive, send)
    return sent


async def test_a_websocket_is_one_request_and_one_in_parallel_until_it_is_closed() -> None:
    sockets = Sockets()
    app = limited(sockets, limit="3/minute; 1 parallel")
    first = asyncio.create_task(socket(app))
    await asyncio.sleep(0)
    refused, _ = await socket(app)
    assert (refused["type"], refused["status"]) == ("websocket.http.response.start", 429)
    sockets.close.set()
    accepted, closed = await first
    assert (accepted["type"], closed["code"]) == ("websocket.accept", 1000)
    assert (b"x-ratelimit-remaining-requests", b"2") in accepted["headers"]
    assert [(await socket(app))[0]["type"] for _ in range(3)] == [
        "websocket.accept",
        "websocket.accept",
        "websocket.http.response.start",
    ]


async def test_a_refusal_says_in_openai_s_words_when_to_come_back() -> None:
    clock = Clock(0.0)
    app = limited(limit="1/minute", store=MemoryLimits(clock=clock))
    await get(app, "/")
    clock.advance(49)
    refusal = await get(app, "/")
    assert refusal.status == 429
    assert refusal.error == {
        "message": "Limit of 1 per 1 minute reached. Please try again in 12s.",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert refusal.header("retry-after") == "12"
    assert refusal.header("retry-after-ms") == "12000"
    assert limit_headers(refusal) == {"limit-requests": "1", "remaining-requests": "0", "reset-requests": "12s"}


async def test_a_wait_is_rounded_up_and_never_0_seconds() -> None:
    clock = Clock(0.0)
    app = limited(limit="1/second", store=MemoryLimits(clock=clock))
    await get(app, "/")
    clock.advance(0.9)
    refusal = await get(app, "/")
    assert refusal.error["message"] == "Limit of 1 per 1 second reached. Please try again in 117ms."
    assert (refusal.header("retry-after"), refusal.header("retry-after-ms")) == ("1", "117")


async def test_every_answer_says_what_is_left() -> None:
    app = limited(limit="2/minute; 100/day")
    assert limit_headers(await get(app, "/")) == {
        "limit-requests": "2",
        "remaining-requests": "1",
        "reset-requests": "1m1s",
    }


async def test_the_draft_of_the_ietf_is_told_when_asked_for() -> None:
    app = limited(limit="2/minute; 3 parallel", ietf=True)
    told = limit_headers(await get(app, "/"))
    assert told["ratelimit-policy"] == (
        '"2 per 1 minute per key";q=2;qu="requests";w=60, "3 parallel requests per key";q=3;qu="concurrent-requests"'
    )
    assert told["ratelimit"] == '"2 per 1 minute per key";r=1;t=61, "3 parallel requests per key";r=2'
    assert "ratelimit" not in limit_headers(await get(limited(), "/"))


async def test_what_the_application_says_of_limits_itself_is_left() -> None:
    async def own(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("", headers={"X-RateLimit-Remaining-Requests": "77"})(scope, receive, send)

    assert limit_headers(await get(limited(own), "/"))["remaining-requests"] == "77"


async def test_a_limiter_inside_another_says_its_own() -> None:
    told = limit_headers(await get(limited(limited(limit="5/minute"), limit="100/minute per address"), "/"))
    assert told["limit-requests"] == "5"


async def test_parallel_requests_are_counted_while_they_run() -> None:
    running, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        running.release()
        await go_on.wait()
        await hello(scope, receive, send)

    app = limited(slow, limit="2 parallel")
    tasks = [asyncio.create_task(get(app, "/")) for _ in range(2)]
    await running.acquire()
    await running.acquire()
    refusal = await get(app, "/")
    assert refusal.error["message"] == "Limit of 2 parallel requests reached. Please try again in 1s."
    go_on.set()
    assert [(await task).status for task in tasks] == [200, 200]
    assert (await get(app, "/")).status == 200


async def test_an_application_that_fails_frees_its_place() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    app = limited(broken, limit="1 parallel")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await get(app, "/")


async def test_addresses_are_counted_apart_and_networks_of_ipv6_together() -> None:
    app = limited(limit="1/minute")

    async def status(client: tuple[str, int] | None) -> int:
        scope = http_scope("GET", "/", client=client)
        return (await Exchange(app, scope, script=body_messages()).run()).status

    asked = [
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.1",
        "::ffff:10.0.0.3",
        "10.0.0.3",
        "2001:db8::1",
        "2001:db8::2",
        "testclient",
    ]
    assert [await status((host, 1)) for host in asked] == [200, 200, 429, 200, 429, 200, 429, 200]
    assert [await status(None), await status(None)] == [200, 429]


async def test_a_forwarded_address_is_not_believed() -> None:
    app = limited(limit="1/minute")
    assert await statuses(app, 1, headers=[(b"x-forwarded-for", b"1.1.1.1")]) == [200]
    assert await statuses(app, 1, headers=[(b"x-forwarded-for", b"2.2.2.2")]) == [429]


async def test_a_host_may_say_whose_count_it_is() -> None:
    def tenant(scope: Scope) -> str | None:
        return dict(scope["headers"]).get(b"x-tenant", b"").decode() or None

    app = limited(limit="1/minute", key=tenant)
    assert await statuses(app, 2, headers=[(b"x-tenant", b"a")]) == [200, 429]
    assert await statuses(app, 2, headers=[(b"x-tenant", b"b")]) == [200, 429]
    assert await statuses(app, 2) == [200, 200]


async def test_without_general_limits_only_a_key_with_limits_of_its_own_is_counted() -> None:
    app = limited(limit=())
    unbound, bound = Principal("a"), Principal("b", limits=("1/minute",))
    assert await statuses(known_as(app, unbound), 2) == [200, 200]
    assert await statuses(known_as(app, bound), 2) == [200, 429]
    assert limit_headers(await get(known_as(app, unbound), "/")) == {}
    assert await statuses(app, 2) == [200, 200]


async def test_what_is_no_http_passes_untouched() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((scope, receive, send))

    scope: Scope = {"type": "of the future"}
    exchange = Exchange(app, scope)
    await limited(app, limit="1/minute")(scope, exchange._receive, exchange._send)
    assert seen == [scope, exchange._receive, exchange._send]
    assert seen[0] is scope
    assert scope == {"type": "of the future"}


async def test_messages_it_does_not_know_pass_untouched() -> None:
    messages: list[Message] = [
        {"type": "http.response.debug", "info": {}},
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.body", "body": b"", "more_body": True},
        {"type": "http.response.trailers", "headers": []},
    ]
    sent: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async def send(message: Any) -> None:
        sent.append(message)

    await limited(app)(http_scope("GET", "/"), Exchange(app, {})._receive, send)
    assert sent[0] is messages[0]
    assert sent[2:] == messages[2:]
    assert sent[1].keys() == {"type", "status", "headers"}


def test_starlette_takes_it_as_it_takes_its_own() -> None:
    def json(request: Request) -> JSONResponse:
        return JSONResponse({})

    app = Starlette(routes=[Route("/", json)], middleware=[Middleware(RateLimitMiddleware, limit="1/minute")])
    with TestClient(app) as client:
        assert [client.get("/").status_code for _ in range(2)] == [200, 429]


class Closing(MemoryLimits):
    connects = 0
    closings = 0

    async def connect(self) -> None:
        self.connects += 1

    async def aclose(self) -> None:
        self.closings += 1


def test_the_lifespan_closes_the_store_that_was_made_here_before_the_host_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = Closing()
    monkeypatch.setattr("xrouter_asgi.middleware.rate_limit.store_at", lambda url: own)
    theirs = Closing()
    stores: tuple[str | Closing, ...] = ("memory://", theirs)
    for store in stores:
        with TestClient(RateLimitMiddleware(Starlette(), limit="1/minute", store=store)):
            assert own.closings == 0 or store is theirs
    assert (own.closings, theirs.closings) == (1, 0)


def test_the_store_is_connected_before_the_host_takes_requests() -> None:
    store = Closing()
    with TestClient(RateLimitMiddleware(Starlette(), limit="1/minute", store=store)):
        assert store.connects == 1


# In front of models


def bound(question: dict[str, Any]) -> int:
    """Tokens that the text of a request may have."""
    return len(json.dumps(question).encode()) // 2


async def ask(app: ASGIApp, **more: Any) -> Answer:
    return await post(app, "/v1/chat/completions", chat(**more))


async def tokens_left(app: ASGIApp) -> int:
    """As the next answer tells it, less what that one reserves."""
    question = chat(max_tokens=1)
    left = limit_headers(await post(app, "/v1/chat/completions", question))["remaining-tokens"]
    return int(left) + bound(question) + 1


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_are_reserved_by_what_may_come_and_settled_by_what_came(stream: bool) -> None:
    app = in_front_of_a_model(limit="1000 tokens/minute")
    question = chat(stream=stream, max_tokens=400, n=2)
    answer = await post(app, "/v1/chat/completions", question)
    assert limit_headers(answer) == {
        "limit-tokens": "1000",
        "remaining-tokens": str(1000 - bound(question) - 800),
        "reset-tokens": "1m1s",
    }
    assert await tokens_left(app) == 1000 - USAGE["total_tokens"]


async def test_embeddings_are_reserved_by_their_input() -> None:
    app = in_front_of_a_model(limit="1000 tokens/minute")
    question = {"model": "scripted", "input": "text"}
    answer = await post(app, "/v1/embeddings", question)
    assert limit_headers(answer)["remaining-tokens"] == str(1000 - bound(question))
    assert await tokens_left(app) == 997


async def test_a_refusal_for_tokens_takes_no_request_and_reaches_no_upstream() -> None:
    provider = ScriptedProvider()
    app = in_front_of_a_model(provider, limit="2/minute; 300 tokens/minute; 1 parallel")
    assert (await ask(app, max_tokens=200)).status == 200
    most = 300 - bound(chat(max_tokens=200))
    refusals = [await ask(app, max_tokens=most) for _ in range(5)]
    assert {refusal.status for refusal in refusals} == {429}
    assert refusals[0].error["type"] == "tokens"
    assert refusals[0].error["message"] == "Limit of 300 tokens per 1 minute reached. Please try again in 61s."
    assert (await ask(app, max_tokens=1)).status == 200
    assert provider.opened == 2


async def test_what_can_never_be_had_is_a_400_and_not_a_429() -> None:
    app = in_front_of_a_model(limit="300 tokens/minute")
    question = chat(max_tokens=300)
    refusal = await post(app, "/v1/chat/completions", question)
    assert (refusal.status, refusal.error["code"]) == (400, "tokens_exceed_limit")
    assert refusal.error["message"] == (
        f"This request may take {bound(question) + 300} tokens, and the limit is 300 tokens per 1 minute. "
        "Send less text, or ask for fewer tokens."
    )
    assert refusal.header("retry-after") is None


async def test_a_mere_guess_never_makes_a_request_impossible() -> None:
    question = chat()
    app = in_front_of_a_model(limit=f"{bound(question)} tokens/minute")
    assert (await post(app, "/v1/chat/completions", question)).status == 200


async def test_output_is_expected_by_what_the_model_said_to_the_key_before() -> None:
    app = in_front_of_a_model(limit="100000 tokens/minute", assumed_output=1)
    question = chat()
    told = [limit_headers(await post(app, "/v1/chat/completions", question)) for _ in range(9)]
    left = [int(each["remaining-tokens"]) for each in told]
    used = USAGE["total_tokens"]
    assert left[7] == 100_000 - 7 * used - bound(question) - 1
    assert left[8] == 100_000 - 8 * used - bound(question) - USAGE["completion_tokens"]


async def test_concurrent_streams_overshoot_by_no_more_than_they_were_underestimated() -> None:
    """Fifty at once on a limit of 100 tokens; what a guess misses is carried into the next window."""
    actual, clock = 90, Clock(0.0)
    usage = {"prompt_tokens": 30, "completion_tokens": actual - 30, "total_tokens": actual}
    go_on = asyncio.Event()
    provider = ScriptedProvider([chunk("text")], go_on, [chunk(finish="stop", usage=usage)])
    app = in_front_of_a_model(provider, limit="100 tokens/minute", assumed_output=10, store=MemoryLimits(clock=clock))
    question = chat(stream=True)
    estimate = bound(question) + 10
    tasks = [asyncio.create_task(post(app, "/v1/chat/completions", question)) for _ in range(50)]
    await provider.reached.wait()
    go_on.set()
    answers = [await task for task in tasks]
    admitted = sum(answer.status == 200 for answer in answers)
    assert {answer.status for answer in answers} == {200, 429}
    assert admitted * actual <= 100 + admitted * (actual - estimate)
    clock.advance(60.9)
    assert (await ask(app)).status == 429
    clock.advance(0.1)
    assert (await ask(app)).status == 200


async def test_limits_of_a_model_stand_in_place_of_general_ones_for_tokens_and_on_top_for_requests() -> None:
    app = in_front_of_a_model(
        limit="3/minute; 3000 tokens/minute", models={"GPT-*": "5000 tokens/minute", "gpt-4": "1/minute"}
    )
    assert limit_headers(await ask(app, model="gpt-3"))["limit-tokens"] == "5000"
    assert limit_headers(await ask(app))["limit-tokens"] == "3000"
    told = limit_headers(await ask(app, model="gpt-4"))
    assert (told["limit-tokens"], told["limit-requests"], told["remaining-requests"]) == ("3000", "3", "0")
    assert (await ask(app, model="gpt-3")).error["message"].startswith("Limit of 3 per 1 minute")


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"max_tokens": 40}, None),
        ({"max_tokens": 40, "n": 2}, None),
        ({"max_tokens": 41}, "output_exceeds_limit"),
        ({"max_completion_tokens": 1, "max_tokens": 41}, "output_exceeds_limit"),
        ({}, "output_exceeds_limit"),
        ({"max_tokens": 40, "n": 3}, "choices_exceed_limit"),
    ],
)
async def test_a_key_bounds_what_one_request_may_ask_for(members: dict[str, int], code: str | None) -> None:
    key = Principal("key", limits=("40 tokens/request; 2 choices/request",))
    answer = await ask(known_as(in_front_of_a_model(limit="9/minute"), key), **members)
    assert answer.status == (200 if code is None else 400)
    assert code is None or answer.error["code"] == code


async def test_embeddings_have_no_output_to_bound() -> None:
    target = Target(ScriptedProvider(), model="*")
    app = limited(LLMRouter({"scripted": target}), limit="40 tokens/request")
    question = {"model": "scripted", "input": "text"}
    assert (await post(app, "/v1/embeddings", question)).status == 200


async def test_no_spelling_of_a_model_passes_its_limits() -> None:
    target = Target(ScriptedProvider(), model="upstream-model")
    app = limited(LLMRouter({"*": target}), limit="2/minute per model", models={"*-Max": "3/minute"})
    assert [(await ask(app, model=model)).status for model in ("one", " ONE", "One ")] == [200, 200, 429]
    asked = ("a-max", "b-Max", " c-MAX ", "d-maX")
    assert [(await ask(app, model=model)).status for model in asked] == [200, 200, 200, 429]


def test_two_models_that_differ_in_case_only_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="Two of these models differ in case only: a, A, b"):
        limited(models={"a": "1/minute", "A": "2/minute", "b": "3/minute"})


async def test_a_limit_per_model_is_one_for_all_callers() -> None:
    app = in_front_of_a_model(limit="1/minute per model")
    asked = [("one", "gpt-3"), ("two", "gpt-3"), ("two", "gpt-4")]
    answers = [await ask(known_as(app, Principal(caller)), model=model) for caller, model in asked]
    assert [answer.status for answer in answers] == [200, 429, 200]


async def test_a_limit_per_all_is_one_for_everybody() -> None:
    app = limited(limit="1/minute per all")
    assert [(await get(known_as(app, Principal(name)), "/")).status for name in "ab"] == [200, 429]


async def test_keys_of_one_owner_share_what_is_per_owner() -> None:
    app = limited(limit="1/minute per owner")
    people = [Principal("a", owner="x"), Principal("b", owner="x"), Principal("c"), Principal("d")]
    assert [(await get(known_as(app, person), "/")).status for person in people] == [200, 429, 200, 200]


async def test_a_key_s_own_limit_stands_in_place_of_the_general_one_of_its_kind() -> None:
    app = limited(limit="1/minute; 3/day")
    rich = known_as(app, Principal("rich", limits=("10/minute",)))
    assert await statuses(rich, 5) == [200, 200, 200, 429, 429]
    assert await statuses(known_as(app, Principal("poor")), 2) == [200, 429]


async def test_a_key_s_unreadable_limit_is_logged_and_the_general_ones_hold(caplog: pytest.LogCaptureFixture) -> None:
    app = known_as(limited(limit="1/minute"), Principal("odd", limits=("many", "5/minute")))
    assert await statuses(app, 2) == [200, 429]
    assert [record.getMessage()[:63] for record in caplog.records] == [
        "The limits of a key are not heeded: The limit 'many' cannot be "
    ]


async def test_a_model_endpoint_that_takes_no_tokens_is_counted_as_a_request_only() -> None:
    app = in_front_of_a_model(limit="2/minute; 1 tokens/minute")
    assert [(await get(app, "/v1/models")).status for _ in range(3)] == [200, 200, 429]


async def test_limiters_of_tokens_may_stand_inside_each_other() -> None:
    inner = in_front_of_a_model(limit="1000 tokens/minute")
    outer = limited(inner, limit="200 tokens/minute per address")
    assert (await ask(outer, max_tokens=100)).status == 200
    assert await tokens_left(inner) == 1000 - USAGE["total_tokens"]
    refusal = await ask(outer, max_tokens=200 - bound(chat(max_tokens=100)))
    assert refusal.error["message"].startswith("Limit of 200 tokens per 1 minute")
    assert await tokens_left(inner) == 1000 - 2 * USAGE["total_tokens"]


# While the shared count is away


class Scripted:
    """A store that answers as it is told."""

    def __init__(self, *reservations: Reservation) -> None:
        self._grants = list(reservations)

    backlog = 0

    async def connect(self) -> None: ...

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        return self._grants.pop(0)

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        """Heeds nothing."""

    async def read(self, charges: Sequence[Charge]) -> Sequence[LimitStatus]:
        return ()

    async def aclose(self) -> None:
        """Has nothing."""


async def test_deciding_alone_is_told_to_the_client_and_once_to_observers() -> None:
    reservations = [Reservation(True), Reservation(True, local=True), Reservation(True, local=True), Reservation(True)]
    events: list[object] = []
    app = limited(store=Scripted(*reservations))

    async def observed(scope: Scope, receive: Receive, send: Send) -> None:
        RequestContext.of(scope).observers.append(events.append)
        await app(scope, receive, send)

    told = [limit_headers(await get(observed, "/")).get("scope") for _ in reservations]
    assert told == [None, "local", "local", None]
    assert list(map(type, events)) == [LimiterDegraded, LimiterRestored]


async def test_a_count_that_cannot_be_made_is_a_503() -> None:
    answer = await get(limited(store=Scripted(Reservation(False, None, 1.0, local=True))), "/")
    assert answer.status == 503
    assert answer.error == {
        "message": "Limits cannot be checked now. Please try again in 1s.",
        "type": "service_unavailable_error",
        "param": None,
        "code": "limiter_unavailable",
    }
    assert answer.header("retry-after") == "1"


async def test_a_caller_in_several_groups_counts_in_each_of_them() -> None:
    app = limited(limit="2/minute per group")
    both, one = Principal("a", groups=("x", "y", "x")), Principal("b", groups=("y",))
    people = [both, one, one, both, Principal("c", groups=("x",)), Principal("d", groups=("x",))]
    # `y` is used up by the third; the fourth is refused for it, and takes nothing of `x`.
    assert [(await get(known_as(app, person), "/")).status for person in people] == [200, 200, 429, 429, 200, 429]


async def test_a_limit_per_group_does_not_concern_a_caller_without_a_group() -> None:
    assert await statuses(known_as(limited(limit="1/minute per group"), Principal("a")), 3) == [200, 200, 200]
