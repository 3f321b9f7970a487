"""An upstream that fails before anything of its answer went to the client: each fault in each of its columns."""

from __future__ import annotations

import asyncio

import pytest

from xrouter_asgi.events import CircuitOpened, CooldownStarted
from xrouter_asgi.testing.http import FakeExchange
from xrouter_asgi.testing.openai import DONE, JSON, chunked, endless, identity, raw, refuse, stream, whole

from .stand import Row, each, facing_row

HTML = {"content-type": "text/html"}
PAGE = b"<html><body>Bad gateway at 10.0.0.7</body></html>"
QUICK = {"first": 0.05}
MUCH = b" " * (1 << 20)


async def silence(exchange: FakeExchange) -> None:
    """Nothing, until the client goes."""
    await exchange.gone.wait()


async def trickling_head(exchange: FakeExchange) -> None:
    """A head that goes on for ever, a field at a time."""
    exchange.writer.write(b"HTTP/1.1 200 OK\r\n")
    while not exchange.gone.is_set():
        exchange.writer.write(b"x: y\r\n")
        await exchange.writer.drain()
        await asyncio.sleep(0.005)


async def trickling_body(exchange: FakeExchange) -> None:
    """A whole answer that is never whole, a space at a time."""
    await exchange.start(200, JSON)
    while not exchange.gone.is_set():
        await exchange.write(b" ")
        await asyncio.sleep(0.005)


async def huge_body(exchange: FakeExchange) -> None:
    """5 MiB of JSON."""
    await exchange.start(200, JSON)
    for _ in range(5):
        await exchange.write(MUCH)
    await exchange.end()


@pytest.fixture(autouse=True)
def _at_most_4_mib(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not the 32 MiB of the provider, of which twenty at once are more than a test may take.
    monkeypatch.setattr("xrouter_asgi.providers.openai.provider.MAX_BODY", 4 << 20)


ROWS = each(
    # The connection.
    Row("closed", raw(), 502, "connection_lost", attempts=3),
    Row("reset", raw(then="reset"), 502, "connection_lost", attempts=3),
    Row("no HTTP", raw(b"what do you want?\r\n\r\n"), 502, "bad_protocol"),
    Row("head of 70 KiB", raw(b"HTTP/1.1 200 OK\r\nx: " + b"y" * (70 << 10)), 502, "bad_protocol"),
    Row("short body", raw(identity(b'{"a":', headers=JSON, length=99)), 502, "truncated", attempts=2),
    Row("cut chunk", raw(chunked(b'{"a": 1}', headers=JSON)[:-9]), 502, "truncated", attempts=2),
    # The clocks.
    Row("no head", silence, 504, "first_byte_timeout", timeouts=QUICK),
    Row("head trickles", trickling_head, 504, "first_byte_timeout", timeouts=QUICK),
    Row("body trickles", trickling_body, 504, "total_timeout", modes=("whole",), timeouts={"total": 0.05}),
    Row("only comments", endless(b": ping\n\n"), 504, "first_byte_timeout", modes=("stream",), timeouts=QUICK),
    # The body.
    Row("cut JSON", whole(b'{"choices": ['), 502, "bad_body"),
    Row("wrong shape", whole({"choices": "none"}), 502, "bad_body"),
    Row("an array", whole([]), 502, "bad_body"),
    Row("deep JSON", whole(b'{"choices":' + b"[" * 100_000), 502, "bad_body"),
    Row("NaN", whole(b'{"choices": [{"message": {"content": NaN}}]}'), 502, "bad_body"),
    Row("a page", whole(PAGE, headers=HTML), 502, "bad_body"),
    Row("502 with a page", whole(PAGE, status=502, headers=HTML), 502, "bad_body", attempts=3),
    Row("empty", whole(b""), 502, "empty_answer", attempts=2),
    Row("no choices", whole({"choices": []}), 502, "empty_answer", attempts=2),
    Row("no event", stream(end=b""), 502, "empty_stream", attempts=2, modes=("stream",)),
    Row("only [DONE]", stream(end=DONE), 502, "empty_stream", attempts=2, modes=("stream",)),
    # An upstream that is too generous would be as generous elsewhere: nobody else is asked.
    Row("huge body", huge_body, 502, "too_large", falls_back=False, breaker="ignores", modes=("whole",)),
    Row("no gzip", whole(b"{}", headers={**JSON, "content-encoding": "gzip"}), 502, "bad_protocol"),
    Row("gzip cut", whole(b"\x1f\x8b", headers={**JSON, "content-encoding": "gzip"}), 502, "truncated", attempts=2),
    Row("unknown coding", whole(b"{}", headers={**JSON, "content-encoding": "lzma"}), 502, "bad_protocol"),
    # The status. A mistake of the caller's keeps it, with the upstream's words.
    Row("302", whole(b"", status=302, headers={"location": "/x"}), 502, "redirect_refused", breaker="ignores"),
    Row("408", refuse(408), 502, "upstream_error", attempts=3, breaker="ignores"),
    Row("409", refuse(409), 502, "upstream_error", attempts=3, breaker="ignores"),
    Row("500", refuse(500), 502, "upstream_error", attempts=3),
    Row("502", refuse(502), 502, "upstream_error", attempts=3),
    Row("503", refuse(503), 503, "upstream_unavailable", attempts=3),
    Row(
        "503 soon",
        refuse(503, headers={"retry-after-ms": "1"}),
        503,
        "upstream_unavailable",
        attempts=3,
        elsewhere_first=True,
    ),
    Row("503 later", refuse(503, headers={"retry-after": "6"}), 503, "upstream_unavailable"),
    Row("504", refuse(504), 504, "upstream_timeout", attempts=3),
    Row(
        "529",
        refuse(529),
        503,
        "upstream_overloaded",
        attempts=2,
        elsewhere_first=True,
        rests=("overloaded", 1.0),
    ),
    Row("404", refuse(404), 502, "upstream_not_found", breaker="ignores"),
    Row("404 model", refuse(404, code="model_not_found"), 404, "model_not_found", breaker="ignores"),
    # What is wrong with our account rests.
    Row("401", refuse(401), 502, "upstream_auth_failed", breaker=("credential", 60.0)),
    Row("402", refuse(402), 429, "insufficient_quota", breaker=("quota", 600.0)),
    Row("403", refuse(403), 502, "upstream_forbidden", breaker="ignores"),
    Row("429", refuse(429), 429, "rate_limit_exceeded", breaker=("rate", 1.0)),
    Row("429 later", refuse(429, headers={"retry-after": "6"}), 429, "rate_limit_exceeded", breaker=("rate", 6.0)),
    *[
        Row(
            f"429 {wait}", refuse(429, headers={"retry-after": wait}), 429, "rate_limit_exceeded", breaker=("rate", 1.0)
        )
        for wait in ("-5", "inf", "nan", "soon", "99999999", "1e9", "Fri, 31 Dec 9999 23:59:59 GMT")
    ],
    # An error under the status of success counts as what it says it is.
    Row("200 with an error", whole({"error": {"message": "Oops."}}), 502, "upstream_error", attempts=3),
    Row(
        "200 with a rate limit",
        whole({"error": {"message": "Slow.", "code": "rate_limit_exceeded"}}),
        429,
        "rate_limit_exceeded",
        breaker=("rate", 1.0),
    ),
)


@ROWS
async def test_a_fault_that_nobody_makes_good_has_its_status_code_and_attempts(row: Row, stream: bool) -> None:
    async with facing_row(row) as (stand, fake):
        told = await stand.ask("alone", stream=stream)
    assert (told.answer.status, told.answer.error["code"]) == (row.status, row.code)
    assert len(fake.requests) == row.attempts
    assert told.answer.header("x-xrouter-attempts") == str(row.attempts)
    assert told.labels == [row.label or row.code] * row.attempts


@ROWS
async def test_a_fault_of_the_upstream_alone_is_made_good_by_the_next_target(row: Row, stream: bool) -> None:
    async with facing_row(row) as (stand, _):
        told = await stand.ask("pair", stream=stream)
    providers = [attempt.provider for attempt in told.attempts]
    assert told.answer.status == (200 if row.falls_back else row.status)
    assert providers == ["first"] * (1 if row.elsewhere_first else row.attempts) + ["second"] * row.falls_back
    assert told.answer.header("x-xrouter-attempts") == str(len(providers))
    assert told.answer.header("x-xrouter-provider") == ("second" if row.falls_back else None)


@ROWS
async def test_a_circuit_opens_by_what_says_that_the_upstream_is_ill_and_by_nothing_else(
    row: Row, stream: bool
) -> None:
    async with facing_row(row) as (stand, _):
        many = await stand.ask_many("pair", stream=stream)
        assert stand.breaker("pair").state == ("open" if row.breaker == "counts" else "closed")
    opened = [event for told in many for event in told.of(CircuitOpened)]
    assert len(opened) == (row.breaker == "counts")
    cooled = {(event.cooldown_kind, event.duration) for told in many for event in told.of(CooldownStarted)}
    assert cooled == {rests for rests in (row.breaker, row.rests) if isinstance(rests, tuple)}


@ROWS
async def test_a_fault_tells_the_client_nothing_about_the_upstream_and_ends_its_own_retries(
    row: Row, stream: bool
) -> None:
    async with facing_row(row) as (stand, fake):
        answer = (await stand.ask("alone", stream=stream)).answer
    address = fake.base_url.removesuffix("/v1").removeprefix("http://")
    assert not any(word in answer.error["message"] for word in ("<", "10.0.0.7", address, "Error"))
    # Otherwise the client's own retries would multiply with ours.
    assert row.attempts == 1 or answer.header("x-should-retry") == "false"
    assert int(answer.header("retry-after") or 1) <= 60
