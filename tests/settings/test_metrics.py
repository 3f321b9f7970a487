"""Metrics, as settings."""

from __future__ import annotations

import pytest

from xrouter_asgi.inspection import describe_layers
from xrouter_asgi.telemetry.metrics import Metrics

from .reading import mistakes, read


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
            "metrics has no key 'prot'. Did you mean 'port'? Known: host, otlp, path, port, resource, token.",
        ),
    ],
)
def test_a_mistake_is_said_in_words(text: str, mistake: str) -> None:
    (found,) = mistakes(f"[metrics]\n{text}", SHORT="t" * 15)
    assert found.startswith(mistake)


def test_they_may_be_on_another_path() -> None:
    metrics = read('metrics = { path = "/internal/metrics", token = "env:TOKEN" }', TOKEN="t" * 16).metrics
    assert metrics is not None
    assert metrics.path == "/internal/metrics"


def test_on_a_port_of_their_own_they_need_no_token() -> None:
    assert read("metrics.port = 9100").metrics is not None


def test_for_a_collector_alone_they_need_no_token_and_have_no_path() -> None:
    metrics = read('metrics.otlp.endpoint = "http://collector:4318"').metrics
    assert metrics is not None
    assert metrics.shown_path is None
    assert metrics.push(Metrics(), "gateway") is not None
    other = read("metrics.port = 9100").metrics
    assert other is not None
    assert other.push(Metrics(), "gateway") is None


def test_a_path_needs_a_token_even_if_a_collector_has_them_too() -> None:
    (found,) = mistakes('metrics = { path = "/m", otlp = {} }')
    assert found.startswith("metrics would be shown to everybody.")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('token = "env:TOKEN"', "metrics     /metrics, with a token"),
        ("otlp = {}", "metrics     sent to http://localhost:4318 every 60 s"),
        (
            'port = 9100\notlp = { endpoint = "http://c:4318", interval = 5 }',
            "metrics     on port 9100 of 127.0.0.1, without a token; sent to http://c:4318 every 5 s",
        ),
    ],
)
def test_it_is_said_where_they_go(table: str, said: str) -> None:
    assert said in describe_layers(read(f"[metrics]\n{table}", TOKEN="t" * 16)).splitlines()


def test_opentelemetrys_variables_say_where_and_of_what() -> None:
    endpoint = "http://collector.example:4318"
    settings = read("metrics.otlp = {}", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_RESOURCE_ATTRIBUTES="host.name=h")
    metrics = settings.metrics
    assert metrics is not None
    assert metrics.otlp is not None
    assert metrics.otlp.endpoint == endpoint
    assert metrics.resource == {"host.name": "h"}
