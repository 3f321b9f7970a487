from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import NoOpTracerProvider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.asgi_client import Exchange, body_messages, get, http_scope, post
from tests.middleware.spans import Recorded, RecordedBySDK, RecordedByUs
from tests.middleware.traced import PARENT, answering, routed, traced
from tests.scripted import ScriptedProvider, chat
from xrouter_asgi.middleware.tracing import TracingMiddleware
from xrouter_asgi.telemetry import Collector, OTLPTracer, otlp_tracer

# The id


async def test_any_answer_bears_an_id(recorded: Recorded) -> None:
    for status in (200, 401, 429, 500):
        answer = await get(traced(answering(status), recorded), "/")
        assert (answer.header("x-request-id") or "").startswith("req_")


async def test_a_well_formed_id_of_the_client_comes_back(recorded: Recorded) -> None:
    answer = await get(traced(answering(), recorded), "/", headers=[(b"x-request-id", b"mine-1")])
    assert answer.header("x-request-id") == "mine-1"
    answer = await get(traced(answering(), recorded), "/", headers=[(b"x-request-id", b"not mine")])
    assert (answer.header("x-request-id") or "").startswith("req_")


async def test_an_id_that_the_inside_set_is_left_alone(recorded: Recorded) -> None:
    answer = await get(traced(answering(headers=[(b"x-request-id", b"theirs")]), recorded), "/")
    assert answer.header("x-request-id") == "theirs"


async def test_an_answer_without_headers_gets_the_id(recorded: Recorded) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    assert (await get(traced(app, recorded), "/")).header("x-request-id")


async def test_the_500_of_a_host_for_an_exception_bears_the_id(recorded: Recorded) -> None:
    def fail(request: Request) -> PlainTextResponse:
        raise LookupError("marked")

    app = traced(Starlette(routes=[Route("/", fail)]), recorded)
    exchange = Exchange(app, http_scope("GET", "/"), script=body_messages())
    with pytest.raises(LookupError):
        await exchange.run()
    assert exchange.answer.status == 500
    assert exchange.answer.header("x-request-id")
    (span,) = recorded.spans
    assert recorded.tree == [f"SERVER {span.name} ERROR"]
    assert recorded[span.name]["error.type"] == "LookupError"


# Harmless


async def test_without_a_provider_there_are_ids_and_no_spans() -> None:
    provider = ScriptedProvider()
    for given in (None, NoOpTracerProvider()):
        app = TracingMiddleware(routed(provider), tracer_provider=given)
        answer = await post(app, "/v1/chat/completions", chat(), headers=[PARENT])
        assert answer.header("x-request-id")
    assert [call.trace_headers for call in provider.calls] == [(), ()]
    assert not trace.get_current_span().get_span_context().is_valid


class Failing(SpanProcessor):
    """Raises at the begin or at the end of spans."""

    def __init__(self, at: str) -> None:
        self._at = at

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if self._at == "start":
            raise RuntimeError("broken")

    def on_end(self, span: ReadableSpan) -> None:
        if self._at == "end":
            raise RuntimeError("broken")


@pytest.mark.parametrize("at", ["start", "end"])
async def test_a_broken_span_processor_breaks_no_request(
    by_sdk: RecordedBySDK, caplog: pytest.LogCaptureFixture, at: str
) -> None:
    by_sdk.provider.add_span_processor(Failing(at))
    before = get_current()
    answer = await post(traced(routed(ScriptedProvider()), by_sdk), "/v1/chat/completions", chat())
    assert answer.status == 200
    assert get_current() == before
    assert "A span could not be" in caplog.text


async def test_a_span_that_cannot_be_made_breaks_no_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = RecordedByUs()
    monkeypatch.setattr(otlp_tracer, "attributes", None)
    answer = await post(traced(routed(ScriptedProvider()), recorded), "/v1/chat/completions", chat())
    assert answer.status == 200
    assert caplog.messages[-1] == "A span could not be ended"


def test_two_tracers_are_one_too_many(by_sdk: RecordedBySDK) -> None:
    tracer = OTLPTracer(Collector())
    with pytest.raises(ValueError, match="not both"):
        TracingMiddleware(answering(), tracer=tracer, tracer_provider=by_sdk.provider)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        OTLPTracer(Collector(), share=share)


async def test_a_lifespan_goes_through_untouched(recorded: Recorded) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    scope = {"type": "lifespan"}
    await Exchange(traced(app, recorded), scope).run()
    assert seen[0] is scope
    assert scope == {"type": "lifespan"}


async def test_the_scope_of_the_host_is_not_changed(recorded: Recorded) -> None:
    scope = http_scope("GET", "/")
    before = dict(scope)
    await Exchange(traced(answering(), recorded), scope, script=body_messages()).run()
    assert scope == before


# WebSockets


async def websocket(app: ASGIApp, *script: Message) -> list[Message]:
    scope = {**http_scope("GET", "/ws"), "type": "websocket", "scheme": "ws"}
    del scope["method"]
    messages = iter(script)
    sent: list[Message] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def replying(*messages: Message) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


REFUSAL: Message = {"type": "websocket.http.response.start", "status": 401, "headers": []}


@pytest.mark.parametrize(
    ("messages", "status", "has_id"),
    [
        ([{"type": "websocket.accept"}, {"type": "websocket.close"}], 101, True),
        ([{"type": "websocket.close", "code": 1008}], 403, False),  # the server makes this answer
        ([REFUSAL, {"type": "websocket.http.response.body", "body": b"no"}], 401, True),
    ],
)
async def test_a_websocket_is_one_span(recorded: Recorded, messages: list[Message], status: int, has_id: bool) -> None:
    sent = await websocket(traced(replying(*messages), recorded))
    assert recorded["GET"]["http.response.status_code"] == status
    assert recorded["GET"]["url.scheme"] == "ws"
    assert any(name == b"x-request-id" for name, _ in sent[0].get("headers", ())) == has_id
    assert sent[1:] == messages[1:]
    assert recorded.spans[0].kind == "SERVER"
