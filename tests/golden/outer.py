"""The middlewares around the router, and what they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from xrouter_asgi import (
    AccessLog,
    APIKey,
    APIKeyMiddleware,
    LLMRouter,
    MemoryLimits,
    Principal,
    RateLimitMiddleware,
    RequestEventsMiddleware,
    StaticKeys,
    Target,
    TracingMiddleware,
)
from xrouter_asgi.testing.clock import Clock

from .chat import EXPLAIN
from .house import ANSWER, CHAT, EMBEDDINGS, FIRST, House, completion, hello, routed, streamed
from .recording import ID, Ask, Case, Make, Tape, get, post
from .streams import LOST, WITH_USAGE

KEYS = {
    "anna-secret": APIKey("key_anna0001", owner="anna"),
    "boris-secret": APIKey("key_boris001", owner="boris", scopes=frozenset({"chat"}), models=("m", "team/*")),
    "vera-secret": APIKey("key_vera0001", scopes=frozenset({"models", "explain"}), limits=("1/minute",)),
    "gone-secret": APIKey("key_gone0001", active=False),
}
ANNA, BORIS, VERA = (("authorization", f"Bearer {name}-secret") for name in ("anna", "boris", "vera"))
WEBSOCKET = {"type": "websocket", "subprotocols": []}
ANSWERING = {**WEBSOCKET, "extensions": {"websocket.http.response": {}}}


def _router() -> LLMRouter:
    house = Target(House(completion()), model="house-1")
    return LLMRouter({"m": house, "other": house, "team/a": house}, explain=True)


def keyed(app: ASGIApp, **options: Any) -> ASGIApp:
    return APIKeyMiddleware(app, store=StaticKeys(KEYS), exclude_paths=["/health"], **options)


def limited(app: ASGIApp, limit: str, **options: Any) -> ASGIApp:
    return RateLimitMiddleware(app, limit=limit, store=MemoryLimits(clock=Clock()), **options)


def logged(tape: Tape, app: ASGIApp) -> ASGIApp:
    return RequestEventsMiddleware(app, observers=[AccessLog(tape.log, readable=False)])


def onion(says: House, limit: str = "3/minute; 5000 tokens/minute; 2 parallel") -> Make:
    """All of them, in their order."""
    return lambda tape: TracingMiddleware(logged(tape, keyed(limited(routed(says), limit))))


def _identified(found: Principal | None) -> Make:
    return lambda tape: APIKeyMiddleware(_router(), identify=lambda scope: found)


def _defective(tape: Tape) -> ASGIApp:
    def identify(scope: Mapping[str, Any]) -> Principal:
        raise RuntimeError("secret")

    return APIKeyMiddleware(_router(), identify=identify)


async def _host(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that knows nothing of any of this."""
    await send({"type": "http.response.start", "status": 204, "headers": [(b"x-host", b"1")]})
    await send({"type": "http.response.body"})


LIMITS = "2/minute; 300 tokens/minute"
WRONG = [("authorization", "Bearer wrong"), ("x-api-key", "wrong"), ("authorization", "Basic YTpi")]
WRONG += [("authorization", "Bearer gone-secret"), ("authorization", "Bearer ")]

CASES = [
    # Who is calling.
    Case("key-missing", lambda tape: keyed(_router()), [post(CHAT, hello()), get("/v1/models"), get("/nowhere")]),
    Case(
        "key-wrong",
        lambda tape: keyed(_router()),
        [*(post(CHAT, hello(), each) for each in WRONG), post(CHAT, hello(), ANNA, ("x-api-key", "other"))],
    ),
    Case("key-wrong-too-often", lambda tape: keyed(_router()), [post(CHAT, {}, WRONG[0])] * 6),
    Case(
        "key-right",
        lambda tape: keyed(_router()),
        [post(CHAT, hello(), ANNA), post(CHAT, hello(), ("x-api-key", "anna-secret")), get("/health")],
    ),
    Case(
        "key-without-the-scope",
        lambda tape: keyed(_router()),
        [post(EMBEDDINGS, {"model": "m", "input": "Hi"}, BORIS), get("/v1/models", BORIS), post(CHAT, hello(), VERA)],
    ),
    Case("key-without-a-scope-of-the-host", lambda tape: keyed(_router(), scopes=["chat"]), [get("/v1/models", VERA)]),
    Case(
        "key-without-the-model",
        lambda tape: keyed(_router()),
        [post(CHAT, hello(model="other"), BORIS), post(CHAT, hello(model="nobody"), BORIS)],
    ),
    Case(
        "key-explained",
        lambda tape: keyed(_router()),
        [post(CHAT, hello(), BORIS, EXPLAIN), post(CHAT, hello(), ANNA, EXPLAIN)],
    ),
    Case(
        "key-for-some-models",
        _identified(Principal("boris", models=("m", "team/*"))),
        [get("/v1/models"), get("/v1/models/other"), get("/v1/models/team/a")],
    ),
    Case("key-of-nobody", _identified(None), [post(CHAT, hello())]),
    Case("key-that-cannot-be-checked", _defective, [post(CHAT, hello())]),
    Case(
        "websocket",
        lambda tape: _router(),
        [Ask("GET", "/v1/realtime", scope=WEBSOCKET)],
    ),
    Case(
        "websocket-without-a-key",
        lambda tape: keyed(_router()),
        [Ask("GET", "/v1/realtime", scope=scope) for scope in (WEBSOCKET, ANSWERING)],
    ),
    # How much.
    Case("limit-of-requests", lambda tape: limited(_router(), LIMITS), [get("/health")] * 3),
    Case("limit-of-tokens", lambda tape: limited(_router(), LIMITS), [post(CHAT, hello(max_tokens=200))] * 2),
    Case("limit-of-one-request", lambda tape: limited(_router(), LIMITS), [post(CHAT, hello(max_tokens=300))]),
    Case(
        "limit-of-tokens-settled",
        lambda tape: limited(routed(House(ANSWER)), "9/minute; 1000 tokens/minute"),
        [post(CHAT, streamed(max_tokens=500, **WITH_USAGE))] * 2,
    ),
    Case(
        "limit-of-a-model",
        lambda tape: limited(_router(), "9/minute", models={"team/*": "1/hour"}),
        [post(CHAT, hello(model="team/a"))] * 2,
    ),
    Case("limit-with-fields-of-the-ietf", lambda tape: limited(_router(), LIMITS, ietf=True), [get("/health")] * 3),
    Case(
        "limit-of-a-key",
        lambda tape: keyed(limited(_router(), LIMITS)),
        [get("/v1/models", VERA), get("/v1/models", VERA), get("/v1/models", ANNA)],
    ),
    # All together.
    Case("onion", onion(House(completion())), [post(CHAT, hello(), ANNA), get("/v1/models/m", ANNA)]),
    Case("onion-stream", onion(House(ANSWER)), [post(CHAT, streamed(**WITH_USAGE), ANNA)]),
    Case("onion-stream-broken", onion(House([[FIRST], LOST])), [post(CHAT, streamed(), ANNA)]),
    Case(
        "onion-refusals",
        onion(House(completion()), "2/minute"),
        [
            post(CHAT, hello()),
            post(CHAT, b"{", ANNA),
            post(CHAT, hello(temperature=3), ANNA),
            post(CHAT, hello(), ANNA),
            Ask("GET", "/v1/realtime", headers=[ID], scope=WEBSOCKET),
        ],
    ),
    Case("onion-around-a-host", lambda tape: TracingMiddleware(logged(tape, limited(_host, LIMITS))), [get("/")]),
]
