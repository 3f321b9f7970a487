"""Tracing, access log and metrics, as settings."""

from __future__ import annotations

import io
import logging
import re
import sys
from typing import Literal

import pytest

from xrouter_asgi.context import RequestContext
from xrouter_asgi.events import RequestEnded
from xrouter_asgi.settings import telemetry
from xrouter_asgi.settings.telemetry import AccessLogSettings
from xrouter_asgi.telemetry.access_log import LineBuffer

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

    def test_http_spans_are_made_only_when_they_are_wanted(self) -> None:
        for text, wanted in (("", False), ("http_spans = true", True)):
            table = read(f"[tracing]\n{text}").tracing
            assert table is not None
            spans = table.build()
            assert (table.instrument(spans) is not None) is wanted
            spans.shutdown()

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
                "tracing has no key 'endpont'. Did you mean 'endpoint'? Known: endpoint, headers,",
            ),
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


class TestMetrics:
    @pytest.mark.parametrize(
        ("text", "mistake"),
        [
            ("", 'metrics would be shown to everybody. Write token = "env:NAME", or a port of its own.'),
            ('token = "literal"', "metrics.token holds the secret itself."),
            ('token = "env:SHORT"', "metrics has a token of 15 characters. Take 16 or more: openssl rand -hex 32"),
            ('path = "metrics"', "metrics.path is 'metrics'. Write a path such as \"/metrics\"."),
            ('path = "/"', "metrics.path is '/'. Write a path such as"),
            (
                "prot = 9100\nport = 9100",
                "metrics has no key 'prot'. Did you mean 'port'? Known: host, path, port, token.",
            ),
        ],
    )
    def test_a_mistake_is_said_in_words(self, text: str, mistake: str) -> None:
        (found,) = mistakes(f"[metrics]\n{text}", SHORT="t" * 15)
        assert found.startswith(mistake)

    def test_they_may_be_on_another_path(self) -> None:
        metrics = read('metrics = { path = "/internal/metrics", token = "env:TOKEN" }', TOKEN="t" * 16).metrics
        assert metrics is not None
        assert metrics.path == "/internal/metrics"

    def test_on_a_port_of_their_own_they_need_no_token(self) -> None:
        assert read("metrics.port = 9100").metrics is not None


@pytest.mark.parametrize(
    ("table", "extra"), [("tracing = {}", "otlp"), ("metrics.port = 9100", "prometheus")], ids=["tracing", "metrics"]
)
@pytest.mark.parametrize("parent", [True, False], ids=["module", "parent"])
def test_without_its_extra_a_table_says_what_to_install(
    table: str, extra: str, parent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> None:
        if not parent:
            raise ModuleNotFoundError(name)

    monkeypatch.setattr(telemetry, "find_spec", find)
    (found,) = mistakes(table)
    assert found.endswith(f'needs more than is installed. Run: pip install "xrouter-asgi[{extra}]"')
