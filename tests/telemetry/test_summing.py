from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.telemetry.measured import ended
from xrouter_asgi.context import RequestContext
from xrouter_asgi.events import LimiterDegraded
from xrouter_asgi.telemetry.definitions import LIMITER_DEGRADED, REQUEST_DURATION, REQUESTS
from xrouter_asgi.telemetry.instruments import Snapshot
from xrouter_asgi.telemetry.metrics import Metrics
from xrouter_asgi.telemetry.summing import SummedMetrics, decode, encode


class Models:
    def entry(self, name: str) -> str:
        return name


def told(*models: str, metrics: Metrics | None = None) -> Snapshot:
    """What a process tells that had one request of two seconds for each of these models."""
    metrics = metrics or Metrics(models=Models())
    for model in models:
        metrics(ended(RequestContext(endpoint="chat", model=model), duration=2.0))
    return decode(json.loads(encode(metrics.snapshot())))


def requests(sums: SummedMetrics, model: str) -> float:
    return sums.snapshot()[REQUESTS]["chat", model, "200", "true"][0]


@given(st.lists(st.lists(st.sampled_from("ab"), max_size=5), min_size=1, max_size=4))
def test_counts_of_processes_are_added_up(asked: list[list[str]]) -> None:
    sums = SummedMetrics()
    for number, models in enumerate(asked):
        sums.put(number, told(*models))
    every = [model for models in asked for model in models]
    assert sums.snapshot() == told(*every)
    for model in set(every):
        assert requests(sums, model) == every.count(model)
        *counts, seconds = sums.snapshot()[REQUEST_DURATION]["chat", model]
        assert (sum(counts), seconds) == (every.count(model), 2.0 * every.count(model))


def test_a_later_report_replaces_an_earlier_one() -> None:
    sums, metrics = SummedMetrics(), Metrics(models=Models())
    for _ in range(2):
        sums.put(1, told("a", metrics=metrics))
    assert requests(sums, "a") == 2


def test_what_ended_keeps_its_counts_and_loses_what_was_under_way() -> None:
    sums = SummedMetrics()
    for number in range(3):
        metrics = Metrics(models=Models())
        metrics(LimiterDegraded(RequestContext()))
        sums.put(number, told("a", metrics=metrics))
    assert sums.snapshot()[LIMITER_DEGRADED] == {(): [3]}
    sums.end(0)
    sums.end(1)
    sums.end("one that never told anything")
    assert requests(sums, "a") == 3
    assert sums.snapshot()[LIMITER_DEGRADED] == {(): [1]}


def test_sums_do_not_grow_by_being_read() -> None:
    sums = SummedMetrics()
    sums.put(1, told("a"))
    sums.put(2, told("a"))
    assert sums.snapshot() == sums.snapshot()
    sums.end(1)
    sums.end(2)
    assert requests(sums, "a") == 2


def test_one_process_is_shown_as_it_would_show_itself() -> None:
    metrics, sums = Metrics(models=Models()), SummedMetrics()
    sums.put(1, told("a", "b", metrics=metrics))
    assert sums.snapshot() == metrics.snapshot()
