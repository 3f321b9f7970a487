from __future__ import annotations

import asyncio
import json
import time

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.asgi_client import Exchange, body_messages, get, http_scope, post
from tests.middleware.spans import Recorded
from tests.middleware.traced import answering, routed, traced, traceparent_of
from tests.scripted import ScriptedProvider, chat, chunk, usage_chunk
from xrouter_asgi.context import Principal, RequestContext
from xrouter_asgi.errors import RateLimitExceeded, RequestRejected, UpstreamError, UpstreamUnavailable
from xrouter_asgi.providers.base import Call, Provider, Reply
from xrouter_asgi.providers.target import Target, Wrapper
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.wire import ChatRequest


class InOrder(Wrapper):
    """A policy of a user's own: it asks one provider after another."""

    def __init__(self, *inner: Provider) -> None:
        super().__init__(inner[0])
        self._inner = inner

    async def send(self, call: Call, /) -> Reply:
        *first, last = self._inner
        for provider in first:
            try:
                return await provider.send(call)
            except UpstreamError:
                continue
        return await last.send(call)


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


async def test_a_chat_is_a_server_span_and_an_attempt(recorded: Recorded) -> None:
    provider = ScriptedProvider()
    answer = await post(traced(routed(provider), recorded), "/v1/chat/completions", chat())
    assert answer.status == 200
    assert recorded.tree == ["SERVER POST chat", "  CLIENT chat gpt-there"]
    asked = {name: value for name, value in recorded["POST chat"].items() if name.startswith("gen_ai.")}
    assert asked == {
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
    span = recorded.spans[-1]
    version, trace_id, span_id, flags = traceparent_of(provider.calls[0]).split("-")
    assert (version, trace_id, span_id, int(flags) & 1) == ("00", span.trace_id, span.span_id, 1)


async def test_embeddings_are_called_embeddings(recorded: Recorded) -> None:
    await post(traced(routed(ScriptedProvider()), recorded), "/v1/embeddings", {"model": "scripted", "input": "text"})
    assert recorded.tree == ["SERVER POST embeddings", "  CLIENT embeddings gpt-there"]


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
    assert recorded.tree == ["SERVER POST chat", "  CLIENT chat gpt-there"]
    assert recorded["POST chat"]["gen_ai.usage.output_tokens"] == 2
    assert recorded["POST chat"]["gen_ai.request.stream"] is True
    for name in ("POST chat", "chat gpt-there"):
        first = recorded[name]["gen_ai.response.time_to_first_chunk"]
        assert isinstance(first, float)
        assert first > 0


async def test_an_upstream_that_fails_marks_every_span(recorded: Recorded) -> None:
    provider = ScriptedProvider(UpstreamUnavailable("No.", code="connect_refused"))
    answer = await post(traced(routed(provider), recorded), "/v1/chat/completions", chat())
    assert answer.status == 502
    assert recorded.tree == ["SERVER POST chat ERROR", "  CLIENT chat gpt-there ERROR"]
    for name in ("POST chat", "chat gpt-there"):
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
    assert recorded.spans[1].attributes["error.type"] == "503"


async def test_each_attempt_has_a_span_and_the_servers_names_who_served(recorded: Recorded) -> None:
    broken = Target(ScriptedProvider(UpstreamUnavailable("No."), name="broken"), model="first")
    good = Target(ScriptedProvider(name="good"), model="second")
    app = traced(LLMRouter({"scripted": InOrder(broken, good)}), recorded)
    await post(app, "/v1/chat/completions", chat())
    assert recorded.tree == ["SERVER POST chat", "  CLIENT chat first ERROR", "  CLIENT chat second"]
    assert recorded["chat first"]["gen_ai.provider.name"] == "broken"
    assert recorded["chat second"]["gen_ai.provider.name"] == "good"
    assert recorded["POST chat"]["gen_ai.provider.name"] == "good"


async def test_a_client_that_leaves_ends_every_span(recorded: Recorded) -> None:
    provider = ScriptedProvider([chunk("a")], asyncio.Event())
    body = body_messages(b'{"model":"scripted","messages":[{"role":"user","content":"hi"}],"stream":true}')
    scope = http_scope("POST", "/v1/chat/completions")
    await Exchange(traced(routed(provider), recorded), scope, script=body, leave_after=2).run()
    assert recorded.tree == ["SERVER POST chat", "  CLIENT chat gpt-there ERROR"]
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
    for name in ("POST chat", "chat gpt-there"):
        assert recorded[name]["error.type"] == "cancelled"


async def test_an_attempt_that_nobody_ended_ends_with_the_request(recorded: Recorded) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(ChatRequest.of(chat(stream=True)), context=RequestContext.of(scope))
        await Target(ScriptedProvider(), model="left-open").send(call)
        await answering()(scope, receive, send)

    await get(traced(app, recorded), "/")
    assert recorded.tree == ["SERVER GET", "  CLIENT chat left-open"]
    server, attempt = recorded.spans
    assert server.began <= attempt.began <= attempt.ended <= server.ended


async def test_a_refused_request_names_its_model_and_what_refused_it(recorded: Recorded) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        context = RequestContext.of(scope)
        context.model = "m" * 1000
        context.fail(RateLimitExceeded("No."))
        await answering(429)(scope, receive, send)

    await get(traced(app, recorded), "/")
    assert recorded["GET"]["gen_ai.request.model"] == "m" * 256
    assert recorded.tree == ["SERVER GET"]


async def test_times_are_those_of_the_clock_on_the_wall(recorded: Recorded) -> None:
    before = time.time_ns()
    await post(traced(routed(ScriptedProvider()), recorded), "/v1/chat/completions", chat())
    server, attempt = recorded.spans
    slack = 1_000_000  # ns between two readings of two clocks
    assert before - slack < server.began <= attempt.began <= attempt.ended <= server.ended < time.time_ns() + slack


async def test_the_principal_is_on_the_server_span(recorded: Recorded) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        RequestContext.of(scope).principal = Principal("key_1")
        await answering()(scope, receive, send)

    await get(traced(app, recorded), "/")
    assert recorded["GET"]["xrouter.principal.id"] == "key_1"


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
    assert len(recorded.spans) == 2
    for span in recorded.spans:
        assert "marked" not in span.text
    assert "marked" not in repr(app)
