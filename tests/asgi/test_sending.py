from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from starlette.types import Message

from tests.asgi_client import Exchange, body_messages, http_scope
from xrouter_asgi import LLMRouter
from xrouter_asgi.asgi.disconnect import ClientDisconnected
from xrouter_asgi.asgi.responses import stream_head
from xrouter_asgi.asgi.sending import Outgoing
from xrouter_asgi.context import RequestContext
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.providers.base import Call, Reply
from xrouter_asgi.testing.openai_answers import chunk, completion
from xrouter_asgi.testing.virtual import virtual
from xrouter_asgi.wire import ChatChunk, ChatCompletion, ChatRequest
from xrouter_asgi.wire.stream import ChatStream

PING = b": keep-alive\n\n"


class Slow:
    """Takes its time, in virtual seconds: `first` until it answers, `pauses` before each further chunk."""

    name = "slow"

    def __init__(self, first: float, *pauses: float, error: Exception | None = None) -> None:
        self._first = first
        self._pauses = pauses
        self._error = error
        self.ended_by: BaseException | None = None

    async def send(self, call: Call, /) -> Reply:
        try:
            await asyncio.sleep(self._first)
        except asyncio.CancelledError as error:
            self.ended_by = error
            raise
        if self._error is not None:
            raise self._error
        if isinstance(call.request, ChatRequest) and call.request.stream:
            return Reply(await ChatStream.start(self._chunks()), provider=self.name)
        return Reply(ChatCompletion(completion(call.document.value)), provider=self.name)

    async def aclose(self) -> None:
        pass

    async def _chunks(self) -> AsyncIterator[list[ChatChunk]]:
        yield [ChatChunk(chunk({"content": "a"}))]
        for pause in self._pauses:
            await asyncio.sleep(pause)
            yield [ChatChunk(chunk({"content": "b"}))]
        yield [ChatChunk(chunk({}, "stop"))]


def chat(provider: Slow, *, stream: bool = True, commit_after: float | None = 15.0) -> tuple[Exchange, RequestContext]:
    context = RequestContext()
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    scope = http_scope("POST", "/v1/chat/completions", xrouter=context)
    app = LLMRouter({"m": provider}, commit_after=commit_after)
    return Exchange(app, scope, script=body_messages(json.dumps(body).encode())), context


@virtual
async def test_a_late_stream_is_kept_awake_and_whole() -> None:
    exchange, context = chat(Slow(40))
    answer = await exchange.run()
    assert (answer.status, answer.header("content-type")) == (200, "text/event-stream; charset=utf-8")
    assert answer.header("x-request-id") == context.request_id
    assert answer.bodies[:2] == [PING, PING]
    assert answer.body.count(PING) == 2
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert (context.provider, context.error) == ("slow", None)


@virtual
async def test_silence_in_mid_stream_is_filled_and_counts_from_the_last_chunk() -> None:
    exchange, _ = chat(Slow(10, 14, 31))
    kinds = ["ping" if body == PING else "data" for body in (await exchange.run()).bodies]
    assert kinds == ["data", "data", "ping", "ping", "data", "data", "data"]


@virtual
@pytest.mark.parametrize(
    ("error", "code"), [(UpstreamUnavailable("Away."), "upstream_unreachable"), (ZeroDivisionError(), None)]
)
@pytest.mark.parametrize("late", [14.0, 16.0])
async def test_an_error_has_its_status_until_a_comment_went_out_and_is_an_event_from_then_on(
    late: float, error: Exception, code: str | None
) -> None:
    exchange, context = chat(Slow(late, error=error))
    answer = await exchange.run()
    if late < 15:
        assert (answer.status, answer.error["code"]) == (500 if code is None else 502, code)
    else:
        assert answer.status == 200
        ping, event = answer.bodies
        assert ping == PING
        assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == code
    assert answer.finished
    assert context.error is not None
    assert context.error.code == code


@virtual
@pytest.mark.parametrize(("stream", "commit_after"), [(False, 15.0), (True, None), (True, 1000.0)])
async def test_no_comment_comes_in_whole_answers_or_where_none_is_wanted(
    stream: bool, commit_after: float | None
) -> None:
    exchange, _ = chat(Slow(100), stream=stream, commit_after=commit_after)
    answer = await exchange.run()
    assert PING not in answer.body
    assert answer.header("x-xrouter-provider") == "slow"


@virtual
async def test_a_client_that_leaves_a_stream_kept_awake_ends_the_wait() -> None:
    provider = Slow(1000)
    exchange, _ = chat(provider)
    running = asyncio.create_task(exchange.run())
    await exchange.sent(3)
    exchange.leave()
    answer = await running
    assert isinstance(provider.ended_by, asyncio.CancelledError)
    assert answer.bodies == [PING, PING]


@pytest.mark.parametrize("commit_after", [0.0, -1.0, float("nan")])
def test_a_silence_of_no_length_is_refused(commit_after: float) -> None:
    with pytest.raises(ValueError, match="'commit_after' is"):
        LLMRouter({}, commit_after=commit_after)


class Client:
    """Takes messages, each as slowly as it is told to."""

    def __init__(self, takes: Callable[[int], float]) -> None:
        self.took: list[Message] = []
        self._takes = takes
        self._busy = False

    async def send(self, message: Message) -> None:
        assert not self._busy, "two messages at once"
        self._busy = True
        try:
            await asyncio.sleep(self._takes(len(self.took)))
        finally:
            self._busy = False
        self.took.append(message)

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.took if "body" in message]


def body(text: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": text, "more_body": more}


@virtual
async def test_a_comment_never_comes_into_a_message_that_is_still_being_taken() -> None:
    client = Client(lambda count: 60.0 if count == 1 else 0.0)
    outgoing = Outgoing(client.send)
    async with outgoing.kept_awake(stream_head(), PING, every=15.0):
        await outgoing(stream_head())
        await outgoing(body(b"long"))
        await asyncio.sleep(16)
        await outgoing(body(b"end", more=False))
    assert client.bodies == [b"long", PING, b"end"]


@virtual
async def test_a_message_waits_for_a_comment_that_is_still_being_taken() -> None:
    client = Client(lambda count: 5.0)
    outgoing = Outgoing(client.send)
    async with outgoing.kept_awake(stream_head(), PING, every=15.0):
        await asyncio.sleep(16)
        await outgoing(stream_head())
        await outgoing(body(b"end", more=False))
    assert client.bodies == [PING, b"end"]
    assert [message["type"] for message in client.took].count("http.response.start") == 1


@virtual
async def test_nothing_can_follow_a_comment_that_was_cut_off() -> None:
    outgoing = Outgoing(Client(lambda count: 100.0).send)

    async def wait() -> None:
        async with outgoing.kept_awake(stream_head(), PING, every=15.0):
            await asyncio.sleep(1000)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(16)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (waiting.cancelled(), outgoing.started, outgoing.open) == (True, True, False)


@virtual
async def test_a_client_that_cannot_be_reached_is_found_out_by_who_sends_the_answer() -> None:
    async def gone(message: Message) -> None:
        raise BrokenPipeError

    outgoing = Outgoing(gone)
    async with outgoing.kept_awake(stream_head(), PING, every=15.0):
        await asyncio.sleep(40)
        with pytest.raises(ClientDisconnected):
            await outgoing(stream_head())
