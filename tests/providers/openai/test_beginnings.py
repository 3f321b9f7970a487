"""What begins an answer, and what keeps it alive: events with a choice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from xrouter_asgi.errors import UpstreamError, UpstreamTimeout, XRouterError
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.hedge import Hedge
from xrouter_asgi.policies.prebuffer import Prebuffer
from xrouter_asgi.policies.timeout import Timeout
from xrouter_asgi.providers.base import Provider
from xrouter_asgi.providers.http import ErrorReader, Redaction, Timeouts
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.providers.openai.chunks import ChunkReader
from xrouter_asgi.providers.target import Target
from xrouter_asgi.testing.http import FakeExchange, Handler
from xrouter_asgi.testing.openai import DONE, SSE, FakeOpenAI, chunked, event, raw, stream, whole
from xrouter_asgi.testing.openai_answers import chunk
from xrouter_asgi.wire import ChatCompletion

from .calls import chat, read, stream_of, text_of

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
AZURE = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []}
EMPTY: list[dict[str, Any]] = [AZURE, {"type": "ping"}, {**HEAD, "choices": []}, {"choices": None}, {"object": "x"}]
USAGE = {**HEAD, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 0}}
FIRST = chunk({"role": "assistant", "content": "a"})
SOFT: list[dict[str, Any]] = [
    {"code": 500, "msg": "Oh."},
    {"code": "500", "msg": "Oh.", "data": None},
    {"detail": "Oh."},
    {"detail": [{"loc": ["body"], "msg": "Oh."}], "choices": None},
    {"success": False, "errors": [{"code": 7000, "message": "Oh."}]},
    {"success": False},
    {"base_resp": {"status_code": 1000, "status_msg": "Oh."}, "choices": None},
    {"base_resp": {"status_code": 1000, "status_msg": "Oh."}, "choices": []},
    {"id": "x"},
    {"choices": []},
]


def reader() -> ChunkReader:
    return ChunkReader(choices=1, hide_usage=False, model="m", errors=ErrorReader(Redaction()))


@pytest.mark.parametrize("empty", EMPTY)
def test_an_event_without_a_choice_waits_for_one_with_a_choice(empty: dict[str, Any]) -> None:
    chunks = reader()
    for first in (FIRST, chunk({"content": "b"}), chunk({"content": "c"}), chunk({}, "stop")):
        assert chunks.feed(event(empty)) == []
        assert chunks.silent
        held, passed = chunks.feed(event(first))
        assert held.value["choices"] == []
        ours = empty if empty.get("id") else passed.value
        assert [held.value[name] for name in ("id", "object", "model")] == [
            ours[name] for name in ("id", "object", "model")
        ]
        assert json.loads(held.data) == held.value
        assert passed.data == json.dumps(first).encode()


def test_held_events_keep_their_order_and_their_bytes() -> None:
    chunks = reader()
    sent = [{**HEAD, "choices": [], "number": number} for number in range(3)]
    assert chunks.feed(b"".join(map(event, sent[:2]))) == []
    passed = chunks.feed(event(sent[2]) + event(FIRST))
    assert [chunk.data for chunk in passed] == [json.dumps(value).encode() for value in [*sent, FIRST]]


def test_the_end_hands_on_what_was_held() -> None:
    for end in (DONE, b""):
        chunks = reader()
        chunks.feed(event(FIRST) + event(EMPTY[2]))
        first, *_ = [*chunks.feed(end), *chunks.close()]
        assert first.data == json.dumps(EMPTY[2]).encode()
        nothing = reader()
        nothing.feed(event(AZURE) + event(USAGE))
        assert [*nothing.feed(end), *nothing.close()] == []


def test_usage_is_a_sign_of_life_and_no_beginning() -> None:
    chunks = reader()
    assert chunks.feed(event(USAGE)) == []
    assert not chunks.silent
    assert chunks.feed(event(EMPTY[1])) == []
    assert chunks.silent
    assert len(chunks.feed(event(FIRST))) == 3
    assert [chunk.only_usage for chunk in chunks.feed(event(EMPTY[1]) + event(USAGE))] == [False, True]


@pytest.mark.parametrize("empty", [{"choices": []}, USAGE])
def test_what_is_held_is_bounded(empty: dict[str, Any]) -> None:
    chunks = reader()
    for _ in range(1000):
        chunks.feed(event(empty))
    assert len(chunks.feed(event(FIRST))) == 65
    large = reader()
    for _ in range(10):
        large.feed(event({"choices": [], "padding": "x" * 300_000}))
    assert len(large.feed(event(FIRST))) == 4
    assert len(large.feed(event(EMPTY[1]) * 100 + event(USAGE))) == 65


@pytest.fixture
async def broken() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as broken:
        yield broken


@pytest.fixture
async def either(fake: FakeOpenAI, broken: FakeOpenAI) -> AsyncIterator[list[Provider]]:
    """A provider that a test breaks, and one that answers."""
    timeouts = Timeouts(first=5.0, idle=0.05)
    providers = [
        OpenAIProvider(one.base_url, timeouts=timeouts, name=name) for one, name in ((broken, "one"), (fake, "two"))
    ]
    yield [Target(provider, model="m") for provider in providers]
    for provider in providers:
        await provider.aclose()


def fallback(first: Provider, second: Provider) -> Fallback:
    return Fallback([Candidate(first, "one"), Candidate(second, "two")])


def pinging(*before: bytes) -> Handler:
    """Some events, then empty ones until the client goes."""

    async def script(exchange: FakeExchange) -> None:
        await exchange.start(200, SSE)
        for piece in before:
            await exchange.write(piece)
        while not exchange.gone.is_set():
            await exchange.write(event({"type": "ping"}))
            await asyncio.sleep(0.005)

    return script


BREAKS = {
    "an error": stream(AZURE, {"error": {"message": "Oh.", "type": "server_error"}}),
    "a cut": raw(chunked(event(AZURE))[:-5]),
    "a reset": raw(chunked(event(AZURE))[:-5], then="reset"),
    "the end": stream(AZURE),
    "pings": pinging(),
    "usage alone": stream(USAGE),
}


@pytest.mark.parametrize("wrap", ["", "prebuffer", "hedge", "timeout"])
@pytest.mark.parametrize("script", BREAKS.values(), ids=BREAKS)
async def test_what_breaks_before_the_first_choice_goes_to_the_next_target(
    broken: FakeOpenAI, either: list[Provider], script: Handler, wrap: str
) -> None:
    first, second = either
    match wrap:
        case "prebuffer":
            first = Prebuffer(first, tokens=1)
        case "hedge":
            first = Hedge(first, second=second)
        case "timeout":
            first = Timeout(first)
    broken.next(script)
    reply = await fallback(first, second).send(chat(stream=True))
    assert reply.provider == "two"
    assert reply.stream is not None
    assert text_of(await read(reply.stream)) == "Hello, my world!"
    await broken.settled()


@pytest.mark.parametrize("asked", ["whole", "stream"])
@pytest.mark.parametrize("said", SOFT)
async def test_a_failure_under_status_200_goes_to_the_next_target(
    broken: FakeOpenAI, either: list[Provider], said: dict[str, Any], asked: str
) -> None:
    for script in (whole(said), stream(said)) if asked == "stream" else (whole(said),):
        broken.next(script)
        reply = await fallback(*either).send(chat(stream=asked == "stream"))
        assert reply.provider == "two"
        if reply.stream is not None:
            assert text_of(await read(reply.stream)) == "Hello, my world!"


@pytest.mark.parametrize("said", SOFT[:1] + SOFT[2:5] + SOFT[6:8])
def test_its_words_are_kept(said: dict[str, Any]) -> None:
    chunks = reader()
    chunks.feed(event(said))
    assert isinstance(chunks.failure, XRouterError)
    assert "Oh." in (chunks.failure.detail or "")


@pytest.mark.parametrize(
    "more",
    [
        {"base_resp": {"status_code": 0, "status_msg": "success"}},
        {"detail": "x", "errors": ["x"], "success": False},
        {"code": 200, "msg": "ok"},
    ],
)
async def test_an_answer_that_says_more_is_an_answer(
    fake: FakeOpenAI, provider: OpenAIProvider, more: dict[str, Any]
) -> None:
    message = {"role": "assistant", "content": "a"}
    fake.next(whole({"choices": [{"message": message, "finish_reason": "stop"}], **more}))
    assert isinstance((await provider.send(chat())).body, ChatCompletion)
    fake.next(stream({**FIRST, **more}, chunk({}, "stop")))
    assert text_of(await read(await stream_of(provider))) == "a"


async def test_empty_events_in_mid_answer_are_silence(broken: FakeOpenAI, either: list[Provider]) -> None:
    broken.next(pinging(event(FIRST)))
    answer = await stream_of(either[0])
    assert text_of([*await anext(answer)]) == "a"
    with pytest.raises(UpstreamTimeout) as caught:
        await read(answer)
    assert caught.value.code == "idle_timeout"
    await broken.settled()


async def test_empty_events_alone_are_silence_too(broken: FakeOpenAI, either: list[Provider]) -> None:
    broken.next(pinging())
    with pytest.raises(UpstreamError) as caught:
        await either[0].send(chat(stream=True))
    assert caught.value.code == "idle_timeout"


async def test_a_finished_answer_with_empty_events_behind_it_is_whole(
    broken: FakeOpenAI, either: list[Provider]
) -> None:
    broken.next(pinging(event(FIRST), event(chunk({}, "stop"))))
    assert text_of(await read(await stream_of(either[0]))) == "a"
