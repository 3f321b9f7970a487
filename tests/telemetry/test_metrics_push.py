"""Metrics on their way to a collector."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import Parse  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric as Encoded
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.asgi_client import get, post
from tests.fakes.http import Server
from tests.scripted import chat
from tests.telemetry.collecting import Collecting, refusing
from tests.telemetry.known_requests import BACKLOG, REFUSALS, Models, tell
from tests.telemetry.measured import Measured, ended
from xrouter_asgi import Metrics, RequestEventsMiddleware
from xrouter_asgi.context import RequestContext
from xrouter_asgi.settings import Settings
from xrouter_asgi.standalone import assemble
from xrouter_asgi.telemetry import Collector, MetricsPush, Snapshot
from xrouter_asgi.telemetry.metrics_push import otlp


class Pushed(Measured):
    """A router whose metrics are sent to a collector every 10 ms."""

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__()
        collector = Collector(server.url, headers={"x-token": "t"}, timeout=0.2)
        self.push = MetricsPush(self.metrics, collector, **{"interval": 0.01, **options})
        self.app = RequestEventsMiddleware(self.router, observers=[self.metrics, self.push])


def requests(document: Any) -> int:
    """How many requests a document tells."""
    (resource,) = document["resourceMetrics"]
    (scope,) = resource["scopeMetrics"]
    (metric,) = [each for each in scope["metrics"] if each["name"] == "xrouter.requests"]
    return sum(int(point["asInt"]) for point in metric["sum"]["dataPoints"])


async def test_metrics_come_to_the_collector_again_and_again_and_at_the_end() -> None:
    taking = Collecting()
    async with Server(taking) as server:
        pushed = Pushed(server, resource={"service.name": "gateway", "host.name": "h"})
        await post(pushed.app, "/v1/chat/completions", chat())
        await taking.has_documents(2)
        before = len(taking.taken)
        await post(pushed.app, "/v1/chat/completions", chat())
        await pushed.push.aclose()
    assert len(taking.taken) > before
    assert {(each.path, each.headers["x-token"]) for each in taking.requests} == {("/v1/metrics", "t")}
    assert [requests(document) for document in taking.taken[:2]] == [1, 1]
    assert requests(taking.taken[-1]) == 2
    (resource,) = taking.taken[0]["resourceMetrics"]
    told = {each["key"]: each["value"]["stringValue"] for each in resource["resource"]["attributes"]}
    assert (told["service.name"], told["host.name"]) == ("gateway", "h")
    assert "service.instance.id" in told


async def test_what_a_collector_did_not_take_is_in_the_next_document(caplog: pytest.LogCaptureFixture) -> None:
    taking = Collecting(refusing(400))
    async with Server(taking) as server:
        pushed = Pushed(server)
        await post(pushed.app, "/v1/chat/completions", chat())
        await taking.has_documents(1)
        await pushed.push.aclose()
    assert requests(taking.taken[0]) == 1
    assert "The metrics are not sent. The collector at 127.0.0.1 answered with status 400." in caplog.messages


async def test_without_a_request_nothing_is_sent() -> None:
    taking = Collecting()
    async with Server(taking) as server:
        await Pushed(server).push.aclose()
    assert taking.requests == []


class Broken:
    """Metrics that cannot be read the first time that they are to be sent."""

    def __init__(self) -> None:
        self.reads = 0

    def snapshot(self) -> Snapshot:
        self.reads += 1
        if self.reads == 2:
            raise RuntimeError("marked")
        return {}


async def test_a_defect_does_not_end_the_exports(caplog: pytest.LogCaptureFixture) -> None:
    taking = Collecting()
    async with Server(taking) as server:
        push = MetricsPush(Broken(), Collector(server.url), interval=0.01)
        push(ended(RequestContext()))
        await taking.has_documents(1)
        await push.aclose()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "The metrics could not be sent"
    ]


def test_what_a_meter_provider_has_is_for_its_readers_to_send() -> None:
    with pytest.raises(ValueError, match=r"Make Metrics without one\."):
        MetricsPush(Metrics(MeterProvider()), Collector())


async def test_the_settings_send_them_to_a_collector(tmp_path: Path) -> None:
    taking = Collecting()
    async with Server(taking) as server:
        metrics = {"otlp": {"endpoint": server.url, "compression": "gzip"}}
        document = {"providers": {"e": {"kind": "echo"}}, "tracing": {"service": "gateway", "sampling": 0}}
        assembly = assemble(Settings.parse({**document, "metrics": metrics}, folder=tmp_path))
        assert (await post(assembly.app, "/v1/chat/completions", chat("echo"))).status == 200
        assert (await get(assembly.app, "/metrics")).status == 404
        await assembly.app.aclose()  # type: ignore[attr-defined]
        await assembly.router.aclose()
    (sent,) = taking.taken
    assert requests(sent) == 2
    assert '"gateway"' in json.dumps(sent)


def test_it_is_what_opentelemetrys_exporter_sends() -> None:
    """But for the times, and the least and the greatest value of histograms, which are not kept here."""
    reader = InMemoryMetricReader()
    own, meter = (
        Metrics(provider, models=Models(), refusals=REFUSALS, backlog=lambda: BACKLOG)
        for provider in (None, MeterProvider([reader]))
    )
    tell(own)
    tell(meter)
    document = otlp(own.snapshot(), {"service.name": "gateway"}, began=1, now=2)
    data = reader.get_metrics_data()
    assert data is not None
    sent, expected = Parse(document, ExportMetricsServiceRequest()), encode_metrics(data)
    assert comparable(sent) == comparable(expected)
    assert sent.resource_metrics[0].scope_metrics[0].scope.name == "xrouter_asgi"


def comparable(request: ExportMetricsServiceRequest) -> dict[str, Encoded]:
    """The metrics by name, with their points in an order of their own."""
    found = {}
    for metric in request.resource_metrics[0].scope_metrics[0].metrics:
        data = getattr(metric, metric.WhichOneof("data"))
        for point in data.data_points:
            for name in ("start_time_unix_nano", "time_unix_nano", "min", "max"):
                if name in point.DESCRIPTOR.fields_by_name:
                    point.ClearField(name)
            point.attributes.sort(key=lambda attribute: attribute.key)
        data.data_points.sort(key=str)
        found[metric.name] = metric
    return found
