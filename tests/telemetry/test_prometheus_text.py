"""Prometheus' text and OpenMetrics, as they were recorded: dashboards and rules of alerts depend on every name.

`python -m tests.telemetry.test_prometheus_text` records `golden/` anew: do so only for a change that is meant.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families

from tests.asgi_client import get
from tests.telemetry.known_requests import BACKLOG, ODD, REFUSALS, Models, tell
from xrouter_asgi.telemetry.metrics import Metrics
from xrouter_asgi.telemetry.prometheus import MetricsApp
from xrouter_asgi.telemetry.summing import SummedMetrics, decode, encode

GOLDEN = Path(__file__).parent / "golden"


def metrics() -> Metrics:
    """Those of a process that had all known requests."""
    measured = Metrics(models=Models(), refusals=REFUSALS, backlog=lambda: BACKLOG)
    tell(measured)
    return measured


def process() -> MetricsApp:
    return MetricsApp(metrics())


def three_processes() -> MetricsApp:
    """The sum of three processes, one of which has ended."""
    sums = SummedMetrics()
    told = json.loads(encode(metrics().snapshot()))
    for number in range(3):
        sums.put(number, decode(told))
    sums.end(0)
    return MetricsApp(sums)


CASES: list[tuple[str, Callable[[], MetricsApp], str]] = [
    ("process.txt", process, ""),
    ("process.openmetrics.txt", process, "application/openmetrics-text"),
    ("process.dots.txt", process, "text/plain;version=1.0.0;escaping=dots"),
    ("three_processes.openmetrics.txt", three_processes, "application/openmetrics-text"),
]


def scraped(app: MetricsApp, accept: str, *, in_order: bool = True) -> str:
    """The text, with its families in the order of their names."""
    text = asyncio.run(get(app, "/", headers=[(b"accept", accept.encode())])).body.decode()
    text = re.sub(r'((?:sdk_+(?:name|version)|instance_+id))="[^"]*"', r'\1="any"', text)
    families = re.split(r"^(?=# HELP|# EOF)", text, flags=re.MULTILINE)
    return "".join(sorted(families) if in_order else families)


@pytest.mark.parametrize(("file", "app", "accept"), CASES, ids=[file for file, *_ in CASES])
def test_it_is_written_as_it_was_recorded(file: str, app: Callable[[], MetricsApp], accept: str) -> None:
    assert scraped(app(), accept) == (GOLDEN / file).read_text("utf-8")


@pytest.mark.parametrize(
    ("accept", "parse"), [("", text_string_to_metric_families), ("application/openmetrics-text", open_metrics_families)]
)
def test_prometheus_own_parsers_read_it(accept: str, parse: Callable[[str], Iterable[Any]]) -> None:
    families = {family.name: family for family in parse(scraped(process(), accept, in_order=False))}
    requests = {tuple(sample.labels.values()): sample.value for sample in families["xrouter_requests"].samples}
    assert requests[ODD, "200", "true", "chat"] == 1
    assert families["xrouter_request_duration_seconds"].type == "histogram"


TEXT, TEXT_1 = (f"text/plain; version={version}; charset=utf-8" for version in ("0.0.4", "1.0.0"))
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain;version=0.0.4;q=1,*/*;q=0.1", TEXT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
        ("text/plain", TEXT),
        ("text/plain;version=1.0.0", f"{TEXT_1}; escaping=underscores"),
        ("text/plain; version=1.0.0; escaping=allow-utf-8", f"{TEXT_1}; escaping=allow-utf-8"),
        ("text/plain; version=1.0.0; escaping=dots", f"{TEXT_1}; escaping=dots"),
        ("application/openmetrics-text", OPEN_METRICS),
        ("application/openmetrics-text; version=0.0.1", TEXT),
        ("application/openmetrics-text; version=1.0.0", f"{OPEN_METRICS}; escaping=underscores"),
        ("application/openmetrics-text; version=odd", TEXT),
        (f"text/plain; version={'9' * 5000}", f"{TEXT_1}; escaping=underscores"),
        ("application/openmetrics-text; version=1.0.0; escaping=odd", f"{OPEN_METRICS}; escaping=underscores"),
        (PROMETHEUS_2, f"{OPEN_METRICS}; escaping=underscores"),
        (PROMETHEUS_3, f"{OPEN_METRICS}; escaping=allow-utf-8"),
        ("text/plain;version=1.0.0,application/openmetrics-text", f"{TEXT_1}; escaping=underscores"),
    ],
)
def test_the_format_is_what_the_client_accepts(accept: str, content_type: str) -> None:
    answer = asyncio.run(get(process(), "/", headers=[(b"accept", accept.encode())]))
    assert answer.header("content-type") == content_type
    assert answer.body.endswith(b"# EOF\n") is content_type.startswith("application/openmetrics-text")


if __name__ == "__main__":
    for file, app, accept in CASES:
        (GOLDEN / file).write_text(scraped(app(), accept), "utf-8")
