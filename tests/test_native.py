"""Policies and what an upstream says in the client's own dialect: nothing native passes them by."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest

from tests.serving import uvicorn_here
from xrouter_asgi import LLMRouter, Target
from xrouter_asgi.dialects.messages import MESSAGES
from xrouter_asgi.dialects.writers import NativeEvents
from xrouter_asgi.errors import ContentRefused, UpstreamError
from xrouter_asgi.kept import MemoryAnswers
from xrouter_asgi.policies import Cache, Guard, Hedge, Passage, Prebuffer, resilient
from xrouter_asgi.providers import AnthropicProvider, OpenAIOptions, OpenAIProvider
from xrouter_asgi.providers.base import Call, Provider, Reply
from xrouter_asgi.providers.target import Wrapper
from xrouter_asgi.testing.anthropic import FakeAnthropic
from xrouter_asgi.testing.http import FakeExchange, Handler
from xrouter_asgi.testing.openai import FakeOpenAI, whole
from xrouter_asgi.testing.openai import stream as stream_of
from xrouter_asgi.wire import ChatChunk, ChatCompletion, Document
from xrouter_asgi.wire.codec import encode
from xrouter_asgi.wire.stream import ChatStream

ASKED: dict[str, Any] = {
    "model": "m",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "my secret word"}],
}


@pytest.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic() as fake:
        yield fake


@asynccontextmanager
async def serving(fake: FakeAnthropic, around: Callable[[Provider], Provider]) -> AsyncIterator[httpx.AsyncClient]:
    provider = AnthropicProvider(base_url=fake.base_url)
    router = LLMRouter({"m": around(Target(provider, model="claude-opus-4-8"))})
    async with uvicorn_here(router) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client
    await router.aclose()


async def ask(client: httpx.AsyncClient, **members: Any) -> httpx.Response:
    return await client.post("/v1/messages", json={**ASKED, **members}, headers={"anthropic-version": "2023-06-01"})


def text_in(answer: httpx.Response) -> str:
    """What a whole or streamed message says."""
    if answer.headers["content-type"] == "application/json":
        return "".join(block.get("text", "") for block in answer.json()["content"])
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert [event["type"] for event in events][-1] == "message_stop"
    return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


def is_native(answer: httpx.Response) -> bool:
    return "msg_fake" in answer.text


each_mode = pytest.mark.parametrize("stream", [False, True])


async def masking(passages: Sequence[Passage]) -> list[str]:
    if any("forbidden" in passage.text for passage in passages):
        raise ContentRefused("That is not said here.")
    return [passage.text.replace("secret", "***") for passage in passages]


class Shouting(Wrapper):
    """A policy that changes each chunk of a stream, from `first` on, and each whole answer."""

    def __init__(self, inner: Provider, *, first: int = 0) -> None:
        super().__init__(inner)
        self._first = first

    async def send(self, call: Call, /) -> Reply:
        reply = await self.inner.send(call)
        if reply.stream is None:
            assert isinstance(reply.body, ChatCompletion)
            return dataclasses.replace(reply, body=ChatCompletion(None, reply.body.data.replace(b"secret", b"SECRET")))
        return dataclasses.replace(reply, body=await ChatStream.start(self._changed(reply.stream)))

    async def _changed(self, stream: ChatStream) -> AsyncIterator[Sequence[ChatChunk]]:
        number = 0
        async for batch in stream:
            changed = []
            for chunk in batch:
                number += 1
                new = ChatChunk(None, chunk.data.replace(b"secret", b"SECRET"))
                changed.append(new if number > self._first else chunk)
            for each in changed:
                yield [each]
        await stream.aclose()


@each_mode
async def test_a_check_that_changes_nothing_lets_the_clients_own_words_pass(fake: FakeAnthropic, stream: bool) -> None:
    async with serving(fake, lambda inner: Guard(inner, check=masking)) as client:
        system = [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]
        messages = [{"role": "user", "content": "my word"}]
        answer = await ask(client, stream=stream, system=system, messages=messages)
    assert (text_in(answer), is_native(answer)) == ("my word", True)
    assert fake.last["system"] == system


@each_mode
async def test_a_check_that_replaces_a_word_has_the_request_translated(fake: FakeAnthropic, stream: bool) -> None:
    async with serving(fake, lambda inner: Guard(inner, check=masking)) as client:
        answer = await ask(client, stream=stream)
    assert (text_in(answer), is_native(answer)) == ("my *** word", False)
    assert b"secret" not in fake.requests[0].body


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "my secret", "signature": "EqQB"},
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "my secret"}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"title": "my secret", "url": "u"}]},
    ],
)
async def test_a_check_sees_what_only_the_clients_own_words_hold(fake: FakeAnthropic, block: dict[str, Any]) -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [block, {"type": "text", "text": "Hello"}]},
        {"role": "user", "content": "and?"},
    ]
    async with serving(fake, lambda inner: Guard(inner, check=masking)) as client:
        answer = await ask(client, messages=turns)
    assert text_in(answer) == "and?"
    assert b"secret" not in fake.requests[0].body


@each_mode
async def test_a_check_that_refuses_reaches_no_upstream(fake: FakeAnthropic, stream: bool) -> None:
    turn = {"role": "user", "content": "Hi"}
    thought = {"role": "assistant", "content": [{"type": "thinking", "thinking": "forbidden", "signature": "EqQB"}]}
    async with serving(fake, lambda inner: Guard(inner, check=masking)) as client:
        answer = await ask(client, stream=stream, messages=[turn, thought, turn])
    assert answer.status_code == 400
    assert fake.requests == []


@each_mode
async def test_an_answer_that_is_checked_is_what_the_check_has_seen(fake: FakeAnthropic, stream: bool) -> None:
    async def answers_only(passages: Sequence[Passage]) -> list[str]:
        return [each.text.replace("secret", "***") if each.of == "answer" else each.text for each in passages]

    async with serving(fake, lambda inner: Guard(inner, check=answers_only, answers=True)) as client:
        answer = await ask(client, stream=stream)
    assert (text_in(answer), is_native(answer)) == ("my *** word", False)


@each_mode
async def test_an_answer_that_a_policy_changes_is_written_anew(fake: FakeAnthropic, stream: bool) -> None:
    async with serving(fake, Shouting) as client:
        answer = await ask(client, stream=stream)
    assert (text_in(answer), is_native(answer)) == ("my SECRET word", False)


async def test_a_stream_that_a_policy_changes_in_the_middle_ends_with_an_error(fake: FakeAnthropic) -> None:
    async with serving(fake, lambda inner: Shouting(inner, first=2)) as client:
        answer = await ask(client, stream=True)
    assert "event: error" in answer.text
    assert "secret" not in answer.text.partition("event: error")[0].split("my", 1)[1]
    assert "SECRET" not in answer.text


@each_mode
async def test_a_cached_answer_is_the_upstreams_own(fake: FakeAnthropic, stream: bool) -> None:
    store = MemoryAnswers()
    async with serving(fake, lambda inner: Cache(inner, store=store, ttl=60)) as client:
        first, again = [await ask(client, stream=stream, temperature=0) for _ in range(2)]
        other = await ask(client, stream=stream, temperature=0, top_k=5)
    assert [each.headers["x-xrouter-cache"] for each in (first, again, other)] == ["miss", "hit", "miss"]
    assert first.content == again.content
    assert is_native(again)
    assert "x-xrouter-warnings" not in other.headers
    assert len(fake.requests) == 2


@each_mode
@pytest.mark.parametrize(
    "around",
    [
        resilient,
        lambda inner: Prebuffer(inner, tokens=2),
        lambda inner: Hedge(inner, second=inner),
    ],
    ids=["resilient", "prebuffer", "hedge"],
)
async def test_other_policies_pass_an_answer_on_as_it_is(
    fake: FakeAnthropic, around: Callable[[Provider], Provider], stream: bool
) -> None:
    async with serving(fake, lambda inner: inner) as client:
        plain = await ask(client, stream=stream)
    async with serving(fake, around) as client:
        assert (await ask(client, stream=stream)).content == plain.content
    assert is_native(plain)


def test_no_copy_with_another_document_passes_for_what_the_client_wrote() -> None:
    parsed = MESSAGES.read(ASKED, json.dumps(ASKED).encode(), ())
    call = Call(parsed.request, document=parsed.document, original=parsed.original)
    assert call.original is not None
    other = Document({**parsed.document.value})
    for copy in (call.asking(other.value), dataclasses.replace(call, document=other)):
        assert copy.original is None
        assert copy.translated
    assert call.until(1.0).original is call.original


def test_a_writer_goes_on_with_nothing_that_another_one_began() -> None:
    parsed = MESSAGES.read({**ASKED, "stream": True}, b"{}", ())
    writer = parsed.writer()
    assert isinstance(writer, NativeEvents)
    native = ChatChunk({"choices": []}, native=b"event: ping\ndata: {}\n\n")
    assert writer.feed([native]) == native.native
    with pytest.raises(UpstreamError, match="changed"):
        writer.feed([native, ChatChunk({"choices": []})])


PATHS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": ASKED["messages"]}),
    "completions": ("/v1/completions", {"prompt": "my secret word", "max_tokens": 50}),
    "messages": ("/v1/messages", {"messages": ASKED["messages"], "max_tokens": 50}),
    "responses": ("/v1/responses", {"input": "my secret word"}),
}
ITEM = {"id": "msg_native", "type": "message", "role": "assistant", "status": "completed"}


def responding(body: dict[str, Any]) -> Handler:
    """OpenAI's Responses, which repeat the input."""
    text = body["input"] if isinstance(body["input"], str) else body["input"][-1]["content"]
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {**ITEM, "content": [part]}
    response = {"id": "resp_native", "object": "response", "status": "completed", "output": [item], "usage": None}
    if not body.get("stream"):
        return whole(response)
    place = {"item_id": "msg_native", "output_index": 0, "content_index": 0}
    begun = {**ITEM, "content": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "sequence_number": 0, "response": {**response, "output": []}},
        {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": begun},
        *(
            {"type": "response.output_text.delta", "sequence_number": 2 + at, **place, "delta": word, "logprobs": []}
            for at, word in enumerate(re.findall(r"\S+\s*", text))
        ),
        {"type": "response.completed", "sequence_number": 9, "response": response},
    ]
    return stream_of(*(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), encode(each)) for each in events), end=b"")


class FakeResponses(FakeOpenAI):
    """An OpenAI-compatible upstream that has Responses."""

    async def proper(self, exchange: FakeExchange) -> None:
        if exchange.path == "/v1/responses":
            await responding(json.loads(exchange.body))(exchange)
        else:
            await super().proper(exchange)


@asynccontextmanager
async def spoken(
    dialect: str, around: Callable[[Provider], Provider], *, native: bool
) -> AsyncIterator[tuple[httpx.AsyncClient, FakeOpenAI]]:
    """A client, and the upstream behind a policy, which speaks its dialect if `native`."""
    async with FakeResponses() as responses, FakeAnthropic() as claude:
        fake: FakeOpenAI = responses
        provider: Provider = OpenAIProvider(fake.base_url, responses=native, options=OpenAIOptions(completions=native))
        if dialect == "messages" and native:
            await provider.aclose()
            fake, provider = claude, AnthropicProvider(base_url=claude.base_url)
        router = LLMRouter({"m": around(Target(provider, model="claude-opus-4-8"))})
        async with uvicorn_here(router) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            yield client, fake
        await router.aclose()


@each_mode
@pytest.mark.parametrize("native", [False, True], ids=["translated", "native"])
@pytest.mark.parametrize("dialect", PATHS)
async def test_a_word_that_is_replaced_is_nowhere(dialect: str, native: bool, stream: bool) -> None:
    path, members = PATHS[dialect]
    body = {"model": "m", "stream": stream, **members}
    async with spoken(dialect, lambda inner: Guard(inner, check=masking), native=native) as (client, fake):
        answer = await client.post(path, json=body)
        assert answer.status_code == 200
        assert "***" in answer.text
        assert "secret" not in answer.text
        assert b"secret" not in fake.requests[0].body

    async def answers_only(passages: Sequence[Passage]) -> list[str]:
        return [each.text.replace("secret", "***") if each.of == "answer" else each.text for each in passages]

    around = partial(Guard, check=answers_only, answers=True)
    async with spoken(dialect, around, native=native) as (client, fake):
        answer = await client.post(path, json=body)
        assert b"secret" in fake.requests[0].body
        assert "***" in answer.text
        assert "secret" not in answer.text.replace('"instructions"', "")


@each_mode
async def test_a_cached_response_is_the_upstreams_own(stream: bool) -> None:
    cache = partial(Cache, store=MemoryAnswers(), ttl=60, any_temperature=True)
    async with spoken("responses", cache, native=True) as (client, fake):
        body = {"model": "m", "stream": stream, **PATHS["responses"][1]}
        first, again = [await client.post("/v1/responses", json=body) for _ in range(2)]
        assert "resp_native" in first.text
        assert first.content == again.content
        assert len(fake.requests) == 1
