"""Spans on their way from a request to a collector; what they say is tested with `TracingMiddleware`."""

from __future__ import annotations

import asyncio
import json
import logging
import socket

import pytest

from tests.asgi_client import get, post
from tests.fakes.http import Exchange, Server
from tests.scripted import ScriptedProvider, chat
from tests.telemetry.collecting import Collecting, refusing
from xrouter_asgi import LLMRouter, OTLPTracer, Target, TracingMiddleware
from xrouter_asgi.telemetry import Collector, collector, span_exporter

SPAN = json.dumps(
    {
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "spanId": "00f067aa0ba902b7",
        "name": "a",
        "kind": 2,
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": [],
    }
)


def router() -> LLMRouter:
    return LLMRouter({"scripted": Target(ScriptedProvider(), model="there")})


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(span_exporter, "DELAY", 0.01)


async def test_spans_come_to_the_collector_as_the_specification_wants() -> None:
    taking = Collecting()
    parent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = [(b"traceparent", parent), (b"tracestate", b"a=1")]
    async with Server(taking) as server:
        resource = {"deployment.environment.name": "test"}
        tracer = OTLPTracer(Collector(server.url, headers={"x-token": "t"}), service="gateway", resource=resource)
        app = TracingMiddleware(router(), tracer=tracer)
        await post(app, "/v1/chat/completions", chat(), headers=headers)
        await taking.has(2)
        await tracer.aclose()
    assert [(each.path, each.headers["x-token"]) for each in taking.requests] == [("/v1/traces", "t")]
    (document,) = taking.taken
    ((resource_spans,),) = document.values()
    told = {each["key"]: each["value"] for each in resource_spans["resource"]["attributes"]}
    assert told["service.name"] == {"stringValue": "gateway"}
    assert told["deployment.environment.name"] == {"stringValue": "test"}
    (scope_spans,) = resource_spans["scopeSpans"]
    assert scope_spans["scope"].keys() == {"name", "version"}
    assert scope_spans["scope"]["name"] == "xrouter_asgi"
    server_span, client_span = scope_spans["spans"]
    assert server_span.keys() == {
        *("traceId", "spanId", "parentSpanId", "traceState", "flags", "kind", "name"),
        *("startTimeUnixNano", "endTimeUnixNano", "attributes"),
    }
    assert server_span["traceId"] == client_span["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (server_span["parentSpanId"], server_span["traceState"]) == ("00f067aa0ba902b7", "a=1")
    assert client_span["parentSpanId"] == server_span["spanId"]
    assert (server_span["kind"], client_span["kind"]) == (2, 3)
    # Sampled, by an id that a client does not say to be random; the parent is of another process, or of this one.
    assert (server_span["flags"], client_span["flags"]) == (0x301, 0x101)
    for name in ("startTimeUnixNano", "endTimeUnixNano"):
        assert server_span[name].isdecimal()
    tokens = next(each for each in server_span["attributes"] if each["key"] == "gen_ai.usage.input_tokens")
    assert tokens["value"] == {"intValue": "3"}


async def test_spans_of_many_requests_go_together() -> None:
    taking = Collecting()
    async with Server(taking) as server:
        tracer = OTLPTracer(Collector(server.url))
        app = TracingMiddleware(router(), tracer=tracer)
        for _ in range(20):
            await get(app, "/health")
        await taking.has(20)
        await tracer.aclose()
    assert len(taking.requests) == 1


async def test_a_full_batch_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_exporter, "DELAY", 60.0)
    taking = Collecting()
    async with Server(taking) as server:
        exporter = OTLPTracer(Collector(server.url)).exporter
        for _ in range(span_exporter._BATCH):
            exporter.add([SPAN])
        await taking.has(span_exporter._BATCH)
        assert exporter.waiting == []
        await exporter.aclose()


async def test_what_comes_during_an_export_goes_with_the_next() -> None:
    taking = Collecting()
    asked, late = asyncio.Event(), asyncio.Event()

    async def slowly(exchange: Exchange) -> None:
        asked.set()
        await exchange.until(late)
        await taking(exchange)

    async with Server(slowly) as server:
        exporter = OTLPTracer(Collector(server.url)).exporter
        exporter.add([SPAN])
        await asked.wait()
        exporter.add([SPAN, SPAN])
        late.set()
        await taking.has(3)
        await exporter.aclose()
    assert [len(document["resourceSpans"][0]["scopeSpans"][0]["spans"]) for document in taking.taken] == [1, 2]


async def test_a_collector_that_comes_back_gets_the_spans() -> None:
    taking = Collecting(refusing(503), refusing(429))
    async with Server(taking) as server:
        tracer = OTLPTracer(Collector(server.url))
        await get(TracingMiddleware(router(), tracer=tracer), "/health")
        await taking.has(1)
        await tracer.aclose()
    assert [span.name for span in taking.spans] == ["GET health"]
    assert tracer.exporter.lost == 0


async def test_spans_that_wait_are_sent_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_exporter, "DELAY", 60.0)
    taking = Collecting()
    async with Server(taking) as server:
        tracer = OTLPTracer(Collector(server.url))
        exporter = tracer.exporter
        for _ in range(span_exporter._BATCH - 1):
            exporter.add([SPAN])
        exporter.waiting += [SPAN] * 100
        await tracer.aclose()
    assert len(taking.spans) == span_exporter._BATCH + 99


async def test_an_export_that_runs_is_waited_for_at_the_end() -> None:
    taking = Collecting(refusing(503))
    async with Server(taking) as server:
        tracer = OTLPTracer(Collector(server.url))
        tracer.exporter.add([SPAN])
        await taking.asked.wait()
        await tracer.aclose()
    assert len(taking.spans) == 1


async def test_the_end_does_not_wait_long_for_a_dead_collector(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(span_exporter, "FLUSH", 0.1)

    asked = asyncio.Event()

    async def silence(exchange: Exchange) -> None:
        asked.set()
        await exchange.gone.wait()

    async with Server(silence) as server:
        tracer = OTLPTracer(Collector(server.url))
        tracer.exporter.add([SPAN])
        await asked.wait()
        tracer.exporter.add([SPAN, SPAN])
        await tracer.aclose()
    assert tracer.exporter.lost == 3
    assert caplog.messages == ["Spans are lost. The process ends before the collector takes them."]


async def test_a_queue_that_is_full_loses_the_latest_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    taking = Collecting()
    caplog.set_level(logging.WARNING)
    async with Server(taking) as server:
        exporter = OTLPTracer(Collector(server.url)).exporter
        for _ in range(span_exporter.QUEUE // 2 + 10):  # no turn of the loop comes in between
            exporter.add([SPAN, SPAN])
        assert len(exporter.waiting) == span_exporter.QUEUE
        assert exporter.lost == 20
        assert caplog.messages == ["Spans are lost. 2048 wait for the collector already."]
        await taking.has(span_exporter.QUEUE)
        await exporter.aclose()
    assert caplog.messages[1:] == ["The collector takes spans again. 20 were lost."]


async def test_a_collector_that_is_down_harms_no_request_and_its_losses_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        tracer = OTLPTracer(Collector(f"http://127.0.0.1:{closed.getsockname()[1]}", timeout=0.05))
        app = TracingMiddleware(router(), tracer=tracer)
        for _ in range(3):
            assert (await get(app, "/health")).status == 200
        await tracer.aclose()
    assert tracer.exporter.lost == 3
    assert caplog.messages[1:] == ["Spans are lost. The collector at 127.0.0.1 cannot be reached: connect_refused."]


async def test_what_a_collector_rejects_is_counted_as_lost() -> None:
    async def reject(exchange: Exchange) -> None:
        await exchange.answer(200, b'{"partialSuccess":{"rejectedSpans":"2"}}')

    async with Server(reject) as server:
        tracer = OTLPTracer(Collector(server.url))
        tracer.exporter.add([SPAN, SPAN, SPAN])
        await tracer.aclose()
    assert tracer.exporter.lost == 2


def test_a_tracer_serves_one_loop_after_another() -> None:
    tracer = OTLPTracer(Collector("http://127.0.0.1:1"))

    async def leave_behind() -> None:
        tracer.exporter.add([SPAN])

    async def send() -> None:
        taking = Collecting()
        async with Server(taking) as server:
            tracer.exporter._collector = Collector(server.url)
            tracer.exporter.add([SPAN])
            await taking.has(2)
            await tracer.aclose()

    asyncio.run(leave_behind())
    asyncio.run(send())
