"""An upstream that fails in the middle of a stream: the client has text already, so nothing can be taken back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from xrouter_asgi.context import Usage
from xrouter_asgi.testing.http import FakeExchange, Handler
from xrouter_asgi.testing.openai import DONE, SSE, FakeOpenAI, chunked, endless, event, raw, stream
from xrouter_asgi.testing.openai_answers import chunk
from xrouter_asgi.wire.sse import MAX_EVENT

from .stand import MANY, facing

BEGUN = event(chunk({"role": "assistant", "content": "Hello"}))
END = event(chunk({}, "stop"))


async def silence(exchange: FakeExchange) -> None:
    """A beginning, and then nothing until the client goes."""
    await exchange.start(200, SSE)
    await exchange.write(BEGUN)
    await exchange.gone.wait()


async def pings(exchange: FakeExchange) -> None:
    """A beginning, and then nothing but comments."""
    await exchange.start(200, SSE)
    await exchange.write(BEGUN)
    while not exchange.gone.is_set():
        await exchange.write(b": ping\n\n")
        await asyncio.sleep(0.005)


def broken_by(piece: bytes) -> Handler:
    """A stream that would be whole without one piece in its middle."""
    return stream(BEGUN, piece, END)


@dataclass(frozen=True)
class Break:
    """One fault in the middle of a stream.

    Attributes:
        code: Of the error that the client reads in the stream; metrics call it so, too.
        counts: Whether the circuit breaker counts it.
        timeouts: Clocks of the provider, in seconds.
    """

    name: str
    upstream: Handler
    code: str
    counts: bool = True
    timeouts: Mapping[str, float] = field(default_factory=dict)


FAULTS = [
    Break("reset", raw(chunked(BEGUN)[:-5], then="reset"), "stream_broken"),
    Break("cut chunk", raw(chunked(BEGUN, END)[:-20]), "stream_broken"),
    Break("end without a finish", stream(BEGUN, end=b""), "stream_broken"),
    Break("error event", broken_by(event({"error": {"message": "At 10.0.0.7."}})), "upstream_error"),
    Break("overloaded", broken_by(event({"status": 529, "message": "Busy."})), "upstream_overloaded"),
    Break("rate limit", broken_by(event({"error": {"type": "tokens"}})), "rate_limit_exceeded", counts=False),
    Break("silence", silence, "idle_timeout", timeouts={"idle": 0.05}),
    Break("only comments", pings, "idle_timeout", timeouts={"idle": 0.05}),
    Break("no JSON", broken_by(b"data: {\n\n"), "bad_event"),
    Break("wrong shape", broken_by(event({"choices": [{"index": 0, "delta": "text"}]})), "bad_event"),
    # An upstream that says much, or goes on for long, is not ill.
    Break("huge line", broken_by(b"data: " + b"x" * (MAX_EVENT + 1) + b"\n\n"), "too_large", counts=False),
    Break(
        "no end in time",
        endless(event(chunk({"content": "Hello"}))),
        "total_timeout",
        counts=False,
        timeouts={"total": 0.2},
    ),
]
BREAKS = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
# What has no end has a beginning that can be handed over.
HELD = pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.code != "total_timeout"], ids=lambda fault: fault.name
)


@BREAKS
async def test_a_broken_stream_ends_in_an_error_and_is_neither_repeated_nor_continued_elsewhere(fault: Break) -> None:
    async with FakeOpenAI() as fake, facing(fake, timeouts=fault.timeouts) as stand:
        fake.next(fault.upstream)
        told = await stand.ask("pair", stream=True)
        await fake.settled()
    assert told.answer.status == 200
    *_, last = told.stream
    assert last["error"]["code"] == fault.code
    assert "10.0.0.7" not in last["error"]["message"]
    assert "[DONE]" not in told.stream
    assert told.text.startswith("Hello")
    assert told.labels == [fault.code]
    assert len(fake.requests) == 1
    assert told.answer.header("x-xrouter-provider") == "first"


@BREAKS
async def test_a_circuit_opens_by_streams_that_the_upstream_breaks_off(fault: Break) -> None:
    async with FakeOpenAI() as fake, facing(fake, timeouts=fault.timeouts) as stand:
        fake.next(*[fault.upstream] * MANY)
        await stand.ask_many("pair", stream=True)
        assert stand.breaker("pair").state == ("open" if fault.counts else "closed")


@HELD
async def test_a_stream_that_breaks_while_it_is_held_is_made_good(fault: Break) -> None:
    async with FakeOpenAI() as fake, facing(fake, timeouts=fault.timeouts, patience={"prebuffer_tokens": 2}) as stand:
        fake.next(fault.upstream)
        told = await stand.ask("pair", stream=True)
        await fake.settled()
    assert told.answer.status == 200
    assert told.labels == [fault.code, None]
    assert (told.text.split(), told.stream[-1]) == (["one", "two"], "[DONE]")


@HELD
async def test_a_circuit_opens_by_streams_that_break_while_they_are_held(fault: Break) -> None:
    async with FakeOpenAI() as fake, facing(fake, timeouts=fault.timeouts, patience={"prebuffer_tokens": 2}) as stand:
        fake.next(*[fault.upstream] * 4 * MANY)
        await stand.ask_many("pair", stream=True)
        assert stand.breaker("pair").state == ("open" if fault.counts else "closed")


TEXT = "Привет,\u2028 «мир» 👋\u0085!"
EVENTS = [chunk({"role": "assistant", "content": TEXT[:9]}), chunk({"content": TEXT[9:]}), chunk({}, "stop")]
PLAIN = b"".join(map(event, EVENTS)) + DONE
WHOLE = {
    "comments": b": hi\n\n" + PLAIN.replace(b"\n\n", b"\n\n: ping\n\n"),
    "CRLF": PLAIN.replace(b"\n", b"\r\n"),
    "CR": PLAIN.replace(b"\n", b"\r"),
    "byte order mark": b"\xef\xbb\xbf" + PLAIN,
    "several lines": b"".join(
        b"".join(b"data: %b\n" % line for line in json.dumps(value, indent=1).encode().split(b"\n")) + b"\n"
        for value in EVENTS
    )
    + DONE,
    "other fields": PLAIN.replace(b"data: ", b"id: 7\nevent: message\nretry: 10\ndata: "),
    "no blank after the colon": PLAIN.replace(b"data: ", b"data:"),
    "no [DONE]": PLAIN.removesuffix(DONE),
    "no [DONE] and a reset": PLAIN.removesuffix(DONE),
    "data after [DONE]": PLAIN + event(chunk({"content": "more"})) + b"data: {\n\n",
}


@pytest.mark.parametrize("kind", WHOLE)
async def test_odd_framing_is_no_fault_and_the_text_arrives_exactly(kind: str) -> None:
    data = chunked(WHOLE[kind])
    script = raw(data[:-5], then="reset") if "reset" in kind else raw(data)
    async with FakeOpenAI() as fake, facing(fake) as stand:
        fake.next(*[script] * MANY)
        told = await stand.ask("pair", stream=True)
        await stand.ask_many("pair", stream=True)
        assert stand.breaker("pair").state == "closed"
    assert told.text == TEXT
    assert told.stream.count("[DONE]") == 1
    assert told.stream[-1] == "[DONE]"
    assert told.labels == [None]


@pytest.mark.parametrize("asked", [True, False])
async def test_of_a_usage_told_twice_the_last_counts_and_is_shown_once_to_who_asked(asked: bool) -> None:
    usages = [{"prompt_tokens": count, "completion_tokens": count, "total_tokens": 2 * count} for count in (3, 5)]
    tail = b"".join(event({**chunk({}), "choices": [], "usage": usage}) for usage in usages)
    async with FakeOpenAI() as fake, facing(fake) as stand:
        fake.next(stream(BEGUN, END, tail))
        told = await stand.ask("alone", stream=True, stream_options={"include_usage": asked})
    shown = [event["usage"] for event in told.stream if event != "[DONE]" and event.get("usage")]
    assert shown == usages[1:] * asked
    assert told.usage == Usage(5, 5)
