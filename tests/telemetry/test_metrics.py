from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Literal

import pytest

from tests.asgi_client import Exchange, body_messages, get, http_scope, post, request
from tests.telemetry.measured import Measured, ended, went_round
from xrouter_asgi.context import Attempt, RequestContext, Usage
from xrouter_asgi.decision import Cost
from xrouter_asgi.errors import RequestRejected, UpstreamError, UpstreamUnavailable
from xrouter_asgi.events import (
    AttemptEnded,
    AttemptRetried,
    AttemptStarted,
    CircuitOpened,
    CooldownStarted,
    LimiterDegraded,
    LimiterRestored,
    RequestStarted,
)
from xrouter_asgi.testing.scripted import ANSWER, ScriptedProvider, chat, chunk

# What is counted


async def test_a_chat_is_counted_and_measured_once(kind: type[Measured]) -> None:
    measured = kind()
    await post(measured.app, "/v1/chat/completions", chat())
    assert measured.numbers("xrouter.requests") == {("scripted", "200", "true", "chat"): 1}
    assert measured.numbers("xrouter.attempts") == {("scripted", "scripted"): 1}
    assert measured.sums("gen_ai.client.token.usage") == {
        ("chat", "scripted", "scripted", "input"): (1, 3),
        ("chat", "scripted", "scripted", "output"): (1, 2),
    }
    for name, labels in (
        ("xrouter.request.duration", ("scripted", "chat")),
        ("xrouter.request.overhead", ("chat",)),
        ("gen_ai.client.operation.duration", ("chat", "scripted", "scripted")),
    ):
        ((measured_labels, (count, seconds)),) = measured.sums(name).items()
        assert measured_labels == labels
        assert count == 1
        assert seconds > 0
    assert measured.sums("xrouter.request.time_to_first_token") == {}
    assert measured.sums("gen_ai.client.operation.time_to_first_chunk") == {}


async def test_the_first_token_of_a_stream_is_measured_from_the_request_and_from_the_attempt(
    kind: type[Measured],
) -> None:
    measured = kind()
    await post(measured.app, "/v1/chat/completions", chat(stream=True))
    ((labels, (count, seconds)),) = measured.sums("xrouter.request.time_to_first_token").items()
    assert (labels, count) == (("scripted", "chat"), 1)
    ((labels, (count, attempt)),) = measured.sums("gen_ai.client.operation.time_to_first_chunk").items()
    assert (labels, count) == (("chat", "scripted", "scripted"), 1)
    assert 0 < attempt < seconds


async def test_a_failed_attempt_is_counted_by_what_it_failed_with(kind: type[Measured]) -> None:
    measured = kind(ScriptedProvider(UpstreamUnavailable("No.", code="connect_refused")))
    await post(measured.app, "/v1/chat/completions", chat())
    assert measured.numbers("xrouter.requests") == {("scripted", "502", "true", "chat"): 1}
    assert measured.numbers("xrouter.attempts") == {("connect_refused", "scripted", "scripted"): 1}
    ((labels, _),) = measured.sums("gen_ai.client.operation.duration").items()
    assert labels == ("connect_refused", "chat", "scripted", "scripted")
    assert measured.sums("gen_ai.client.token.usage") == {}


async def test_an_attempt_that_the_client_cut_is_counted_as_cancelled(kind: type[Measured]) -> None:
    measured = kind(ScriptedProvider([chunk("a")], asyncio.Event()))
    scope = http_scope("POST", "/v1/chat/completions")
    body = body_messages(json.dumps(chat(stream=True)).encode())
    await Exchange(measured.app, scope, script=body, leave_after=2).run()
    assert measured.numbers("xrouter.requests") == {("scripted", "200", "false", "chat"): 1}
    assert measured.numbers("xrouter.attempts") == {("cancelled", "scripted", "scripted"): 1}


async def test_what_runs_is_in_flight_until_it_ends(kind: type[Measured]) -> None:
    rest = asyncio.Event()
    provider = ScriptedProvider([chunk("a")], rest, *ANSWER)
    measured = kind(provider)
    running = asyncio.create_task(post(measured.app, "/v1/chat/completions", chat(stream=True)))
    await provider.reached.wait()
    assert measured.numbers("xrouter.requests.in_flight") == {(): 1}
    assert measured.numbers("xrouter.attempts.in_flight") == {("scripted",): 1}
    rest.set()
    await running
    assert measured.numbers("xrouter.requests.in_flight") == {(): 0}
    assert measured.numbers("xrouter.attempts.in_flight") == {("scripted",): 0}


def overhead_of(kind: type[Measured], *attempts: Attempt) -> float:
    measured = kind()
    measured.metrics(ended(RequestContext(endpoint="chat", attempts=list(attempts)), duration=10.0))
    ((_, (_, seconds)),) = measured.sums("xrouter.request.overhead").items()
    return seconds


def attempt(started: float, ended: float | None) -> Attempt:
    return Attempt("scripted", "there", started=started, ended=ended)


def test_the_overhead_is_the_time_without_an_attempt(kind: type[Measured]) -> None:
    assert overhead_of(kind) == 10.0
    assert overhead_of(kind, attempt(100.0, 103.0), attempt(104.0, 106.0)) == pytest.approx(5.0)


def test_attempts_that_overlap_are_not_taken_off_twice(kind: type[Measured]) -> None:
    assert overhead_of(kind, attempt(100.0, 104.0), attempt(101.0, 102.0), attempt(103.0, 106.0)) == pytest.approx(4.0)


def test_an_attempt_that_nobody_ended_leaves_no_overhead(kind: type[Measured]) -> None:
    assert overhead_of(kind, attempt(time.perf_counter() - 3600, None)) == 0.0


def test_the_backlog_of_the_limits_is_what_the_store_says(kind: type[Measured]) -> None:
    waiting = 3
    measured = kind(backlog=lambda: waiting)
    assert measured.numbers("xrouter.limiter.backlog") == {(): 3}
    waiting = 0
    assert measured.numbers("xrouter.limiter.backlog") == {(): 0}


def test_lost_spans_are_what_the_tracer_says(kind: type[Measured]) -> None:
    lost = 3
    measured = kind(lost=lambda: lost)
    assert measured.numbers("xrouter.spans.lost") == {(): 3}
    lost = 4
    assert measured.numbers("xrouter.spans.lost") == {(): 4}


def test_without_a_tracer_that_counts_there_is_no_number_of_lost_spans(kind: type[Measured]) -> None:
    assert kind().numbers("xrouter.spans.lost") == {}


def test_a_hit_of_the_cache_is_counted_and_its_tokens_are_not(kind: type[Measured]) -> None:
    measured = kind()
    results: tuple[Literal["hit", "miss"] | None, ...] = ("hit", "miss", "hit", None)
    for found in results:
        measured.metrics(ended(RequestContext(model="local-1", usage=Usage(3, 2), cache=found)))
    assert measured.numbers("xrouter.cache") == {("local-*", "hit"): 2, ("local-*", "miss"): 1}
    assert [count for count, _ in measured.sums("gen_ai.client.token.usage").values()] == [2, 2]


def test_what_upstreams_read_from_their_caches_and_wrote_into_them_is_counted(kind: type[Measured]) -> None:
    measured = kind()
    for usage in (Usage(3000, 2, 1900, 200), Usage(3000, 2, 100), Usage(3, 2), None):
        measured.metrics(ended(RequestContext(model="local-1", usage=usage, provider="claude")))
    measured.metrics(ended(RequestContext(model="local-1", usage=Usage(9, 2, 5), cache="hit", provider="claude")))
    assert measured.numbers("xrouter.prompt_cache.tokens") == {
        ("claude", "local-*", "read"): 2000,
        ("claude", "local-*", "write"): 200,
    }


def test_what_requests_cost_is_shown_in_the_currency_by_provider_and_model(kind: type[Measured]) -> None:
    measured = kind(currency="RUB")
    for cost, provider in (
        (Cost(1_500_000_000), "scripted"),
        (Cost(1), "scripted"),
        (Cost(7), None),
        (Cost(0), "free"),
        (None, "x"),
    ):
        measured.metrics(ended(RequestContext(model="local-1", provider=provider, cost=cost)))
    assert measured.numbers("xrouter.cost") == {("scripted", "local-*"): 1.500000001, ("none", "local-*"): 7e-9}
    assert kind().numbers("xrouter.cost") == {}


def test_entries_that_the_ledger_had_no_room_for_are_counted(kind: type[Measured]) -> None:
    assert kind(dropped=lambda: 3).numbers("xrouter.ledger.dropped") == {(): 3}
    assert kind().numbers("xrouter.ledger.dropped") == {}


def test_the_limiter_is_degraded_until_it_is_restored(kind: type[Measured]) -> None:
    measured = kind()
    assert measured.numbers("xrouter.limiter.degraded") == {(): 0}
    measured.metrics(LimiterDegraded(RequestContext()))
    assert measured.numbers("xrouter.limiter.degraded") == {(): 1}
    measured.metrics(LimiterRestored(RequestContext()))
    assert measured.numbers("xrouter.limiter.degraded") == {(): 0}


def test_what_is_unknown_is_not_heeded(kind: type[Measured]) -> None:
    measured = kind()
    before = len(measured.points())
    measured.metrics("something else")
    assert len(measured.points()) == before


# The event loop


async def test_the_event_loop_is_asked_how_late_it_is(kind: type[Measured], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xrouter_asgi.telemetry.metrics._LAG_EVERY", 0.001)
    measured = kind()
    measured.metrics(RequestStarted(RequestContext()))
    for times in (1, 2):
        time.sleep(0.02)  # noqa: ASYNC251 -- to hold up the loop is the point
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ((count, seconds),) = measured.sums("xrouter.event_loop.lag").values()
        assert count == times
        assert seconds >= times * 0.01


def test_each_event_loop_is_asked_once(kind: type[Measured], monkeypatch: pytest.MonkeyPatch) -> None:
    measured = kind()

    async def asked() -> int:
        calls: list[float] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_at", lambda when, *_: calls.append(when))
        for _ in range(3):
            measured.metrics(RequestStarted(RequestContext()))
        return len(calls)

    assert asyncio.run(asked()) == 1
    assert asyncio.run(asked()) == 1


# Labels


async def test_models_are_named_as_the_table_names_them(kind: type[Measured]) -> None:
    measured = kind()
    for model in ("scripted", "local-llama", "local-qwen", "unknown", "local-*"):
        await post(measured.app, "/v1/chat/completions", chat(model))
    assert measured.numbers("xrouter.requests") == {
        ("scripted", "200", "true", "chat"): 1,
        ("local-*", "200", "true", "chat"): 3,
        ("other", "404", "true", "chat"): 1,
    }


async def test_without_a_table_every_model_is_other(kind: type[Measured]) -> None:
    measured = kind(table=False)
    await post(measured.app, "/v1/chat/completions", chat())
    assert list(measured.numbers("xrouter.requests")) == [("other", "200", "true", "chat")]


async def test_ten_thousand_odd_requests_leave_the_number_of_series_as_it_is(
    kind: type[Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xrouter_asgi.telemetry.metrics._LAG_EVERY", 3600)
    measured = kind()

    async def send_odd(name: str) -> None:
        await post(measured.app, f"/v1/chat/completions?{name}", chat(name))
        await post(measured.app, "/v1/chat/completions", chat(f"local-{name}"))
        await get(measured.app, f"/{name}")
        await request(measured.app, name.upper(), "/v1/models")

    await send_odd("odd")
    measured.metrics(ended(RequestContext(model="odd"), path="/odd", method="ODD"))
    before = len(measured.points())
    for number in range(100):
        await send_odd(f"odd-{number}")
    for number in range(10_000):
        context = RequestContext(f"odd-{number}", model=f"odd-{number}")
        measured.metrics(ended(context, path=f"/odd/{number}", method=f"ODD{number}"))
    assert len(measured.points()) == before
    assert sum(measured.numbers("xrouter.requests").values()) == 10_405


async def test_words_that_a_provider_makes_up_are_counted_to_a_bound(kind: type[Measured]) -> None:
    measured = kind()
    for number in range(1000):
        failed = Attempt("scripted", "there", ended=0.0, error=UpstreamError("No.", code=f"odd_{number}"))
        context = RequestContext(model="scripted")
        measured.metrics(AttemptStarted(context, failed))
        measured.metrics(AttemptEnded(context, failed))
    attempts = measured.numbers("xrouter.attempts")
    assert len(attempts) == 101
    assert attempts["other", "scripted", "scripted"] == 900


async def test_the_code_of_an_upstreams_refusal_is_no_label(kind: type[Measured]) -> None:
    measured = kind(ScriptedProvider(RequestRejected("marked", code="marked")))
    await post(measured.app, "/v1/chat/completions", chat())
    assert list(measured.numbers("xrouter.attempts")) == [("request_rejected", "scripted", "scripted")]


async def test_a_request_to_any_other_application_is_other(kind: type[Measured]) -> None:
    measured = kind()
    measured.metrics(ended(RequestContext(), status=None, complete=False))
    assert measured.numbers("xrouter.requests") == {("none", "none", "false", "other"): 1}


@pytest.mark.parametrize("fails", [False, True])
async def test_no_metric_holds_a_secret(kind: type[Measured], fails: bool) -> None:
    steps = [UpstreamUnavailable("marked message", detail="marked detail")] if fails else []
    measured = kind(ScriptedProvider(*steps))
    body = chat("local-marked", messages=[{"role": "user", "content": "marked"}], user="marked")
    scope = http_scope(
        "POST",
        "/v1/chat/completions",
        headers=[(b"authorization", b"Bearer marked"), (b"x-request-id", b"marked")],
        query_string=b"key=marked",
    )
    await Exchange(measured.app, scope, script=body_messages(json.dumps(body).encode())).run()
    assert "local-*" in repr(measured.points())
    assert "marked" not in repr(measured.points()) + repr(measured.metrics)


def test_threads_lose_no_count(kind: type[Measured]) -> None:
    measured = kind()
    event = ended(RequestContext(usage=Usage(1)))

    def count() -> None:
        for _ in range(200):
            measured.metrics(event)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        measured.points()  # somebody collects meanwhile
    assert measured.numbers("xrouter.requests") == {("none", "200", "true", "other"): 800}


async def test_the_document_names_every_metric_and_label(kind: type[Measured], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xrouter_asgi.telemetry.metrics._LAG_EVERY", 0)
    provider = ScriptedProvider([chunk("a")], UpstreamUnavailable("No.", code="dns_error"))
    measured = kind(provider, backlog=lambda: 3, lost=lambda: 1, dropped=lambda: 1, currency="USD")
    await post(measured.app, "/v1/chat/completions", chat(stream=True))
    measured.metrics(ended(RequestContext(model="scripted", usage=Usage(1, 0, 1), cost=Cost(1))))
    for event in (
        ended(RequestContext(model="scripted", cache="hit")),
        AttemptRetried(RequestContext(), "up", 1, 0.1, UpstreamUnavailable("No."), "up/m"),
        CircuitOpened(RequestContext(), "up", 5.0, "up/m"),
        CooldownStarted(RequestContext(), "up", "quota", 600.0, "up/m"),
        ended(went_round()),
    ):
        measured.metrics(event)
    text = (Path(__file__).parents[2] / "docs/telemetry.md").read_text("utf-8").partition("## Metrics")[2]
    rows = {row.split("`")[1]: row for row in text.splitlines() if row.startswith(("| `xrouter.", "| `gen_ai."))}
    points = measured.points()
    assert rows.keys() == {name for name, *_ in points}
    labels = {label for _, labels, _ in points for label in labels}
    assert [label for label in labels if f"`{label}`" not in text] == []
