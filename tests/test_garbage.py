"""That a request is freed as soon as it is over, whatever it came to, and not when the collector of cycles comes by."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from starlette.types import ASGIApp, Receive, Scope, Send

from xrouter_asgi import (
    APIKeyMiddleware,
    Call,
    Principal,
    RateLimitMiddleware,
    RequestContext,
    RequestEventsMiddleware,
    TracingMiddleware,
)
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.policies import Candidate, Fallback, Hedge, Retry
from xrouter_asgi.settings import Settings
from xrouter_asgi.standalone import build_router
from xrouter_asgi.wire import ChatChunk, ChatRequest, Document

from . import asgi_client as asgi
from .asgi_client import body_messages, http_scope
from .fakes.http import Exchange, Handler
from .fakes.openai import FakeOpenAI, raw, refuse, stream
from .fakes.openai_answers import chunks
from .scripted import ScriptedProvider, chat

CHAT = b'{"model": "%b", "stream": %b, "messages": [{"role": "user", "content": "one two three"}]}'
FIRST_OF_TWO = chunks({"model": "m", "messages": [{"role": "user", "content": "one two"}]})[:1]


async def late(exchange: Exchange) -> None:
    """Fails after the gateway has begun to watch for its client to leave."""
    await asyncio.sleep(0.05)
    await refuse(503)(exchange)


async def silence(exchange: Exchange) -> None:
    """Nothing, until the gateway has enough of it."""
    await exchange.gone.wait()


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as running:
        yield running


@pytest.fixture
async def app(fake: FakeOpenAI) -> AsyncIterator[ASGIApp]:
    """All skins around a router; whoever calls himself `nobody` is not let in."""
    provider = {"kind": "openai", "base_url": fake.base_url}
    once = {"patience": {"attempts": 1}}
    models = {
        "alone": {"targets": ["a/m"], **once},
        "twice": {"targets": ["a/m"], "patience": {"attempts": 2}},
        "pair": {"targets": ["a/m", "b/m"], **once},
        "hasty": {"targets": ["a/m", "b/m"], "patience": {"first": 0.3}},
        "narrow": {"targets": [{"provider": "a", "model": "m", "max_parallel": 1}], **once},
        "held": {"targets": ["a/m", "b/m"], "patience": {"prebuffer": 0.05}},
        "moved": {"targets": ["a/m", "b/m"], "patience": {"attempts": 1, "prebuffer": 0.05}},
        "limited": {"targets": ["a/m"]},
        "nowhere": {"targets": ["closed/m"], **once},
    }
    closed = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
    router = build_router(
        Settings.parse({"providers": {"a": provider, "b": provider, "closed": closed}, "models": models})
    )

    async def identify(scope: Scope) -> Principal | None:
        return None if (b"authorization", b"Bearer nobody") in scope["headers"] else Principal("somebody")

    limited = RateLimitMiddleware(router, limit="100/minute", models={"limited": "1/minute"})
    known = RequestEventsMiddleware(APIKeyMiddleware(limited, identify=identify), observers=[lambda event: None])
    async with router.lifespan():
        yield TracingMiddleware(known, tracer_provider=TracerProvider())


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Cycles stay where they are, and what was there before is out of sight."""
    gc.freeze()  # hides what other tests left; collecting it would take up to half a second each time
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


async def requests_left() -> int:
    for _ in range(5):
        await asyncio.sleep(0)  # whoever watches for the client to leave has been cancelled, and ends in these rounds
    return sum(type(each) is RequestContext for each in gc.get_objects())


async def status(
    app: ASGIApp, body: bytes, *, key: bytes = b"Bearer somebody", leave_after: int | None = None
) -> int | None:
    scope = http_scope("POST", "/v1/chat/completions", headers=[(b"authorization", key)])
    answer = await asgi.Exchange(app, scope, script=body_messages(body), leave_after=leave_after).run()
    return answer.status if answer.started else None


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(
    ("model", "streamed", "upstream", "wanted"),
    [
        pytest.param(b"alone", False, (), 200, id="answer"),
        pytest.param(b"alone", True, (), 200, id="stream"),
        pytest.param(b"alone", True, (stream(*FIRST_OF_TWO, end=b""),), 200, id="stream that breaks off"),
        pytest.param(b"alone", False, (refuse(500),), 502, id="failure"),
        pytest.param(b"alone", True, (refuse(500),), 502, id="failure of a stream"),
        pytest.param(b"alone", False, (refuse(400),), 400, id="rejection"),
        pytest.param(b"alone", False, (raw(then="reset"),), 502, id="reset"),
        pytest.param(b"alone", False, (late,), 503, id="late failure"),
        pytest.param(b"twice", False, (refuse(500),), 200, id="retry"),
        pytest.param(b"pair", False, (refuse(500),), 200, id="fallback"),
        pytest.param(b"pair", True, (refuse(500), refuse(500)), 502, id="failures"),
        pytest.param(b"hasty", True, (silence,), 200, id="time-out"),
        pytest.param(b"narrow", True, (refuse(500),), 502, id="bounded"),
        pytest.param(b"held", True, (stream(*FIRST_OF_TWO, end=b""),), 200, id="held stream that breaks off"),
        pytest.param(b"moved", True, (stream(*FIRST_OF_TWO, end=b""),), 200, id="held stream that moves on"),
        pytest.param(b"nowhere", False, (), 502, id="refused connection"),
        pytest.param(b"unknown", False, (), 404, id="unknown model"),
    ],
)
async def test_nothing_of_a_request_waits_for_the_collector_of_cycles(
    app: ASGIApp, fake: FakeOpenAI, model: bytes, streamed: bool, upstream: tuple[Handler, ...], wanted: int
) -> None:
    fake.next(*upstream)
    assert await status(app, CHAT % (model, b"true" if streamed else b"false")) == wanted
    await fake.settled()
    assert await requests_left() == 0


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(("key", "wanted"), [(b"Bearer somebody", 429), (b"Bearer nobody", 401)])
async def test_nothing_of_a_refused_request_waits_for_the_collector_of_cycles(
    app: ASGIApp, key: bytes, wanted: int
) -> None:
    body = CHAT % (b"limited", b"false")
    await status(app, body)
    assert await status(app, body, key=key) == wanted
    assert await requests_left() == 0


@pytest.mark.usefixtures("uncollected")
async def test_nothing_of_a_lost_race_waits_for_the_collector_of_cycles() -> None:
    async def lose() -> None:
        first, second = (Retry(ScriptedProvider(UpstreamUnavailable(word)), attempts=1) for word in ("one", "two"))
        hedge = Hedge(first, second=second)
        for _ in range(20):
            hedge._plain.add(60.0)
        race = Call(ChatRequest.of(chat()))
        await Fallback([Candidate(hedge, "a"), Candidate(ScriptedProvider(), "b")]).send(race)
        race.context.release()

    await lose()
    assert await requests_left() == 0


@pytest.mark.usefixtures("uncollected")
async def test_nothing_of_a_malformed_request_waits_for_the_collector_of_cycles(app: ASGIApp) -> None:
    assert await status(app, b'{"model": ') == 400
    assert await requests_left() == 0


@pytest.mark.usefixtures("uncollected")
async def test_nothing_of_a_request_that_breaks_the_application_waits_for_the_collector_of_cycles() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken")

    app = RequestEventsMiddleware(broken, observers=[lambda event: None])
    with pytest.raises(ValueError, match="broken"):
        await asgi.get(TracingMiddleware(app, tracer_provider=TracerProvider()), "/")
    assert await requests_left() == 0


@pytest.mark.usefixtures("uncollected")
async def test_nothing_of_an_abandoned_stream_waits_for_the_collector_of_cycles(app: ASGIApp, fake: FakeOpenAI) -> None:
    fake.next(stream(*FIRST_OF_TWO, hold=asyncio.Event()))
    assert await status(app, CHAT % (b"alone", b"true"), leave_after=2) == 200
    await fake.settled()
    assert await requests_left() == 0


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("model", [b"alone", b"pair", b"narrow", b"hasty"])
async def test_an_open_stream_holds_nothing_of_its_request(app: ASGIApp, fake: FakeOpenAI, model: bytes) -> None:
    """A conversation may have a megabyte, and its answer may take minutes."""
    hold = asyncio.Event()
    fake.next(stream(*FIRST_OF_TWO, hold=hold))
    scope = http_scope("POST", "/v1/chat/completions", headers=[(b"authorization", b"Bearer somebody")])
    exchange = asgi.Exchange(app, scope, script=body_messages(CHAT % (model, b"true")))
    running = asyncio.create_task(exchange.run())
    await exchange.sent(2)
    held = [type(each) for each in gc.get_objects() if isinstance(each, ChatRequest | Document | Call)]
    exchange.leave()
    await running
    assert set(held) <= {ChatChunk}
