"""Streams over sockets: how they are framed, how they end, and how they break."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from xrouter_asgi.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable, XRouterError
from xrouter_asgi.providers.http import Timeouts
from xrouter_asgi.providers.http.parser import AnswerParser
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.testing.clock import LoopClock
from xrouter_asgi.testing.http import Handler
from xrouter_asgi.testing.openai import (
    DONE,
    FakeOpenAI,
    chunked,
    endless,
    event,
    held,
    identity,
    raw,
    refuse,
    stream,
    whole,
)
from xrouter_asgi.testing.openai_answers import chunk, completion
from xrouter_asgi.wire.sse import MAX_EVENT, EventReader
from xrouter_asgi.wire.stream import ChatStream

from .calls import TOOL, chat, read, stream_of, text_of

TEXT = "Привет, мир!\u2028\u0085 e\u0301 😀"
SAID = [chunk({"role": "assistant", "content": ""}), chunk({"content": TEXT}), chunk({}, "stop")]
EVENTS = b"".join(map(event, SAID))
FRAMINGS = {
    "crlf": EVENTS.replace(b"\n", b"\r\n") + b"data: [DONE]\r\n\r\n",
    "cr": EVENTS.replace(b"\n", b"\r") + b"data: [DONE]\r\r",
    "comments": b": hello\n\n" + EVENTS.replace(b"\n\n", b"\n: inside\n\n: between\n\n") + DONE,
    "other fields": b"retry: 5\n\n" + EVENTS.replace(b"data:", b"id: 1\nevent: message\ndata:") + DONE,
    "bom": b"\xef\xbb\xbf" + EVENTS + DONE,
    "no space": EVENTS.replace(b"data: ", b"data:") + b"data:[DONE]\n\n",
    "several lines": EVENTS.replace(b', "', b'\ndata: , "') + DONE,
    "empty events": b"data:\n\ndata\n\n" + EVENTS + DONE,
    "no done": EVENTS,
    "one line end": (EVENTS + DONE).replace(b"\n\n", b"\n"),
    "one line end, no done": EVENTS.replace(b"\n\n", b"\n"),
    "spaces before the field": (EVENTS + DONE).replace(b"data:", b" data:"),
    "the field twice": (EVENTS + DONE).replace(b"data:", b"data: data:"),
    "the field thrice": (EVENTS + DONE).replace(b"data:", b"data:data:data:"),
    "no last blank line": EVENTS.removesuffix(b"\n\n"),
    "spaces around done": EVENTS + b"data:  [DONE] \n\n",
}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_the_text_is_exact_however_it_is_framed(fake: FakeOpenAI, provider: OpenAIProvider, framing: str) -> None:
    fake.next(raw(chunked(FRAMINGS[framing])))
    assert text_of(await read(await stream_of(provider))) == TEXT


HALVES = ["\ud83d", "\ude00"]
HALF_CALLS = [
    {"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": {"name": "sum", "arguments": half}}]}
    for half in HALVES
]


@pytest.mark.parametrize("deltas", [[{"content": half} for half in HALVES], HALF_CALLS], ids=["text", "arguments"])
async def test_half_a_surrogate_pair_in_an_event_is_passed_on(
    fake: FakeOpenAI, provider: OpenAIProvider, deltas: list[dict[str, Any]]
) -> None:
    """Node's library glues the halves of two events together."""
    events = [json.dumps(chunk(delta)).encode() for delta in deltas]
    fake.next(stream(SAID[0], *(b"data: " + data + b"\n\n" for data in events), SAID[2]))
    chunks = await read(await stream_of(provider))
    assert b"\\ud83d" in chunks[1].data
    assert b"\\ude00" in chunks[2].data


@pytest.mark.parametrize("size", [2 << 20, 20 << 20])
async def test_an_event_may_be_as_large_as_a_whole_answer(
    fake: FakeOpenAI, provider: OpenAIProvider, size: int
) -> None:
    fake.next(stream(SAID[0], chunk({"content": "x" * size}), SAID[2]))
    assert len(text_of(await read(await stream_of(provider)))) == size


async def test_the_field_that_came_twice_goes_down_once(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(raw(chunked(FRAMINGS["the field twice"])))
    assert not any(said.data.startswith(b"data") for said in await read(await stream_of(provider)))


async def test_the_text_is_exact_when_it_comes_byte_by_byte(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(raw(chunked(EVENTS + DONE), size=1))
    assert text_of(await read(await stream_of(provider))) == TEXT


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_events_are_the_same_in_whatever_pieces_their_answer_comes(framing: str, size: int) -> None:
    """The two parsers in a row, without a socket: HTTP's and that of events."""

    def events(*pieces: bytes) -> list[bytes]:
        answer, reader = AnswerParser("POST"), EventReader()
        found = []
        for piece in pieces:
            answer.feed(piece)
            found += reader.feed(answer.take())
        assert answer.complete
        return found + reader.close()

    data = chunked(*(line + b"\n" for line in FRAMINGS[framing].split(b"\n")))
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert events(*pieces) == events(data)
    assert events(data)


async def test_events_come_down_as_the_bytes_they_were(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    events = [json.dumps(value, indent=1).encode().replace(b"\n", b" ") for value in SAID]
    fake.next(stream(*(b"data: " + data + b"\n\n" for data in events)))
    assert [chunk.data for chunk in await read(await stream_of(provider))] == events


async def test_what_one_read_brought_is_one_batch(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(raw(chunked(EVENTS + DONE)))
    batches = [batch async for batch in await stream_of(provider)]
    assert [len(batch) for batch in batches] == [3]


async def test_the_first_chunk_is_here_before_the_answer_ends(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    go_on = asyncio.Event()
    fake.next(stream(SAID[0], end=event(SAID[2]) + DONE, hold=go_on))
    answer = await stream_of(provider)
    assert len(await anext(answer)) == 1
    go_on.set()
    assert len(await read(answer)) == 1


async def test_the_stream_asks_for_events(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    await read(await stream_of(provider))
    assert fake.requests[0].headers["accept"] == "text/event-stream"
    assert fake.requests[0].headers["content-type"] == "application/json"


async def test_two_streams_share_one_connection(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    for _ in range(2):
        assert text_of(await read(await stream_of(provider))) == "Hello, my world!"
    assert fake.connections == 1


async def test_tool_calls_are_streamed(provider: OpenAIProvider) -> None:
    chunks = await read(await stream_of(provider, chat('call sum {"a": 1}', tools=[TOOL], stream=True)))
    calls = [delta["tool_calls"][0] for delta in deltas(chunks) if "tool_calls" in delta]
    assert calls[0] == {
        "index": 0, "id": "call_0", "type": "function", "function": {"name": "sum", "arguments": ""}
    }  # fmt: skip
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a": 1}'


async def test_several_choices_are_streamed(provider: OpenAIProvider) -> None:
    chunks = await read(await stream_of(provider, chat("hi", n=3, stream=True)))
    assert [choice["index"] for chunk in chunks for choice in chunk.value["choices"]] == [0, 1, 2] * 3


def deltas(chunks: list[Any]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks for choice in chunk.value["choices"]]


class TestTheEnd:
    async def test_what_comes_after_done_is_dropped(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        fake.next(stream(*SAID, DONE, chunk({"content": "more"}), b"data: {\n\n"))
        assert text_of(await read(await stream_of(provider))) == TEXT

    async def test_an_upstream_that_does_not_stop_is_closed(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        fake.next(stream(*SAID, DONE, hold=asyncio.Event(), end=b""))
        assert text_of(await read(await stream_of(provider))) == TEXT
        await fake.settled()

    async def test_an_end_shortly_after_done_keeps_the_connection(
        self, fake: FakeOpenAI, provider: OpenAIProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("xrouter_asgi.providers.http.chunk_stream.LINGER", 10.0)
        go_on = asyncio.Event()
        fake.next(stream(EVENTS + DONE, end=b"", hold=go_on))  # all events in one write, the end apart
        answer = await stream_of(provider)
        assert len(await anext(answer)) == 3
        end = asyncio.ensure_future(anext(answer, None))
        go_on.set()
        assert await end is None
        await read(await stream_of(provider))
        assert fake.connections == 1

    async def test_a_connection_lost_after_done_harms_no_one(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        fake.next(raw(chunked(EVENTS + DONE)[:-5], then="reset"))
        assert text_of(await read(await stream_of(provider))) == TEXT

    @pytest.mark.parametrize("then", ["close", "reset"])
    @pytest.mark.parametrize("coding", ["chunked", "until the connection ends"])
    async def test_one_that_stops_before_the_finish_is_broken(
        self, fake: FakeOpenAI, provider: OpenAIProvider, then: Any, coding: str
    ) -> None:
        data = b"".join(map(event, SAID[:2]))
        fake.next(raw(chunked(data)[:-5] if coding == "chunked" else identity(data), then=then))
        answer = await stream_of(provider)
        batch = await anext(answer)
        assert text_of([*batch]) == TEXT
        with pytest.raises(UpstreamError) as caught:
            await read(answer)
        assert caught.value.code == "stream_broken"

    async def test_an_event_cut_off_by_the_end_is_none(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        fake.next(raw(identity(EVENTS + b'data: {"choices": [], "usage": {"prompt_')))
        assert text_of(await read(await stream_of(provider))) == TEXT
        fake.next(raw(identity(EVENTS[:-20])))
        with pytest.raises(UpstreamError) as caught:
            await read(await stream_of(provider))
        assert caught.value.code == "stream_broken"

    async def test_an_error_without_its_blank_line_counts(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        fake.next(raw(identity(event(SAID[0]) + event({"error": {"message": "Oh.", "code": 503}})[:-2])))
        answer = await stream_of(provider)
        with pytest.raises(UpstreamUnavailable) as caught:
            await read(answer)
        assert caught.value.code == "upstream_unavailable"

    async def test_closing_early_closes_the_upstream(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        fake.next(stream(*SAID, hold=asyncio.Event()))
        answer = await stream_of(provider)
        await answer.aclose()
        await fake.settled()

    async def test_a_cancelled_read_closes_the_upstream(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        fake.next(stream(SAID[0], hold=asyncio.Event()))
        answer = await stream_of(provider)
        await anext(answer)
        task = asyncio.ensure_future(anext(answer))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await fake.settled()

    async def test_a_cancelled_start_closes_the_upstream(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        fake.next(stream(hold=asyncio.Event()))
        task = asyncio.create_task(stream_of(provider))
        await fake.arrived()
        task.cancel()
        await asyncio.wait([task])
        await fake.settled()


@pytest.mark.parametrize(
    ("script", "kind", "code", "retryable"),
    [
        (raw(), UpstreamUnavailable, "connection_lost", True),
        (raw(then="reset"), UpstreamUnavailable, "connection_lost", True),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), UpstreamError, "bad_protocol", False),
        (stream(end=b""), UpstreamUnavailable, "empty_stream", True),
        (stream(), UpstreamUnavailable, "empty_stream", True),
        (stream(b": ping\n\n", b"data:\n\n"), UpstreamUnavailable, "empty_stream", True),
        (whole(b"hello", headers={"content-type": "text/plain"}), UpstreamUnavailable, "empty_stream", True),
        (whole(b"<html>Welcome</html>", headers={"content-type": "text/html"}), UpstreamError, "bad_body", False),
        (whole(b""), UpstreamUnavailable, "empty_answer", True),
        (whole({"choices": []}), UpstreamUnavailable, "empty_answer", True),
        (stream(b"data: {\n\n"), UpstreamError, "bad_event", False),
        (stream([1]), UpstreamError, "bad_event", False),
        (stream(b"data: " + b"x" * (MAX_EVENT + 1) + b"\n\n"), UpstreamError, "too_large", False),
        (stream({"error": {"message": "m", "type": "tokens"}}), UpstreamError, "rate_limit_exceeded", True),
        (refuse(429, "try again in 9.8s"), UpstreamError, "rate_limit_exceeded", True),
        (refuse(503), UpstreamUnavailable, "upstream_unavailable", True),
        (raw(chunked(event(SAID[0]))[:-20]), UpstreamUnavailable, "truncated", True),
    ],
)  # fmt: skip
async def test_what_fails_before_the_first_chunk_is_raised_from_send(
    fake: FakeOpenAI, provider: OpenAIProvider, script: Handler, kind: type[XRouterError], code: str, retryable: bool
) -> None:
    fake.next(script)
    with pytest.raises(kind) as caught:
        await provider.send(chat(stream=True))
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    await fake.settled()


@pytest.mark.parametrize("piece", [b"", b": ping\n\n", b"data:\n\n"])
async def test_an_answer_that_begins_but_says_nothing_is_given_up(fake: FakeOpenAI, piece: bytes) -> None:
    provider = OpenAIProvider(fake.base_url, timeouts=Timeouts(first=0.05))
    fake.next(endless(piece) if piece else stream(hold=asyncio.Event()))
    with pytest.raises(UpstreamTimeout) as caught:
        await provider.send(chat(stream=True))
    assert caught.value.code == "first_byte_timeout"
    await fake.settled()
    await provider.aclose()


async def test_no_head_in_time_is_given_up(fake: FakeOpenAI) -> None:
    provider = OpenAIProvider(fake.base_url, timeouts=Timeouts(first=0.02))
    fake.next(held(asyncio.Event(), stream()))
    with pytest.raises(UpstreamTimeout) as caught:
        await provider.send(chat(stream=True))
    assert caught.value.code == "first_byte_timeout"
    await provider.aclose()


@pytest.mark.parametrize("silence", ["quiet", "comments"])
async def test_silence_in_mid_answer_is_given_up(fake: FakeOpenAI, silence: str) -> None:
    async def chatter(exchange: Any) -> None:
        await exchange.start(200, {"content-type": "text/event-stream"})
        await exchange.write(event(SAID[0]))
        while not exchange.gone.is_set():
            await exchange.write(b": still here\n\n")
            await asyncio.sleep(0.001)

    provider = OpenAIProvider(fake.base_url, timeouts=Timeouts(idle=0.05))
    fake.next(chatter if silence == "comments" else stream(SAID[0], hold=asyncio.Event()))
    answer = await stream_of(provider)
    with pytest.raises(UpstreamTimeout) as caught:
        await read(answer)
    assert caught.value.code == "idle_timeout"
    await fake.settled()
    await provider.aclose()


@pytest.mark.parametrize("silence", [b"", b": still here\n\n"])
async def test_a_finished_answer_that_never_ends_is_whole(fake: FakeOpenAI, silence: bytes) -> None:
    async def endless(exchange: Any) -> None:
        await exchange.start(200, {"content-type": "text/event-stream"})
        await exchange.write(b"".join(map(event, SAID)))
        while not exchange.gone.is_set():
            await exchange.write(silence) if silence else None
            await asyncio.sleep(0.001)

    provider = OpenAIProvider(fake.base_url, timeouts=Timeouts(idle=0.05))
    fake.next(endless)
    assert len(await read(await stream_of(provider))) == len(SAID)
    await fake.settled()
    await provider.aclose()


async def test_only_the_time_since_the_last_chunk_counts(fake: FakeOpenAI) -> None:
    """Nor does the time count that a reader takes for itself."""
    clock = LoopClock()
    provider = OpenAIProvider(fake.base_url, timeouts=Timeouts(total=None))
    go_on = asyncio.Event()
    fake.next(stream(SAID[0], b": ping\n\n", hold=go_on, end=event(SAID[1]) + event(SAID[2]) + DONE))
    answer = await stream_of(provider)
    await anext(answer)
    clock.advance(1e6)
    go_on.set()
    assert text_of(await read(answer)) == TEXT
    await provider.aclose()


async def test_the_whole_exchange_is_bounded(fake: FakeOpenAI) -> None:
    provider = OpenAIProvider(fake.base_url, timeouts=Timeouts(total=0.05))
    fake.next(endless(event(chunk({"content": "x"}))))
    with pytest.raises(UpstreamTimeout) as caught:
        await read(await stream_of(provider))
    assert caught.value.code == "total_timeout"
    await fake.settled()
    await provider.aclose()


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (event({"error": {"message": "secret host 10.0.0.1", "type": "server_error"}}), "upstream_error"),
        (b"event: error\n" + event({"error": {"message": "Slow.", "type": "tokens"}}), "rate_limit_exceeded"),
        (event({"status": 529, "message": "Busy."}), "upstream_overloaded"),
        (b"data: {broken\n\n", "bad_event"),
        (event({"choices": [{"index": 0, "delta": "text"}]}), "bad_event"),
        (b"data: " + b"x" * (MAX_EVENT + 1) + b"\n\n", "too_large"),
    ],
)
async def test_what_breaks_in_mid_answer_comes_after_what_was_said(
    fake: FakeOpenAI, provider: OpenAIProvider, broken: bytes, code: str
) -> None:
    fake.next(raw(chunked(b"".join(map(event, SAID[:2])), broken, event(SAID[2]), DONE)))
    answer = await stream_of(provider)
    assert text_of([*await anext(answer)]) == TEXT
    with pytest.raises(UpstreamError) as caught:
        await read(answer)
    assert caught.value.code == code
    assert "10.0.0.1" not in caught.value.message
    await fake.settled()


class TestAWholeAnswerToAStreamedRequest:
    async def test_it_becomes_a_stream(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        answer = completion({"model": "m", "messages": [{"role": "user", "content": TEXT}]})
        fake.next(whole(answer))
        chunks = await read(await stream_of(provider))
        assert text_of(chunks) == TEXT
        assert [chunk.value["object"] for chunk in chunks] == ["chat.completion.chunk"] * 3
        assert deltas(chunks)[0]["role"] == "assistant"
        assert chunks[1].value["choices"][0]["finish_reason"] == "stop"
        assert chunks[2].only_usage

    async def test_its_tool_calls_get_their_index(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        calls = [{"id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in (0, 1)]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        fake.next(whole({"id": "x", "choices": [{"message": message, "finish_reason": "tool_calls"}]}))
        chunks = await read(await stream_of(provider))
        assert deltas(chunks)[0]["tool_calls"] == [{"index": 0, **calls[0]}, {"index": 1, **calls[1]}]
        assert len(chunks) == 2

    async def test_each_choice_is_finished(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        choices: list[dict[str, Any]] = [
            {"index": 5, "message": {"content": "a"}},
            {"message": {"content": "b"}, "finish_reason": "length"},
        ]
        fake.next(whole({"choices": choices}, headers={"content-type": "application/json; charset=utf-8"}))
        chunks = await read(await stream_of(provider, chat(stream=True, n=2)))
        finishes = [(c["index"], c["finish_reason"]) for chunk in chunks for c in chunk.value["choices"]]
        assert finishes == [(0, None), (0, "stop"), (1, None), (1, "length")]

    async def test_an_error_is_an_error(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        fake.next(whole({"error": {"message": "Slow.", "code": "rate_limit_exceeded"}}))
        with pytest.raises(UpstreamError) as caught:
            await provider.send(chat(stream=True))
        assert caught.value.status == 429


async def test_many_streams_at_once_stay_apart(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    async def one(number: int) -> str:
        answer: ChatStream = await stream_of(provider, chat(f"number {number} " * 20, stream=True))
        return text_of(await read(answer))

    said = await asyncio.gather(*(one(number) for number in range(50)))
    assert said == [f"number {number} " * 20 for number in range(50)]
    assert fake.running == 0
