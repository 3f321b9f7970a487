from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from xrouter_asgi.telemetry.summing import SummedMetrics, families_of


class Process:
    """One that counts, observes and has something under way."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("requests", "Requests", ["model"], registry=self.registry)
        self.running = Gauge("running", "Running", registry=self.registry)
        self.seconds = Histogram("seconds", "Seconds", registry=self.registry, buckets=(1, 2))

    def told(self) -> list[list[object]]:
        told: list[list[object]] = json.loads(json.dumps(families_of(self.registry)))
        return told


def shown(sums: SummedMetrics) -> str:
    registry = CollectorRegistry()
    registry.register(sums)
    text = generate_latest(registry).decode()
    return "\n".join(line for line in text.splitlines() if "_created" not in line)


def value(sums: SummedMetrics, name: str) -> float | None:
    lines = [line.rpartition(" ") for line in shown(sums).splitlines()]
    return next((float(number) for head, _, number in lines if head == name), None)


@given(st.lists(st.lists(st.sampled_from("ab"), max_size=5), min_size=1, max_size=4))
def test_counts_of_processes_are_added_up(asked: list[list[str]]) -> None:
    sums = SummedMetrics()
    for number, models in enumerate(asked):
        process = Process()
        for model in models:
            process.requests.labels(model).inc()
            process.seconds.observe(1.5)
        sums.put(number, process.told())
    every = [model for models in asked for model in models]
    for model in set(every):
        assert value(sums, f'requests_total{{model="{model}"}}') == every.count(model)
    assert value(sums, "seconds_count") == value(sums, 'seconds_bucket{le="2.0"}') == len(every)


def test_a_later_report_replaces_an_earlier_one() -> None:
    sums, process = SummedMetrics(), Process()
    for _ in range(2):
        process.requests.labels("a").inc()
        sums.put(1, process.told())
    assert value(sums, 'requests_total{model="a"}') == 2


def test_what_ended_keeps_its_counts_and_loses_what_was_under_way() -> None:
    sums = SummedMetrics()
    for number in range(3):
        process = Process()
        process.requests.labels("a").inc()
        process.running.set(2)
        sums.put(number, process.told())
    assert value(sums, "running") == 6
    sums.end(0)
    sums.end(1)
    sums.end("one that never told anything")
    assert value(sums, 'requests_total{model="a"}') == 3
    assert value(sums, "running") == 2


def test_one_process_is_shown_as_it_would_show_itself() -> None:
    process, sums = Process(), SummedMetrics()
    process.requests.labels("a").inc()
    process.seconds.observe(3)
    sums.put(1, process.told())
    own = generate_latest(process.registry).decode()
    assert shown(sums) == "\n".join(line for line in own.splitlines() if "_created" not in line)
