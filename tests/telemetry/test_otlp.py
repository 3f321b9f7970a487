from __future__ import annotations

import asyncio
import gzip
import socket
import sys
from collections.abc import Callable

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider

from tests.asgi_client import get, post
from tests.fakes.http import Exchange, Server
from tests.scripted import ScriptedProvider, chat
from xrouter_asgi.middleware.request_events import RequestEventsMiddleware
from xrouter_asgi.middleware.tracing import TracingMiddleware
from xrouter_asgi.providers.target import Target
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.telemetry.metrics import Metrics
from xrouter_asgi.telemetry.otlp import otlp_metric_reader, otlp_tracer_provider


class Collector:
    """Takes whatever is exported to it."""

    def __init__(self) -> None:
        self.requests: list[Exchange] = []

    async def __call__(self, exchange: Exchange) -> None:
        self.requests.append(exchange)
        await exchange.answer(200, b"", {"content-type": "application/x-protobuf"})

    @property
    def body(self) -> bytes:
        (request,) = self.requests
        packed = request.headers.get("content-encoding") == "gzip"
        return gzip.decompress(request.body) if packed else request.body


def router() -> LLMRouter:
    return LLMRouter({"scripted": Target(ScriptedProvider(), model="there")})


async def test_spans_come_to_the_collector() -> None:
    collector = Collector()
    async with Server(collector) as server:
        provider = otlp_tracer_provider(server.url + "/", headers={"x-token": "t"}, service="gateway")
        await post(TracingMiddleware(router(), tracer_provider=provider), "/v1/chat/completions", chat())
        await asyncio.to_thread(provider.shutdown)
    assert collector.requests[0].path == "/v1/traces"
    assert collector.requests[0].headers["x-token"] == "t"
    (sent,) = ExportTraceServiceRequest.FromString(collector.body).resource_spans
    assert {span.name for scope in sent.scope_spans for span in scope.spans} == {
        "POST chat",
        "chat there",
    }
    names = {each.key: each.value.string_value for each in sent.resource.attributes}
    assert names["service.name"] == "gateway"


async def test_metrics_come_to_the_collector() -> None:
    collector = Collector()
    async with Server(collector) as server:
        provider = MeterProvider([otlp_metric_reader(server.url)])
        app = router()
        metrics = Metrics(provider, models=app.models)
        await post(RequestEventsMiddleware(app, observers=[metrics]), "/v1/chat/completions", chat())
        await asyncio.to_thread(provider.shutdown)
    assert collector.requests[0].path == "/v1/metrics"
    (sent,) = ExportMetricsServiceRequest.FromString(collector.body).resource_metrics
    assert "xrouter.requests" in {metric.name for scope in sent.scope_metrics for metric in scope.metrics}


async def test_of_no_share_no_trace_is_sampled_but_those_of_clients_who_sample() -> None:
    collector = Collector()
    async with Server(collector) as server:
        provider = otlp_tracer_provider(server.url, share=0.0)
        app = TracingMiddleware(router(), tracer_provider=provider)
        await get(app, "/v1/models")
        traceparent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        await get(app, "/health", headers=[(b"traceparent", traceparent)])
        await asyncio.to_thread(provider.shutdown)
    (sent,) = ExportTraceServiceRequest.FromString(collector.body).resource_spans
    assert [span.name for scope in sent.scope_spans for span in scope.spans] == ["GET health"]


async def test_spans_may_be_compressed_and_their_process_described() -> None:
    collector = Collector()
    async with Server(collector) as server:
        provider = otlp_tracer_provider(server.url, resource={"team": "blue"}, compression=Compression.Gzip)
        await get(TracingMiddleware(router(), tracer_provider=provider), "/health")
        await asyncio.to_thread(provider.shutdown)
    assert collector.requests[0].headers["content-encoding"] == "gzip"
    (sent,) = ExportTraceServiceRequest.FromString(collector.body).resource_spans
    assert "team" in {each.key for each in sent.resource.attributes}


async def test_a_collector_that_is_down_harms_no_request() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        provider = otlp_tracer_provider(f"http://127.0.0.1:{closed.getsockname()[1]}", timeout=0.1)
        app = TracingMiddleware(router(), tracer_provider=provider)
        for _ in range(3000):  # more than the queue holds
            answer = await get(app, "/health")
            assert answer.status == 200
        await asyncio.to_thread(provider.shutdown)


@pytest.mark.parametrize(
    ("make", "module"),
    [
        (otlp_tracer_provider, "opentelemetry.exporter.otlp.proto.http.trace_exporter"),
        (otlp_metric_reader, "opentelemetry.exporter.otlp.proto.http.metric_exporter"),
    ],
)
def test_without_the_extra_it_says_what_to_install(
    make: Callable[[], object], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "xrouter-asgi\[otlp-protobuf\]"'):
        make()


async def test_where_the_environment_says_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector()
    async with Server(collector) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        provider = otlp_tracer_provider()
        await get(TracingMiddleware(router(), tracer_provider=provider), "/health")
        await asyncio.to_thread(provider.shutdown)
    assert [request.path for request in collector.requests] == ["/v1/traces"]
