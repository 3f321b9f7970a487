from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from fastapi import FastAPI
from opentelemetry import baggage
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from tests.asgi_client import get, post
from tests.fakes.openai import FakeOpenAI
from tests.middleware.spans import Recorded, RecordedBySDK, RecordedByUs
from tests.middleware.traced import PARENT, TRACE, answering, routed, traced, traceparent_of
from tests.scripted import ScriptedProvider, chat
from xrouter_asgi.context import RequestContext
from xrouter_asgi.middleware.tracing import TracingMiddleware
from xrouter_asgi.providers.openai import OpenAIProvider

UNSAMPLED = (b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-00".encode())


# Hosts


async def test_a_host_that_traces_gets_no_second_server_span(by_sdk: RecordedBySDK) -> None:
    theirs = pytest.importorskip("starlette.middleware.opentelemetry", reason="Starlette has it from 1.7 on")
    inside = traced(routed(ScriptedProvider()), by_sdk)
    host = Starlette(
        routes=[Mount("/llm", inside)],
        middleware=[Middleware(theirs.OpenTelemetryMiddleware, tracer_provider=by_sdk.provider)],
    )
    answer = await post(host, "/llm/v1/chat/completions", chat())
    assert answer.header("x-request-id")
    assert by_sdk.tree == ["SERVER POST /llm", "  CLIENT chat gpt-there"]


@pytest.mark.parametrize("mounted", [False, True])
async def test_fastapi_that_traces_itself_gets_no_second_server_span(by_sdk: RecordedBySDK, mounted: bool) -> None:
    pytest.importorskip("fastapi.telemetry", reason="FastAPI has it from 0.142 on")
    host = FastAPI(telemetry={"tracer_provider": by_sdk.provider, "metrics": False, "logs": False})
    router = routed(ScriptedProvider())
    host.mount("/llm", traced(router, by_sdk) if mounted else router)
    if not mounted:
        host.add_middleware(TracingMiddleware, tracer_provider=by_sdk.provider)
    await post(host, "/llm/v1/chat/completions", chat())
    assert [line.rpartition(" ")[0] for line in by_sdk.tree] == ["SERVER POST", "  CLIENT chat"]
    assert by_sdk.spans[0].attributes["gen_ai.usage.output_tokens"] == 2


async def test_a_span_of_another_kind_is_the_parent(by_sdk: RecordedBySDK) -> None:
    with by_sdk.provider.get_tracer("test").start_as_current_span("outside"):
        await get(traced(answering(), by_sdk), "/", headers=[PARENT])
    assert by_sdk.tree == ["INTERNAL outside", "  SERVER GET"]


async def test_spans_of_the_inside_hang_below_and_nothing_stays_current(by_sdk: RecordedBySDK) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with by_sdk.provider.get_tracer("test").start_as_current_span("inside"):
            await answering()(scope, receive, send)

    before = get_current()
    await get(traced(app, by_sdk), "/")
    assert by_sdk.tree == ["SERVER GET", "  INTERNAL inside"]
    assert get_current() == before


async def test_what_comes_after_the_attempts_does_not_hang_below_them(by_sdk: RecordedBySDK) -> None:
    router = routed(ScriptedProvider())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await router(scope, receive, send)
        with by_sdk.provider.get_tracer("test").start_as_current_span("after"):
            pass

    await post(traced(app, by_sdk), "/v1/chat/completions", chat())
    assert by_sdk.tree[-1] == "  INTERNAL after"


async def test_traced_twice_there_is_one_tree(recorded: Recorded) -> None:
    app = traced(traced(routed(ScriptedProvider()), recorded), recorded)
    await post(app, "/v1/chat/completions", chat())
    assert len(recorded.tree) == 2


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
    assert (server.trace_id, server.parent_id, server.state) == (TRACE, "00f067aa0ba902b7", "a=1,b=2")
    assert traceparent_of(provider.calls[0]).startswith(f"00-{TRACE}-")


async def test_without_propagation_traces_neither_come_in_nor_go_out(recorded: Recorded) -> None:
    provider = ScriptedProvider()
    app = traced(routed(provider), recorded, propagate=False)
    await post(app, "/v1/chat/completions", chat(), headers=[PARENT])
    assert recorded.spans[0].parent_id is None
    assert provider.calls[0].trace_headers == ()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"garbage",
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        b"00-" + TRACE.encode() + b"-" + b"0" * 16 + b"-01",
        b"ff-" + TRACE.encode() + b"-00f067aa0ba902b7-01",
        b"00-" + TRACE.encode() + b"-00f067aa0ba902b7-01-more",
        b"00-" + TRACE.upper().encode() + b"-00f067aa0ba902b7-01",
        b"\xff" * 55,
    ],
)
async def test_a_broken_traceparent_begins_a_new_trace(recorded: Recorded, value: bytes) -> None:
    await get(traced(answering(), recorded), "/", headers=[(b"traceparent", value)])
    assert recorded.spans[0].parent_id is None


async def test_a_traceparent_of_a_later_version_is_understood(recorded: Recorded) -> None:
    value = f"01-{TRACE}-00f067aa0ba902b7-09-more".encode()
    await get(traced(answering(), recorded), "/", headers=[(b"traceparent", value)])
    assert (recorded.spans[0].trace_id, recorded.spans[0].parent_id) == (TRACE, "00f067aa0ba902b7")


async def test_a_tracestate_that_is_too_long_is_left_out(recorded: Recorded) -> None:
    state = ",".join(f"k{number}=v" for number in range(100)).encode()
    await get(traced(answering(), recorded), "/", headers=[PARENT, (b"tracestate", state)])
    assert recorded.spans[0].trace_id == TRACE
    assert recorded.spans[0].state == ""


BOTH = pytest.mark.parametrize("make", [RecordedByUs, RecordedBySDK], ids=["own", "sdk"])
Make = Callable[[float], Recorded]


@BOTH
@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_what_the_client_does_not_sample_makes_no_span_and_tells_the_upstream(make: Make, share: float) -> None:
    recorded = make(share)
    provider = ScriptedProvider()
    app = traced(routed(provider), recorded)
    await post(app, "/v1/chat/completions", chat(), headers=[UNSAMPLED])
    assert recorded.spans == []
    traceparent = traceparent_of(provider.calls[0])
    assert traceparent.startswith(f"00-{TRACE}-")
    assert traceparent.endswith("-00")


@BOTH
async def test_what_the_client_samples_is_sampled_whatever_our_share(make: Make) -> None:
    recorded = make(0.0)
    await get(traced(answering(), recorded), "/", headers=[PARENT])
    assert recorded.tree == ["SERVER GET"]


@BOTH
async def test_of_no_share_no_trace_that_begins_here_is_sampled(make: Make) -> None:
    recorded = make(0.0)
    provider = ScriptedProvider()
    noted = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await routed(provider)(scope, receive, send)
        noted.append(RequestContext.of(scope).trace_id)

    await post(traced(app, recorded), "/v1/chat/completions", chat())
    assert recorded.spans == []
    _, trace_id, _, flags = traceparent_of(provider.calls[0]).split("-")
    assert (trace_id, int(flags) & 1) == (noted[0], 0)


@BOTH
async def test_a_share_is_of_the_ids_so_that_services_sample_the_same_traces(make: Make) -> None:
    recorded = make(0.25)
    app = traced(answering(), recorded)
    for _ in range(200):
        await get(app, "/")
    assert 0 < len(recorded.spans) < 200
    assert max(int(span.trace_id[16:], 16) for span in recorded.spans) < 2**62


@BOTH
async def test_without_propagation_what_is_not_sampled_goes_out_without_headers(make: Make) -> None:
    provider = ScriptedProvider()
    await post(traced(routed(provider), make(0.0), propagate=False), "/v1/chat/completions", chat(), headers=[PARENT])
    assert provider.calls[0].trace_headers == ()


async def test_http_spans_of_httpx_hang_below_the_attempt_and_no_baggage_goes_upstream(by_sdk: RecordedBySDK) -> None:
    instrument = partial(AsyncOpenTelemetryTransport, tracer_provider=by_sdk.provider)
    token = attach(baggage.set_baggage("user", "marked", Context()))
    try:
        async with FakeOpenAI() as fake:
            router = routed(OpenAIProvider(fake.base_url, instrument=instrument))
            await post(traced(router, by_sdk), "/v1/chat/completions", chat(stream=True))
            headers = fake.requests[0].headers
            await router.aclose()
    finally:
        detach(token)
    *_, line = by_sdk.tree
    assert line == "    CLIENT POST"
    assert headers["traceparent"].split("-")[2] == by_sdk.spans[-1].span_id
    assert "baggage" not in headers
