"""What is true of every provider: inherit, and give the fixtures.

class TestEcho(ProviderContract):
    @pytest.fixture
    def provider(self) -> EchoProvider: ...
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any, Protocol

import pytest

from ..decision import Unready, Usage
from ..envelopes import openai
from ..errors import InvalidRequest, UpstreamError, UpstreamTimeout, XRouterError
from ..providers import Call, Provider, ReadyProvider, Reply
from ..wire import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    ChatStream,
    EmbeddingList,
    EmbeddingsRequest,
    ModelList,
)
from .virtual import now

FINISHES = {"stop", "length", "tool_calls", "content_filter", "function_call"}


class ProviderContract:
    """For any provider.

    Attributes:
        model: A model that chats.
        embedder: A model that embeds.
    """

    model = "chat"
    embedder = "vectors"

    def chat(self, **members: Any) -> Call:
        messages = [{"role": "user", "content": "Say hello to the world"}]
        return Call(ChatRequest.of({"model": self.model, "messages": messages, **members}))

    def embed(self, *texts: str) -> Call:
        return Call(EmbeddingsRequest.of({"model": self.embedder, "input": [*texts], "encoding_format": "float"}))

    async def stream(self, provider: Provider, **members: Any) -> ChatStream:
        reply = await provider.send(self.chat(stream=True, **members))
        assert isinstance(reply.body, ChatStream)
        return reply.body

    async def test_a_reply_says_who_answered(self, provider: Provider) -> None:
        reply = await provider.send(self.chat())
        assert isinstance(reply, Reply)
        assert reply.provider == provider.name
        assert reply.model

    async def test_a_completion_has_the_members_that_clients_need(self, provider: Provider) -> None:
        reply = await provider.send(self.chat())
        assert isinstance(reply.body, ChatCompletion)
        value = json.loads(reply.body.data)
        assert value == reply.body.value
        assert value["object"] == "chat.completion"
        assert isinstance(value["id"], str)
        assert isinstance(value["created"], int)
        assert isinstance(value["model"], str)
        (choice,) = value["choices"]
        assert choice["index"] == 0
        assert choice["finish_reason"] in FINISHES
        assert choice["message"]["role"] == "assistant"
        assert isinstance(choice["message"]["content"], str)
        assert isinstance(reply.body.usage, Usage)

    async def test_a_stream_has_the_order_that_clients_need(self, provider: Provider) -> None:
        stream = await self.stream(provider, stream_options={"include_usage": True})
        batches = [batch async for batch in stream]
        assert all(batches)
        chunks = [chunk.value for batch in batches for chunk in batch]
        assert all(json.loads(chunk.data) == chunk.value for batch in batches for chunk in batch)
        assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
        for member in ("id", "created", "model"):
            assert len({chunk[member] for chunk in chunks}) == 1
        *said, counted = chunks
        assert said[0]["choices"][0]["delta"]["role"] == "assistant"
        assert [choice["index"] for chunk in said for choice in chunk["choices"]] == [0] * len(said)
        finishes = [choice["finish_reason"] for chunk in said for choice in chunk["choices"]]
        assert finishes[-1] in FINISHES
        assert set(finishes[:-1]) <= {None}
        assert ChatChunk(counted).only_usage
        assert stream.usage is not None

    async def test_a_stream_says_what_a_completion_says(self, provider: Provider) -> None:
        reply = await provider.send(self.chat())
        assert isinstance(reply.body, ChatCompletion)
        whole = reply.body.value["choices"][0]["message"]["content"]
        chunks = [chunk.value async for batch in await self.stream(provider) for chunk in batch]
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        assert "".join(delta.get("content") or "" for delta in deltas) == whole

    async def test_a_stream_may_be_left_at_any_time(self, provider: Provider) -> None:
        for reads in range(3):
            stream = await self.stream(provider)
            for _ in range(reads):
                await anext(stream, None)
            await stream.aclose()
            await stream.aclose()

    async def test_vectors_come_in_the_order_of_their_texts(self, provider: Provider) -> None:
        reply = await provider.send(self.embed("one", "three", "one"))
        assert isinstance(reply.body, EmbeddingList)
        rows = reply.body.value["data"]
        assert [row["index"] for row in rows] == [0, 1, 2]
        assert rows[0]["embedding"] == rows[2]["embedding"]
        assert rows[0]["embedding"] != rows[1]["embedding"]
        assert all(isinstance(number, float) for row in rows for number in row["embedding"])

    async def test_the_models_have_names(self, provider: ReadyProvider) -> None:
        listed = await provider.models()
        assert isinstance(listed, ModelList)
        assert listed.value["object"] == "list"
        assert self.model in {row["id"] for row in listed.value["data"]}
        assert {row["object"] for row in listed.value["data"]} == {"model"}

    async def test_a_call_is_left_as_it_was(self, provider: Provider) -> None:
        call = self.chat()
        before = call.document.data, json.dumps(call.document.value), call.request.model_dump_json()
        await provider.send(call)
        assert (call.document.data, json.dumps(call.document.value), call.request.model_dump_json()) == before

    async def test_closing_twice_is_closing_once(self, provider: Provider) -> None:
        await provider.send(self.chat())
        await provider.aclose()
        await provider.aclose()


class Stalls(Protocol):
    """Ways for the upstream to say nothing for longer than the provider waits."""

    def stall(self) -> None:
        """Do not answer the next chat."""
        ...

    def stall_in_stream(self) -> None:
        """Begin the answer to the next chat, a stream, and do not go on."""
        ...

    def stall_models(self) -> None:
        """Do not answer the next request for models."""
        ...


class DeadlineContract(ProviderContract):
    """For a provider that keeps deadlines by itself. The fixture `faults` has the methods of `Stalls`.

    The provider's own time-outs must be longer than `left` seconds, and short enough to be waited for.
    """

    left = 0.2

    async def late(self, step: Awaitable[object]) -> UpstreamTimeout:
        """The error of a step that a deadline ended."""
        with pytest.raises(UpstreamTimeout) as caught:
            await step
        assert (caught.value.status, caught.value.code, caught.value.trips) == (504, "total_timeout", False)
        return caught.value

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_call_ends_at_its_deadline(self, provider: Provider, faults: Stalls, stream: bool) -> None:
        faults.stall()
        await self.late(provider.send(self.chat(stream=stream).until(now() + self.left)))

    async def test_a_call_whose_deadline_is_over_is_not_sent(self, provider: Provider) -> None:
        await self.late(provider.send(self.chat().until(now())))

    async def test_a_stream_ends_at_the_deadline_of_its_call(self, provider: Provider, faults: Stalls) -> None:
        faults.stall_in_stream()
        reply = await provider.send(self.chat(stream=True).until(now() + self.left))
        assert isinstance(reply.body, ChatStream)
        await anext(reply.body)
        await self.late(anext(reply.body))

    async def test_a_list_of_models_is_waited_for_until_the_deadline(
        self, provider: ReadyProvider, faults: Stalls
    ) -> None:
        faults.stall_models()
        await self.late(provider.models(deadline=now() + self.left))


class Faults(Stalls, Protocol):
    """Ways for the upstream to treat the next chat."""

    def answer(self, status: int, body: bytes) -> None: ...

    def hang_up(self) -> None:
        """Close the connection without an answer."""
        ...


class UpstreamContract(DeadlineContract):
    """For a provider with an upstream. The fixture `faults` has the methods of `Faults`."""

    async def failure(self, provider: Provider, *, stream: bool) -> XRouterError:
        """What comes of a chat; anything but our own family of errors would come through `raises`."""
        with pytest.raises(XRouterError) as caught:
            await provider.send(self.chat(stream=stream))
        assert isinstance(caught.value, UpstreamError | InvalidRequest)
        assert caught.value.message
        assert "127.0.0.1" not in str(openai(caught.value, ""))
        return caught.value

    @pytest.mark.parametrize("stream", [False, True])
    async def test_every_bad_status_is_an_error_of_ours(self, provider: Provider, faults: Faults, stream: bool) -> None:
        for status in range(400, 600):
            for body in (b'{"error": {"message": "No."}}', b"<html>No.</html>", b""):
                faults.answer(status, body)
                error = await self.failure(provider, stream=stream)
                assert error.status != 401
                if status >= 500:
                    assert isinstance(error, UpstreamError)

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b'{"choices": 1}', b"\xff", b"<html></html>"])
    async def test_a_body_that_says_nothing_is_the_upstreams_fault(
        self, provider: Provider, faults: Faults, stream: bool, body: bytes
    ) -> None:
        faults.answer(200, body)
        error = await self.failure(provider, stream=stream)
        assert (type(error).falls_back, error.status) == (True, 502)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_lost_connection_may_be_retried(self, provider: Provider, faults: Faults, stream: bool) -> None:
        faults.hang_up()
        error = await self.failure(provider, stream=stream)
        assert error.retryable
        assert error.code == "connection_lost"

    async def test_a_closed_provider_is_not_ready(self, provider: ReadyProvider) -> None:
        assert provider.ready(self.chat()) is None
        await provider.aclose()
        assert provider.ready(self.chat()) == Unready("closed", None, "closed")

    @pytest.mark.parametrize("stream", [False, True])
    async def test_silence_is_a_timeout(self, provider: Provider, faults: Faults, stream: bool) -> None:
        faults.stall()
        error = await self.failure(provider, stream=stream)
        assert (error.status, error.code) == (504, "first_byte_timeout")
