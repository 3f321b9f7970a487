from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest
from fastapi import FastAPI
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import NoOpTracerProvider, SpanKind
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.asgi import Exchange, Headers, body_messages, get, http_scope, post
from tests.fakes.openai import FakeOpenAI
from tests.middleware.spans import Recorded
from tests.scripted import ScriptedProvider, chat, chunk, usage_chunk
from xrouter_asgi.context import Principal, RequestContext
from xrouter_asgi.errors import RequestRejected, UpstreamError, UpstreamUnavailable
from xrouter_asgi.middleware.tracing import TracingMiddleware
from xrouter_asgi.providers.base import Call, Provider, Reply
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.router import LLMRouter
from xrouter_asgi.routing import Target
from xrouter_asgi.wire import ChatRequest

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = (b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())
UNSAMPLED = (b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-00".encode())


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def routed(provider: Provider) -> LLMRouter:
    return LLMRouter({"scripted": Target(provider, model="gpt-there")})


def traced(app: ASGIApp, recorded: Recorded, *, propagate: bool = True) -> TracingMiddleware:
    return TracingMiddleware(app, tracer_provider=recorded.provider, propagate=propagate)


def answering(status: int = 200, *, headers: Headers = ()) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"hi"})

    return app


class InOrder:
    """Asks one provider after another, as a fallback does."""

    name = "in order"

    def __init__(self, *inner: Provider) -> None:
        self._inner = inner

    async def send(self, call: Call, /) -> Reply:
        *first, last = self._inner
        for provider in first:
            try:
                return await provider.send(call)
            except UpstreamError:
                continue
        return await last.send(call)

    async def aclose(self) -> None:
        pass


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


# Trees


async def test_a_plain_app_gets_one_server_span(recorded: Recorded) -> None:
    scope = http_scope("GET", "/any/path", query_string=b"key=marked")
    await Exchange(traced(answering(), recorded), scope, script=body_messages()).run()
    assert recorded.tree == ["SERVER GET"]
    attributes = dict(recorded["GET"])
    assert str(attributes.pop("xrouter.request.id")).startswith("req_")
    assert attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/any/path",
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": 8000,
        "client.address": "127.0.0.1",
    }


async def test_a_server_on_a_unix_socket_has_no_port_and_no_client(recorded: Recorded) -> None:
    scope = http_scope("GET", "/", server=("/run/x.sock", None), client=None)
    await Exchange(traced(answering(), recorded), scope, script=body_messages()).run()
    assert recorded["GET"]["server.address"] == "/run/x.sock"
    assert "server.port" not in recorded["GET"]
    assert "client.address" not in recorded["GET"]

    del scope["server"]
    await Exchange(traced(answering(), recorded), scope, script=body_messages()).run()


async def test_a_route_of_the_host_names_the_span(recorded: Recorded) -> None:
    pytest.importorskip("starlette.middleware.opentelemetry", reason="Starlette tells the route from 1.7 on")
    app = Starlette(routes=[Route("/users/{id}", lambda request: PlainTextResponse("hi"))])
    await get(traced(app, recorded), "/users/7")
    assert recorded["GET /users/{id}"]["http.route"] == "/users/{id}"


async def test_a_made_up_method_names_no_span(recorded: Recorded) -> None:
    app = traced(answering(), recorded)
    await Exchange(app, http_scope("BREW", "/"), script=body_messages()).run()
    assert recorded["HTTP"]["http.request.method"] == "_OTHER"


async def test_a_chat_is_a_server_span_a_call_and_an_attempt(recorded: Recorded) -> None:
    provider = ScriptedProvider()
    answer = await post(traced(routed(provider), recorded), "/v1/chat/completions", chat())
    assert answer.status == 200
    assert recorded.tree == ["SERVER POST chat", "  INTERNAL chat scripted", "    CLIENT chat gpt-there"]
    assert recorded["chat scripted"] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "scripted",
        "gen_ai.request.stream": False,
        "gen_ai.response.model": "upstream-model",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 0,
    }
    assert recorded["chat gpt-there"] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "gpt-there",
    }


async def test_the_attempt_is_the_parent_of_what_the_upstream_does(recorded: Recorded) -> None:
    provider = ScriptedProvider()
    await post(traced(routed(provider), recorded), "/v1/chat/completions", chat())
    span = recorded.spans[-1].context
    assert span is not None
    assert provider.calls[0].traceparent == f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


async def test_embeddings_are_called_embeddings(recorded: Recorded) -> None:
    await post(traced(routed(ScriptedProvider()), recorded), "/v1/embeddings", {"model": "scripted", "input": "text"})
    assert recorded.tree == [
        "SERVER POST embeddings",
        "  INTERNAL embeddings scripted",
        "    CLIENT embeddings gpt-there",
    ]


async def test_the_spans_of_a_stream_last_until_its_end(recorded: Recorded) -> None:
    rest = asyncio.Event()
    provider = ScriptedProvider([chunk("a")], rest, [chunk(finish="stop")], [usage_chunk()])
    body = body_messages(b'{"model":"scripted","messages":[{"role":"user","content":"hi"}],"stream":true}')
    scope = http_scope("POST", "/v1/chat/completions")
    exchange = Exchange(traced(routed(provider), recorded), scope, script=body)
    running = asyncio.create_task(exchange.run())
    await exchange.sent(2)
    assert recorded.spans == []
    rest.set()
    await running
    assert recorded.tree == ["SERVER POST chat", "  INTERNAL chat scripted", "    CLIENT chat gpt-there"]
    assert recorded["chat scripted"]["gen_ai.usage.output_tokens"] == 2
    assert recorded["chat scripted"]["gen_ai.request.stream"] is True
    for name in ("chat scripted", "chat gpt-there"):
        first = recorded[name]["gen_ai.response.time_to_first_chunk"]
        assert isinstance(first, float)
        assert first > 0


async def test_an_upstream_that_fails_marks_every_span(recorded: Recorded) -> None:
    provider = ScriptedProvider(UpstreamUnavailable("No.", code="connect_refused"))
    answer = await post(traced(routed(provider), recorded), "/v1/chat/completions", chat())
    assert answer.status == 502
    assert recorded.tree == [
        "SERVER POST chat ERROR",
        "  INTERNAL chat scripted ERROR",
        "    CLIENT chat gpt-there ERROR",
    ]
    for name in ("POST chat", "chat scripted", "chat gpt-there"):
        assert recorded[name]["error.type"] == "connect_refused"
    assert recorded["POST chat"]["http.response.status_code"] == 502


async def test_what_the_upstream_refuses_is_no_failure_of_the_server(recorded: Recorded) -> None:
    provider = ScriptedProvider(RequestRejected("marked words", code="marked_code"))
    answer = await post(traced(routed(provider), recorded), "/v1/chat/completions", chat())
    assert answer.status == 400
    assert recorded.tree[0] == "SERVER POST chat"
    assert "error.type" not in recorded["POST chat"]
    assert recorded["chat gpt-there"]["error.type"] == "request_rejected"


async def test_a_stream_that_breaks_marks_the_server_span_under_its_200(recorded: Recorded) -> None:
    provider = ScriptedProvider([chunk("a")], UpstreamUnavailable("Cut.", code="truncated"))
    answer = await post(traced(routed(provider), recorded), "/v1/chat/completions", chat(stream=True))
    assert answer.status == 200
    assert recorded["POST chat"]["error.type"] == "stream_broken"
    assert recorded.tree[0] == "SERVER POST chat ERROR"


async def test_a_plain_5xx_is_an_error_and_a_4xx_is_none(recorded: Recorded) -> None:
    await get(traced(answering(404), recorded), "/")
    await get(traced(answering(503), recorded), "/")
    assert recorded.tree == ["SERVER GET", "SERVER GET ERROR"]
    failed = recorded.spans[1].attributes
    assert failed is not None
    assert failed["error.type"] == "503"


async def test_each_attempt_has_a_span_and_the_call_names_who_served(recorded: Recorded) -> None:
    broken = Target(ScriptedProvider(UpstreamUnavailable("No."), name="broken"), model="first")
    good = Target(ScriptedProvider(name="good"), model="second")
    app = traced(LLMRouter({"scripted": InOrder(broken, good)}), recorded)
    await post(app, "/v1/chat/completions", chat())
    assert recorded.tree == [
        "SERVER POST chat",
        "  INTERNAL chat scripted",
        "    CLIENT chat first ERROR",
        "    CLIENT chat second",
    ]
    assert recorded["chat first"]["gen_ai.provider.name"] == "broken"
    assert recorded["chat second"]["gen_ai.provider.name"] == "good"
    assert recorded["chat scripted"]["gen_ai.provider.name"] == "good"


async def test_a_client_that_leaves_ends_every_span(recorded: Recorded) -> None:
    provider = ScriptedProvider([chunk("a")], asyncio.Event())
    body = body_messages(b'{"model":"scripted","messages":[{"role":"user","content":"hi"}],"stream":true}')
    scope = http_scope("POST", "/v1/chat/completions")
    await Exchange(traced(routed(provider), recorded), scope, script=body, leave_after=2).run()
    assert recorded.tree == ["SERVER POST chat", "  INTERNAL chat scripted", "    CLIENT chat gpt-there ERROR"]
    assert recorded["chat gpt-there"]["error.type"] == "cancelled"


async def test_a_cancelled_request_ends_every_span(recorded: Recorded) -> None:
    provider = ScriptedProvider(asyncio.Event())
    body = body_messages(b'{"model":"scripted","messages":[{"role":"user","content":"hi"}]}')
    exchange = Exchange(traced(routed(provider), recorded), http_scope("POST", "/v1/chat/completions"), script=body)
    running = asyncio.create_task(exchange.run())
    await provider.reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    for name in ("POST chat", "chat scripted", "chat gpt-there"):
        assert recorded[name]["error.type"] == "cancelled"


async def test_an_attempt_that_nobody_ended_ends_with_the_request(recorded: Recorded) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(ChatRequest.of(chat(stream=True)), context=RequestContext.of(scope))
        await Target(ScriptedProvider(), model="left-open").send(call)
        await answering()(scope, receive, send)

    await get(traced(app, recorded), "/")
    assert recorded.tree == ["SERVER GET", "  INTERNAL chat left-open", "    CLIENT chat left-open"]


async def test_the_principal_is_on_the_server_span(recorded: Recorded) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        RequestContext.of(scope).principal = Principal("key_1")
        await answering()(scope, receive, send)

    await get(traced(app, recorded), "/")
    assert recorded["GET"]["xrouter.principal.id"] == "key_1"


# Hosts


async def test_a_host_that_traces_gets_no_second_server_span(recorded: Recorded) -> None:
    theirs = pytest.importorskip("starlette.middleware.opentelemetry", reason="Starlette has it from 1.7 on")
    inside = traced(routed(ScriptedProvider()), recorded)
    host = Starlette(
        routes=[Mount("/llm", inside)],
        middleware=[Middleware(theirs.OpenTelemetryMiddleware, tracer_provider=recorded.provider)],
    )
    answer = await post(host, "/llm/v1/chat/completions", chat())
    assert answer.header("x-request-id")
    assert recorded.tree == ["SERVER POST /llm", "  INTERNAL chat scripted", "    CLIENT chat gpt-there"]


@pytest.mark.parametrize("mounted", [False, True])
async def test_fastapi_that_traces_itself_gets_no_second_server_span(recorded: Recorded, mounted: bool) -> None:
    pytest.importorskip("fastapi.telemetry", reason="FastAPI has it from 0.142 on")
    host = FastAPI(telemetry={"tracer_provider": recorded.provider, "metrics": False, "logs": False})
    router = routed(ScriptedProvider())
    host.mount("/llm", traced(router, recorded) if mounted else router)
    if not mounted:
        host.add_middleware(TracingMiddleware, tracer_provider=recorded.provider)
    await post(host, "/llm/v1/chat/completions", chat())
    assert [line.rpartition(" ")[0] for line in recorded.tree] == [
        "SERVER POST",
        "  INTERNAL chat",
        "    CLIENT chat",
    ]


async def test_traced_twice_there_is_one_tree(recorded: Recorded) -> None:
    app = traced(traced(routed(ScriptedProvider()), recorded), recorded)
    await post(app, "/v1/chat/completions", chat())
    assert len(recorded.tree) == 3


async def test_a_span_of_another_kind_is_the_parent(recorded: Recorded) -> None:
    with recorded.provider.get_tracer("test").start_as_current_span("outside"):
        await get(traced(answering(), recorded), "/", headers=[PARENT])
    assert recorded.tree == ["INTERNAL outside", "  SERVER GET"]


async def test_spans_of_the_inside_hang_below_and_nothing_stays_current(recorded: Recorded) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with recorded.provider.get_tracer("test").start_as_current_span("inside"):
            await answering()(scope, receive, send)

    before = get_current()
    await get(traced(app, recorded), "/")
    assert recorded.tree == ["SERVER GET", "  INTERNAL inside"]
    assert get_current() == before


async def test_what_comes_after_the_attempts_does_not_hang_below_them(recorded: Recorded) -> None:
    router = routed(ScriptedProvider())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await router(scope, receive, send)
        with recorded.provider.get_tracer("test").start_as_current_span("after"):
            pass

    await post(traced(app, recorded), "/v1/chat/completions", chat())
    assert recorded.tree[-1] == "  INTERNAL after"


async def test_the_trace_id_is_noted_for_the_log(recorded: Recorded) -> None:
    noted = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        noted.append(RequestContext.of(scope).trace_id)
        await answering()(scope, receive, send)

    await get(traced(app, recorded), "/", headers=[PARENT])
    assert noted == [TRACE]


# The context of W3C


async def test_the_trace_of_the_client_goes_on_through_to_the_upstream(recorded: Recorded) -> None:
    provider = ScriptedProvider()
    headers = [PARENT, (b"tracestate", b"a=1"), (b"tracestate", b"b=2")]
    await post(traced(routed(provider), recorded), "/v1/chat/completions", chat(), headers=headers)
    server = recorded.spans[0]
    assert server.parent is not None
    assert server.context is not None
    assert f"{server.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert f"{server.context.trace_id:032x}" == TRACE
    assert server.context.trace_state == {"a": "1", "b": "2"}
    assert (provider.calls[0].traceparent or "").startswith(f"00-{TRACE}-")


async def test_without_propagation_traces_neither_come_in_nor_go_out(recorded: Recorded) -> None:
    provider = ScriptedProvider()
    app = traced(routed(provider), recorded, propagate=False)
    await post(app, "/v1/chat/completions", chat(), headers=[PARENT])
    assert recorded.spans[0].parent is None
    assert provider.calls[0].traceparent is None


@pytest.mark.parametrize("value", [b"", b"garbage", b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01", b"\xff" * 55])
async def test_a_broken_traceparent_begins_a_new_trace(recorded: Recorded, value: bytes) -> None:
    await get(traced(answering(), recorded), "/", headers=[(b"traceparent", value)])
    assert recorded.spans[0].parent is None


async def test_what_is_not_sampled_makes_no_span_and_tells_the_upstream() -> None:
    recorded = Recorded(ParentBased(ALWAYS_OFF))
    provider = ScriptedProvider()
    app = traced(routed(provider), recorded)
    await post(app, "/v1/chat/completions", chat(), headers=[UNSAMPLED])
    assert recorded.spans == []
    traceparent = provider.calls[0].traceparent or ""
    assert traceparent.startswith(f"00-{TRACE}-")
    assert traceparent.endswith("-00")


async def test_http_spans_of_httpx_hang_below_the_attempt_and_no_baggage_goes_upstream(recorded: Recorded) -> None:
    instrument = partial(AsyncOpenTelemetryTransport, tracer_provider=recorded.provider)
    token = attach(baggage.set_baggage("user", "marked", Context()))
    try:
        async with FakeOpenAI() as fake:
            router = routed(OpenAIProvider(fake.base_url, instrument=instrument))
            await post(traced(router, recorded), "/v1/chat/completions", chat(stream=True))
            headers = fake.requests[0].headers
            await router.aclose()
    finally:
        detach(token)
    *_, line = recorded.tree
    assert line == "      CLIENT POST"
    span = recorded.spans[-1].context
    assert span is not None
    assert headers["traceparent"].split("-")[2] == f"{span.span_id:016x}"
    assert "baggage" not in headers


# Harmless


async def test_without_a_provider_there_are_ids_and_no_spans() -> None:
    provider = ScriptedProvider()
    for given in (None, NoOpTracerProvider()):
        app = TracingMiddleware(routed(provider), tracer_provider=given)
        answer = await post(app, "/v1/chat/completions", chat(), headers=[PARENT])
        assert answer.header("x-request-id")
    assert [call.traceparent for call in provider.calls] == [None, None]
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
    recorded: Recorded, caplog: pytest.LogCaptureFixture, at: str
) -> None:
    recorded.provider.add_span_processor(Failing(at))
    before = get_current()
    answer = await post(traced(routed(ScriptedProvider()), recorded), "/v1/chat/completions", chat())
    assert answer.status == 200
    assert get_current() == before
    assert "A span could not be" in caplog.text


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
    assert recorded.spans[0].kind is SpanKind.SERVER


# Secrets


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_no_span_holds_a_secret(recorded: Recorded, stream: bool, fails: bool) -> None:
    steps = [UpstreamUnavailable("marked message", detail="marked detail")] if fails else []
    app = traced(routed(ScriptedProvider(*steps)), recorded)
    messages = [{"role": "user", "content": "marked prompt"}]
    body = chat(stream=stream, messages=messages, user="marked user")
    scope = http_scope(
        "POST",
        "/v1/chat/completions",
        headers=[(b"authorization", b"Bearer marked"), (b"cookie", b"marked")],
        query_string=b"key=marked",
    )
    await Exchange(app, scope, script=body_messages(json.dumps(body).encode())).run()
    assert len(recorded.spans) == 3
    for span in recorded.spans:
        assert "marked" not in span.to_json()
        assert span.events == ()
    assert "marked" not in repr(app)
