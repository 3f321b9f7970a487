"""Tracing and the access log, as settings."""

from __future__ import annotations

import io
import logging
import re
import sys
from typing import Any, Literal

import pytest

from xrouter_asgi.context import RequestContext
from xrouter_asgi.events import RequestEnded
from xrouter_asgi.settings import base
from xrouter_asgi.settings.references import reveal
from xrouter_asgi.settings.telemetry import AccessLogSettings
from xrouter_asgi.telemetry import OTLPTracer
from xrouter_asgi.telemetry.access_log import LineBuffer
from xrouter_asgi.telemetry.sdk_tracer import SDKTracer

from .reading import mistakes, read


def ended() -> RequestEnded:
    return RequestEnded(
        context=RequestContext(request_id="req_1"),
        method="GET",
        path="/health",
        status=200,
        complete=True,
        duration=0.1,
        first_byte=0.1,
        received=0,
        sent=2,
        client=None,
    )


class TestTracing:
    def test_without_a_table_there_is_none(self) -> None:
        assert read("").tracing is None

    async def test_spans_are_our_own_unless_protobuf_is_wanted(self) -> None:
        for protocol, tracer, instrumented in (("json", OTLPTracer, False), ("protobuf", SDKTracer, True)):
            table = read(f'[tracing]\nprotocol = "{protocol}"\nhttp_spans = {str(instrumented).lower()}').tracing
            assert table is not None
            built = table.build()
            assert type(built.tracer) is tracer
            assert (built.instrument is not None) is instrumented
            closing = built.close()
            assert closing is not None
            await closing

    def test_what_the_table_leaves_out_may_be_in_the_variables_of_opentelemetry(self) -> None:
        variables: dict[str, Any] = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-token=a%20b, x-team = blue,",
            "OTEL_RESOURCE_ATTRIBUTES": "host.name=h,team=red",
        }
        table = read("[tracing]\nresource.team = 'blue'", **variables).tracing
        assert table is not None
        assert table.endpoint == "http://collector.example:4318"
        assert {name: reveal(value) for name, value in table.headers.items()} == {"x-token": "a b", "x-team": "blue"}
        assert table.resource == {"host.name": "h", "team": "blue"}
        table = read('[tracing]\nendpoint = "http://other.example"\nheaders.x-mine = "1"', **variables).tracing
        assert table is not None
        assert (table.endpoint, [*table.headers]) == ("http://other.example", ["x-mine"])

    def test_without_anything_it_is_a_collector_on_this_machine(self) -> None:
        table = read("tracing = {}").tracing
        assert table is not None
        assert table.endpoint == "http://localhost:4318"

    def test_headers_may_be_secrets(self) -> None:
        table = read('tracing.headers.x-token = "env:TOKEN"', TOKEN="collector-token").tracing
        assert "collector-token" not in repr(table)

    @pytest.mark.parametrize(
        ("text", "mistake"),
        [
            ("sampling = 5", "tracing.sampling is 5. It should be less than or equal to 1."),
            ('endpoint = "collector:4318"', "tracing.endpoint cannot be used: Base URL 'collector:4318' has no scheme"),
            (
                'endpont = "http://c"',
                "tracing has no key 'endpont'. Did you mean 'endpoint'? Known: ca_bundle, cert, compression, endpoint,",
            ),
            ('cert = "none.pem"', "tracing.cert names 'none.pem', which does not exist."),
            ('proxy = "nonsense"', "tracing cannot be used: 'proxy' must start with 'http://' or 'https://'."),
            ("http_spans = true", 'tracing has http_spans, which OpenTelemetry makes. Write protocol = "protobuf"'),
            (
                'protocol = "protobuf"\nproxy = "http://proxy.example:3128"',
                'tracing has a proxy, which only protocol = "json" can use.',
            ),
            ("resource = 7", "tracing.resource is no table."),
        ],
    )
    def test_a_mistake_is_said_in_words(self, text: str, mistake: str) -> None:
        (found,) = mistakes(f"[tracing]\n{text}")
        assert found.startswith(mistake)


class TestAccessLog:
    @pytest.mark.parametrize(
        ("format", "terminal", "begins"),
        [
            ("auto", False, '{"time":'),
            ("auto", True, r"\d\d:\d\d:\d\d  200"),
            ("json", True, '{"time":'),
            ("text", False, r"\d\d:\d\d:\d\d  200"),
        ],
    )
    def test_a_line_is_for_whoever_reads_it(
        self, format: str, terminal: bool, begins: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
        stream = io.StringIO()
        log = AccessLogSettings.model_validate({"format": format}).build(LineBuffer(stream))
        assert log is not None
        log(ended())
        assert re.match(begins, stream.getvalue())

    def test_lines_may_go_to_the_standard_librarys_logging(self, caplog: pytest.LogCaptureFixture) -> None:
        log = AccessLogSettings(format="logging").build(LineBuffer(io.StringIO()))
        assert log is not None
        with caplog.at_level(logging.INFO, logger="xrouter.access"):
            log(ended())
        assert [message[:8] for message in caplog.messages] == ['{"time":']

    @pytest.mark.parametrize("format", ["json", "logging"])
    def test_probes_can_be_left_out(self, format: Literal["json", "logging"], caplog: pytest.LogCaptureFixture) -> None:
        stream = io.StringIO()
        log = AccessLogSettings(format=format, exclude_paths=("/health",)).build(LineBuffer(stream))
        assert log is not None
        with caplog.at_level(logging.INFO, logger="xrouter.access"):
            log(ended())
        assert (stream.getvalue(), caplog.text) == ("", "")
        (mistake,) = mistakes('access_log.exclude_paths = ["health"]')
        assert mistake.startswith("access_log.exclude_paths cannot be used: The path 'health' cannot be excluded.")

    def test_it_can_be_off(self) -> None:
        assert AccessLogSettings(format="off").build(LineBuffer()) is None

    def test_a_mistake_is_said_in_words(self) -> None:
        assert mistakes('access_log.format = "xml"') == [
            "access_log.format is 'xml'. Write 'auto', 'json', 'text', 'logging' or 'off'."
        ]


@pytest.mark.parametrize("parent", [True, False], ids=["module", "parent"])
def test_without_its_extra_a_table_says_what_to_install(parent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> None:
        if not parent:
            raise ModuleNotFoundError(name)

    monkeypatch.setattr(base, "find_spec", find)
    (found,) = mistakes('tracing.protocol = "protobuf"')
    assert found.endswith('needs more than is installed. Run: pip install "xrouter-asgi[otlp-protobuf]"')
