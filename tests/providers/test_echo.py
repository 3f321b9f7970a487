from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from xrouter_asgi.errors import ModelNotFound, UpstreamTimeout
from xrouter_asgi.providers.base import Call, Reply
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.testing.virtual import now
from xrouter_asgi.wire import ChatCompletion, ChatRequest, EmbeddingList, EmbeddingsRequest
from xrouter_asgi.wire.stream import ChatStream

USER = {"role": "user", "content": "Hello,  my\nworld! "}


async def say(*messages: dict[str, Any]) -> ChatCompletion:
    reply = await EchoProvider().send(Call(ChatRequest.of({"model": "echo", "messages": [*messages]})))
    assert isinstance(reply.body, ChatCompletion)
    return reply.body


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([USER], "Hello,  my\nworld! "),
        ([USER, {"role": "assistant", "content": "Hi."}], "Hello,  my\nworld! "),
        ([{"role": "user", "content": "One"}, {"role": "user", "content": "Two"}], "Two"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_audio"}]}], "a"),
        ([{"role": "system", "content": "Be brief."}], ""),
    ],
)
async def test_it_says_what_the_user_said_last(messages: list[dict[str, Any]], said: str) -> None:
    completion = await say(*messages)
    assert completion.value["choices"][0]["message"]["content"] == said


async def test_it_counts_words() -> None:
    completion = await say({"role": "system", "content": "Be brief."}, USER)
    assert completion.value["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


async def test_a_stream_comes_word_by_word() -> None:
    call = Call(ChatRequest.of({"model": "echo", "messages": [USER], "stream": True}))
    reply = await EchoProvider().send(call)
    assert isinstance(reply.body, ChatStream)
    chunks = [chunk.value async for batch in reply.body for chunk in batch]
    assert [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]] == [
        "", "Hello,  ", "my\n", "world! ", None,
    ]  # fmt: skip


async def test_words_are_apart_by_the_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    call = Call(ChatRequest.of({"model": "echo", "messages": [USER], "stream": True}))
    reply = await EchoProvider(delay=0.5).send(call)
    assert isinstance(reply.body, ChatStream)
    assert len([batch async for batch in reply.body]) == 6
    assert slept == [0.5] * 3


@pytest.mark.parametrize("stream", [True, False])
async def test_an_unknown_model_is_not_found(stream: bool) -> None:
    provider = EchoProvider(models=["one", "two"])
    with pytest.raises(ModelNotFound, match="`echo`"):
        await provider.send(Call(ChatRequest.of({"model": "echo", "messages": [USER], "stream": stream})))
    with pytest.raises(ModelNotFound):
        await provider.send(Call(EmbeddingsRequest.of({"model": "echo", "input": "x"})))


async def test_it_lists_its_models() -> None:
    listed = await EchoProvider(models=["one", "two"], name="mine").models()
    assert [(row["id"], row["owned_by"]) for row in listed.value["data"]] == [("one", "mine"), ("two", "mine")]


@pytest.mark.parametrize(
    ("given", "count", "dimensions"), [("text", 1, None), (["a", "b"], 2, 3), ([1, 2], 1, None), ([[1], [2, 3]], 2, 1)]
)
async def test_vectors_have_length_1_and_the_dimensions_asked_for(
    given: Any, count: int, dimensions: int | None
) -> None:
    request = EmbeddingsRequest.of({"model": "echo", "input": given, "dimensions": dimensions})
    reply = await EchoProvider().send(Call(request))
    assert isinstance(reply.body, EmbeddingList)
    vectors = [row["embedding"] for row in reply.body.value["data"]]
    assert [len(vector) for vector in vectors] == [dimensions or 8] * count
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1.0] * count)


class TestCall:
    def test_a_document_is_made_from_the_request_when_there_is_none(self) -> None:
        request = ChatRequest.of({"model": "m", "messages": [USER], "top_k": 5})
        call = Call(request)
        assert call.document.value == {"model": "m", "messages": [USER], "top_k": 5}
        assert call.model == "m"

    def test_an_alias_of_a_member_keeps_its_name_on_the_wire(self) -> None:
        schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
        request = ChatRequest.of({"model": "m", "messages": [USER], "response_format": schema})
        assert Call(request).document.value["response_format"] == schema

    def test_a_header_is_found_by_its_name(self) -> None:
        request = EmbeddingsRequest.of({"model": "echo", "input": "x"})
        call = Call(request, headers=[(b"x-a", b"1"), (b"x-b", b"\xe9"), (b"x-b", b"2")])
        assert (call.header(b"x-b"), call.header(b"x-c")) == ("é", None)

    def test_prompts_and_keys_are_not_shown(self) -> None:
        request = ChatRequest.of({"model": "m", "messages": [{"role": "user", "content": "private"}]})
        shown = repr(Call(request, headers=[(b"authorization", b"Bearer sk-1")]))
        assert "private" not in shown
        assert "sk-1" not in shown

    def test_a_completion_does_not_show_its_text(self) -> None:
        reply = Reply(ChatCompletion({"id": "x", "choices": [{"message": {"content": "private"}}]}), provider="p")
        assert "private" not in repr(reply)
        assert "ChatCompletion(id, choices)" in repr(reply)


async def test_a_slow_echo_ends_at_the_deadline_of_its_call() -> None:
    call = Call(ChatRequest.of({"model": "echo", "messages": [USER], "stream": True}), deadline=now() + 0.05)
    reply = await EchoProvider(delay=60.0).send(call)
    assert reply.stream is not None
    await anext(reply.stream)
    with pytest.raises(UpstreamTimeout) as caught:
        await anext(reply.stream)
    assert (caught.value.code, caught.value.trips) == ("total_timeout", False)
