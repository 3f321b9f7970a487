"""The provider on a socket: what it sends, what comes back, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.providers.openai.calls import embed, read, stream_of, text_of
from xrouter_asgi.errors import UnsupportedOperation, UpstreamError, UpstreamOverloaded, UpstreamUnauthorized
from xrouter_asgi.providers import AnthropicOptions, AnthropicProvider
from xrouter_asgi.providers.base import Call, TokenCounter
from xrouter_asgi.testing.anthropic import FakeAnthropic
from xrouter_asgi.testing.anthropic.answers import events, message, sse
from xrouter_asgi.testing.anthropic.faults import error, refuse, told
from xrouter_asgi.testing.clock import LoopClock
from xrouter_asgi.testing.openai import raw, whole
from xrouter_asgi.testing.scripted import chat
from xrouter_asgi.wire import ChatCompletion, ChatRequest, Document, Original

from .conftest import KEY
from .translating import LOOK

BEGUN: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 3, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
]


def call(text: str = "Hello, my world!", *, model: str = "claude-opus-4-8", **members: Any) -> Call:
    value = {"model": "alias", "messages": [{"role": "user", "content": text}], **members}
    return Call(ChatRequest.of(value), model, document=Document(value))


async def test_a_chat_is_answered_under_the_clients_name(fake: FakeAnthropic, provider: AnthropicProvider) -> None:
    reply = await provider.send(call(seed=1))
    assert isinstance(reply.body, ChatCompletion)
    assert reply.body.value["model"] == "alias"
    assert reply.body.value["choices"][0]["message"]["content"] == "Hello, my world!"
    assert fake.last["model"] == reply.model == "claude-opus-4-8"
    assert reply.warnings == ["seed_ignored"]
    assert list(reply.headers) == [("x-anthropic-request-id", "req_fake")]


async def test_calls_and_thinking_come_back_whole(provider: AnthropicProvider) -> None:
    reply = await provider.send(call('call look {"at": "sky"}\ncall look {}', tools=[LOOK], reasoning_effort="low"))
    assert isinstance(reply.body, ChatCompletion)
    (choice,) = reply.body.value["choices"]
    calls = choice["message"]["tool_calls"]
    assert [each["function"]["arguments"] for each in calls] == ['{"at":"sky"}', "{}"]
    assert choice["message"]["content"] is None
    assert choice["message"]["reasoning_content"] == "Let me see."
    assert choice["message"]["thinking_blocks"][0]["signature"]
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("given", "sent"), [("2026-10-21", "2026-10-21"), ("evil\r\nx: y", "2023-06-01"), (None, "2023-06-01")]
)
async def test_of_the_clients_headers_the_version_alone_goes_up(
    fake: FakeAnthropic, provider: AnthropicProvider, given: str | None, sent: str
) -> None:
    asked = call()
    asked.headers = [(b"x-api-key", b"mine"), (b"anthropic-beta", b"all")]
    if given is not None:
        asked.headers = [*asked.headers, (b"anthropic-version", given.encode())]
    asked.trace_headers = [(b"traceparent", b"00-1")]
    await provider.send(asked)
    headers = fake.requests[-1].headers
    assert (headers["anthropic-version"], headers["x-api-key"], headers["traceparent"]) == (sent, KEY, "00-1")
    assert "anthropic-beta" not in headers


async def test_another_upstream_may_want_a_bearer_token(fake: FakeAnthropic) -> None:
    provider = AnthropicProvider(base_url=fake.base_url, headers={"Authorization": "Bearer x", "x-api-key": KEY})
    assert provider.ready(call()) is None
    await provider.send(call())
    await provider.aclose()
    assert fake.requests[-1].headers["authorization"] == "Bearer x"


async def test_what_is_marked_is_written_to_the_cache_once_and_read_from_then_on(fake: FakeAnthropic) -> None:
    provider = AnthropicProvider(KEY, base_url=fake.base_url, options=AnthropicOptions(cache="auto"))
    system = {"role": "system", "content": "Be kind to everybody."}
    details = []
    for stream in (False, True):
        request = ChatRequest.of(chat(messages=[system, {"role": "user", "content": "Hi"}], stream=stream))
        reply = await provider.send(Call(request))
        if reply.stream is not None:
            usage = (await read(reply.stream))[-1].value["usage"]
        else:
            assert isinstance(reply.body, ChatCompletion)
            usage = reply.body.value["usage"]
        details.append(usage["prompt_tokens_details"])
        assert usage["prompt_tokens"] > sum(usage["prompt_tokens_details"].values()) > 0
    await provider.aclose()
    ((written, nothing), (other, read_again)) = [
        (each["cache_write_tokens"], each["cached_tokens"]) for each in details
    ]
    assert (nothing, other, written) == (0, 0, read_again)


async def test_embeddings_are_refused(provider: AnthropicProvider) -> None:
    with pytest.raises(UnsupportedOperation, match="has no embeddings"):
        await provider.send(embed())
    with pytest.raises(UnsupportedOperation):
        await provider.count_tokens(embed())


async def test_an_error_before_the_first_block_is_an_answer_of_its_own(
    fake: FakeAnthropic, provider: AnthropicProvider
) -> None:
    fake.next(told(BEGUN[0], {"type": "ping"}, error("overloaded_error", "Overloaded")))
    with pytest.raises(UpstreamOverloaded):
        await stream_of(provider, call(stream=True))


async def test_an_error_in_the_middle_breaks_the_stream_and_says_why(
    fake: FakeAnthropic, provider: AnthropicProvider
) -> None:
    fake.next(told(*BEGUN, error("overloaded_error", "Overloaded")))
    stream = await stream_of(provider, call(stream=True))
    with pytest.raises(UpstreamOverloaded, match="Overloaded"):
        await read(stream)


async def test_a_stream_without_an_end_is_broken(fake: FakeAnthropic, provider: AnthropicProvider) -> None:
    for script in (told(*BEGUN), told(*BEGUN, end=sse({"type": "message_stop"})[:-8])):
        fake.next(script)
        stream = await stream_of(provider, call(stream=True))
        with pytest.raises(UpstreamError) as caught:
            await read(stream)
        assert caught.value.code == "stream_broken"


async def test_a_whole_answer_to_a_streamed_request_is_a_stream(
    fake: FakeAnthropic, provider: AnthropicProvider
) -> None:
    said = message(
        {"model": "m", "messages": [{"role": "user", "content": "call look {}"}], "tools": [{"name": "look"}]}
    )
    fake.next(whole(said))
    chunks = await read(await stream_of(provider, call(stream=True)))
    fragments = [each for chunk in chunks for c in chunk.value["choices"] for each in c["delta"].get("tool_calls", ())]
    assert [each["index"] for each in fragments] == [0]
    assert chunks[-1].only_usage


async def test_a_connection_lost_behind_the_end_harms_nothing(fake: FakeAnthropic, provider: AnthropicProvider) -> None:
    said = message({"model": "m", "messages": [{"role": "user", "content": "Hello there"}]})
    body = b"".join(map(sse, events(said)[:-1]))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n"
    fake.next(raw(head + body, then="reset"))
    assert text_of(await read(await stream_of(provider, call(stream=True)))) == "Hello there"


@pytest.mark.parametrize("body", [{"type": "error", "error": {"type": "overloaded_error", "message": "Oh"}}, {}])
async def test_an_error_under_status_200_is_an_error(
    fake: FakeAnthropic, provider: AnthropicProvider, body: dict[str, Any]
) -> None:
    for stream in (False, True):
        fake.next(whole(body))
        with pytest.raises(UpstreamError) as caught:
            await provider.send(call(stream=stream))
        assert isinstance(caught.value, UpstreamOverloaded) == bool(body)


async def test_our_key_is_our_business(fake: FakeAnthropic) -> None:
    provider = AnthropicProvider("sk-ant-wrong-123456", base_url=fake.base_url)
    with pytest.raises(UpstreamUnauthorized) as caught:
        await provider.send(call())
    await provider.aclose()
    assert list(caught.value.upstream_ids) == [("x-anthropic-request-id", "req_fake")]
    assert "sk-ant" not in repr(provider) + str(caught.value)


class TestCounting:
    async def test_the_upstream_counts(self, fake: FakeAnthropic, provider: AnthropicProvider) -> None:
        assert isinstance(provider, TokenCounter)
        assert await provider.count_tokens(call("one two", max_tokens=5, temperature=0.5, stream=True)) == 3
        assert fake.last.keys() == {"model", "messages"}

    async def test_an_upstream_that_cannot_says_nothing(self, fake: FakeAnthropic, provider: AnthropicProvider) -> None:
        fake.next(refuse(404, "not_found_error", "Not Found"), whole({"tokens": 3}))
        assert await provider.count_tokens(call()) is None
        assert await provider.count_tokens(call()) is None

    async def test_an_error_is_an_error(self, fake: FakeAnthropic, provider: AnthropicProvider) -> None:
        fake.next(refuse(529, "overloaded_error", "Overloaded"))
        with pytest.raises(UpstreamOverloaded):
            await provider.count_tokens(call())


class TestModels:
    async def test_all_pages_are_one_list(self, fake: FakeAnthropic, provider: AnthropicProvider) -> None:
        listed = await provider.models()
        assert [row["id"] for row in listed.value["data"]] == ["claude-one", "chat", "claude-two"]
        assert listed.value["data"][0] == {
            "id": "claude-one",
            "object": "model",
            "created": 1770249600,
            "owned_by": "anthropic",
            "name": "Claude-One",
        }
        assert [each.path for each in fake.requests] == ["/v1/models?limit=1000", "/v1/models?limit=1000&after_id=chat"]

    async def test_they_are_remembered_for_a_minute(self, fake: FakeAnthropic, provider: AnthropicProvider) -> None:
        clock = LoopClock()
        for seconds, asked in ((0, 2), (59, 2), (2, 4)):
            clock.advance(seconds)
            await provider.models()
            assert len(fake.requests) == asked

    async def test_pages_without_an_end_do_not_go_on_for_ever(
        self, fake: FakeAnthropic, provider: AnthropicProvider
    ) -> None:
        endless = {"data": [{"id": "a", "created_at": "?"}, {"id": 1}, 2], "has_more": True, "last_id": "a"}
        fake.next(*[whole(endless)] * 20)
        assert {row["created"] for row in (await provider.models()).value["data"]} == {0}
        assert len(fake.requests) == 10

    async def test_another_shape_is_the_upstreams_fault(self, fake: FakeAnthropic, provider: AnthropicProvider) -> None:
        fake.next(whole({"data": 1}))
        with pytest.raises(UpstreamError, match="another shape"):
            await provider.models()


async def test_a_translated_request_is_measured_by_what_the_client_wrote(provider: AnthropicProvider) -> None:
    document, written = Document(chat("alias")), Document({"model": "alias"}, b'{"model":"alias"}')
    original = Original("responses", written, document, written)
    reply = await provider.send(Call(ChatRequest.of(document.value), document=document, original=original))
    assert isinstance(reply.body, ChatCompletion)


async def test_a_ping_is_a_sign_of_life() -> None:
    """A model that thinks in secret says nothing else."""
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    pieces: list[Callable[[], bytes]] = [lambda: b"".join(map(sse, BEGUN))]
    clock = LoopClock()

    def late() -> bytes:
        clock.advance(50)
        return ping

    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}
    pieces += [late, late, late, lambda: sse(end) + sse({"type": "message_stop"})]

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            for piece in pieces:
                await asyncio.sleep(0)
                yield piece()

    def answer(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content)["stream"] is True
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Body())

    provider = AnthropicProvider(transport=httpx.MockTransport(answer))
    assert text_of(await read(await stream_of(provider, call(stream=True)))) == "Hel"
    await provider.aclose()
