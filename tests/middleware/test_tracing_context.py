from __future__ import annotations

from functools import partial

import pytest
from fastapi import FastAPI
from opentelemetry import baggage
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from tests.asgi_client import get, post
from tests.middleware.spans import Recorded
from tests.middleware.traced import PARENT, TRACE, answering, routed, traced, traceparent_of
from xrouter_asgi.context import RequestContext
from xrouter_asgi.middleware.tracing import TracingMiddleware
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.testing.openai import FakeOpenAI
from xrouter_asgi.testing.scripted import ScriptedProvider, chat

UNSAMPLED = (b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-00".encode())


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
    assert traceparent_of(provider.calls[0]).startswith(f"00-{TRACE}-")


async def test_without_propagation_traces_neither_come_in_nor_go_out(recorded: Recorded) -> None:
    provider = ScriptedProvider()
    app = traced(routed(provider), recorded, propagate=False)
    await post(app, "/v1/chat/completions", chat(), headers=[PARENT])
    assert recorded.spans[0].parent is None
    assert provider.calls[0].trace_headers == ()


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
    traceparent = traceparent_of(provider.calls[0])
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
