"""What looks like a fault and is none, what is made good, and what only the caller can mend."""

from __future__ import annotations

import json

import pytest

from xrouter_asgi.events import AttemptRetried
from xrouter_asgi.testing.http import FakeExchange, Handler
from xrouter_asgi.testing.openai import JSON, FakeOpenAI, identity, raw, refuse, whole
from xrouter_asgi.testing.openai_answers import completion

from .stand import Row, each, facing, facing_row

ANSWER = completion({"model": "chat", "messages": [{"role": "user", "content": "one two"}]})
HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
BYTES = json.dumps(ANSWER).encode()


@pytest.mark.parametrize(
    "upstream",
    [
        whole(ANSWER, headers={"content-type": "text/plain"}),
        whole(ANSWER, headers={"content-type": "text/html"}),
        whole(ANSWER, headers={}),
        raw(HINTS + identity(BYTES, headers=JSON, length=len(BYTES))),
        raw(identity(BYTES, headers=JSON)),
    ],
    ids=["as text", "as a page", "as nothing", "after early hints", "until the connection ends"],
)
async def test_a_good_answer_in_an_odd_coat_is_a_good_answer(upstream: Handler) -> None:
    async with FakeOpenAI() as fake, facing(fake) as stand:
        fake.next(upstream)
        told = await stand.ask("alone")
    assert (told.answer.status, told.answer.header("x-xrouter-attempts")) == (200, "1")
    assert told.answer.json == ANSWER


@pytest.mark.parametrize("bad", [refuse(503), raw(then="reset"), raw(), whole(b""), refuse(408)])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_fault_that_does_not_last_is_made_good_by_a_retry(bad: Handler, stream: bool) -> None:
    async with FakeOpenAI() as fake, facing(fake) as stand:
        fake.next(bad)
        told = await stand.ask("pair", stream=stream)
        assert stand.breaker("pair").state == "closed"
    assert (told.answer.status, told.answer.header("x-xrouter-attempts")) == (200, "2")
    assert told.answer.header("x-xrouter-provider") == "first"
    assert len(fake.requests) == 2


@pytest.mark.parametrize("bad", [refuse(529), refuse(429, headers={"retry-after-ms": "1"})], ids=["529", "429"])
async def test_an_upstream_that_wants_a_pause_is_asked_again_where_nobody_else_can_be(bad: Handler) -> None:
    async with FakeOpenAI() as fake, facing(fake) as stand:
        fake.next(bad)
        told = await stand.ask("alone")
        assert (told.answer.status, told.answer.header("x-xrouter-attempts")) == (200, "2")
        fake.next(bad)
        told = await stand.ask("pair")
        assert [attempt.provider for attempt in told.attempts] == ["first", "second"]


@pytest.mark.parametrize("said", [{"retry-after-ms": "20"}, {"retry-after": "0.02"}])
async def test_a_rate_limit_that_tells_a_short_wait_is_waited_for(said: dict[str, str]) -> None:
    async with FakeOpenAI() as fake, facing(fake) as stand:
        fake.next(refuse(429, headers=said))
        told = await stand.ask("alone")
    assert told.answer.status == 200
    assert [event.wait for event in told.of(AttemptRetried)] == [0.02]


async def test_a_rate_limit_that_tells_a_moment_is_waited_for() -> None:
    dates = {"date": "Wed, 21 Oct 2015 07:28:00 GMT", "retry-after": "Wed, 21 Oct 2015 07:28:01 GMT"}
    async with FakeOpenAI() as fake, facing(fake) as stand:
        fake.next(refuse(429, headers=dates))
        told = await stand.ask("alone")
    assert told.answer.status == 200
    assert [event.wait for event in told.of(AttemptRetried)] == [1.0]


async def test_a_rate_limit_is_told_to_the_client_and_a_nonsense_of_one_is_not() -> None:
    async with FakeOpenAI() as fake, facing(fake) as stand:
        fake.next(refuse(429, headers={"retry-after": "7"}))
        assert (await stand.ask("alone")).answer.header("retry-after") == "7"
    async with FakeOpenAI() as fake, facing(fake) as stand:
        fake.next(refuse(429, headers={"retry-after": "-7"}))
        assert (await stand.ask("alone")).answer.header("retry-after") is None


async def test_a_whole_answer_to_a_streamed_request_becomes_a_stream() -> None:
    async with FakeOpenAI() as fake, facing(fake) as stand:
        fake.next(whole(ANSWER))
        told = await stand.ask("alone", stream=True)
    assert told.text == "one two"
    assert told.stream[-1] == "[DONE]"
    assert told.labels == [None]


async def silence(exchange: FakeExchange) -> None:
    """Nothing, until the client goes."""
    await exchange.gone.wait()


CALLERS = each(
    *[
        Row(name, refuse(status, code=given), told, code, falls_back=False, breaker="ignores", label="request_rejected")
        for name, status, given, told, code in [
            ("400", 400, "bad_value", 400, "bad_value"),
            ("422", 422, "bad_value", 422, "bad_value"),
            ("403 for its content", 403, "content_filter", 403, "content_filter"),
            ("413", 413, "too_big", 413, "too_big"),
            ("too long", 413, "context_length_exceeded", 400, "context_length_exceeded"),
        ]
    ]
)


@CALLERS
async def test_a_mistake_of_the_callers_is_told_and_no_other_target_is_asked(row: Row, stream: bool) -> None:
    async with facing_row(row) as (stand, fake):
        told = await stand.ask("pair", stream=stream)
        assert len(fake.requests) == 1
        await stand.ask_many("pair", stream=stream)
        assert stand.breaker("pair").state == "closed"
    assert (told.answer.status, told.answer.error["code"]) == (row.status, row.code)
    assert told.labels == [row.label]


async def test_the_words_of_an_upstream_are_cut_and_hold_no_secret_of_ours() -> None:
    async with FakeOpenAI() as fake, facing(fake, api_key="env:KEY") as stand:
        fake.next(refuse(400, "Not with sk-of-ours. " + "x" * 5000))
        message = (await stand.ask("alone")).answer.error["message"]
    assert message.startswith("Not with ")
    assert "sk-of-ours" not in message
    assert len(message) <= 1024


async def test_what_takes_too_long_in_all_leaves_no_time_for_another_target() -> None:
    async with FakeOpenAI() as fake, facing(fake, patience={"total": 0.05}) as stand:
        fake.next(silence)
        told = await stand.ask("pair")
    assert (told.answer.status, told.answer.error["code"]) == (504, "total_timeout")
    assert told.labels == ["total_timeout"]
