"""Anthropic's own SDK against a router on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message, ThinkingBlock, ToolUseBlock

from tests.serving import uvicorn_here
from xrouter_asgi import APIKeyMiddleware, LLMRouter, StaticKeys, Target
from xrouter_asgi.errors import InvalidRequest, UpstreamError, UpstreamQuotaExceeded, UpstreamRateLimited
from xrouter_asgi.providers.base import Provider
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.testing.scripted import USAGE, ScriptedProvider, chunk, usage_chunk
from xrouter_asgi.wire import ChatChunk, ChatCompletion

ASKED: dict[str, Any] = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello there"}]}
ECHO = Target(EchoProvider(), model="echo")
CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "the sky"}'}},
    {"id": "c2", "type": "function", "function": {"name": "hear", "arguments": "{}"}},
]


@asynccontextmanager
async def client(provider: Provider) -> AsyncIterator[AsyncAnthropic]:
    router = LLMRouter({"m": provider})
    async with uvicorn_here(router) as url, AsyncAnthropic(api_key="key", base_url=url, max_retries=0) as sdk:
        yield sdk


def delta(finish: str | None = None, **members: Any) -> ChatChunk:
    return ChatChunk({"choices": [{"index": 0, "delta": members, "finish_reason": finish}]})


def completion(finish: str = "stop", **message: Any) -> ChatCompletion:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return ChatCompletion({"object": "chat.completion", "choices": [choice], "usage": USAGE})


def fragments(*calls: dict[str, Any]) -> Sequence[ChatChunk]:
    """A stream with thinking, text and the calls, whose fragments come in turns."""
    begun = [
        {"index": place, **call, "function": {"name": call["function"]["name"], "arguments": ""}}
        for place, call in enumerate(calls)
    ]
    rest = [
        {"index": place, "function": {"arguments": call["function"]["arguments"]}} for place, call in enumerate(calls)
    ]
    said = [delta(reasoning_content="Hm."), delta(content="I look.")]
    return [*said, *(delta(tool_calls=[each]) for each in [*begun, *rest]), delta("tool_calls"), usage_chunk()]


def check_calls(message: Message) -> None:
    thinking, text, look, hear = message.content
    assert isinstance(thinking, ThinkingBlock)
    assert (thinking.thinking, thinking.signature) == ("Hm.", "xr1")
    assert text.type == "text"
    assert isinstance(look, ToolUseBlock)
    assert isinstance(hear, ToolUseBlock)
    assert [(call.id, call.name, call.input) for call in (look, hear)] == [
        ("c1", "look", {"at": "the sky"}),
        ("c2", "hear", {}),
    ]
    assert message.stop_reason == "tool_use"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 2)


async def test_a_whole_answer() -> None:
    async with client(ECHO) as sdk:
        message = await sdk.messages.create(**ASKED)
    [block] = message.content
    assert block.type == "text"
    assert block.text == "Hello there"
    assert message.stop_reason == "end_turn"
    assert message._request_id  # from the header `request-id`


async def test_a_stream() -> None:
    async with client(ECHO) as sdk, sdk.messages.stream(**ASKED) as stream:
        told = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    assert "".join(told) == "Hello there"
    assert len(told) > 1
    assert message.usage.output_tokens == 2


async def test_thinking_and_parallel_calls_in_a_whole_answer() -> None:
    body = completion("tool_calls", content="I look.", reasoning_content="Hm.", tool_calls=CALLS)
    async with client(ScriptedProvider(body=body)) as sdk:
        check_calls(await sdk.messages.create(**ASKED))


async def test_thinking_and_parallel_calls_in_a_stream() -> None:
    async with client(ScriptedProvider(fragments(*CALLS))) as sdk, sdk.messages.stream(**ASKED) as stream:
        check_calls(await stream.get_final_message())


async def test_an_answer_with_calls_goes_back_with_their_results() -> None:
    provider = ScriptedProvider(body=completion("tool_calls", content=None, reasoning_content="Hm.", tool_calls=CALLS))
    async with client(provider) as sdk:
        first = await sdk.messages.create(**ASKED)
        results: Any = [{"type": "tool_result", "tool_use_id": call["id"], "content": "ok"} for call in CALLS]
        turns = [
            *ASKED["messages"],
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": results},
        ]
        await sdk.messages.create(**{**ASKED, "messages": turns})
    _, answered, *told = provider.calls[1].document.value["messages"]
    assert answered["reasoning_content"] == "Hm."
    assert [call["id"] for call in answered["tool_calls"]] == ["c1", "c2"]
    assert [(each["role"], each["tool_call_id"]) for each in told] == [("tool", "c1"), ("tool", "c2")]


async def test_tokens_are_counted() -> None:
    async with client(ECHO) as sdk:
        counted = await sdk.messages.count_tokens(model="m", messages=ASKED["messages"], system="Be brief.")
    assert counted.input_tokens > 5


async def test_models_are_listed_in_pages() -> None:
    router = LLMRouter(dict.fromkeys(("a", "b", "c"), ECHO))
    async with uvicorn_here(router) as url, AsyncAnthropic(api_key="key", base_url=url) as sdk:
        names = [model.id async for model in sdk.models.list(limit=2)]
        model = await sdk.models.retrieve("b")
    assert names == ["a", "b", "c"]
    assert (model.display_name, model.lifecycle, model.max_input_tokens) == ("b", "active", None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (InvalidRequest("No.", code="invalid_value"), anthropic.BadRequestError, 400),
        (UpstreamQuotaExceeded("No money."), anthropic.APIStatusError, 402),
        (UpstreamRateLimited("Slow down."), anthropic.RateLimitError, 429),
        (UpstreamError("It broke."), anthropic.InternalServerError, 502),
        (UpstreamError("Busy.", code="upstream_overloaded", status=503), anthropic.InternalServerError, 529),
    ],
)
async def test_an_error_before_the_answer_has_its_status(
    error: Exception, kind: type[anthropic.APIStatusError], status: int, stream: bool
) -> None:
    async with client(ScriptedProvider(error)) as sdk:
        with pytest.raises(kind) as caught:
            await sdk.messages.create(**ASKED, stream=stream)
    assert caught.value.status_code == status
    assert caught.value.request_id


async def test_an_error_in_the_middle_of_a_stream_is_raised() -> None:
    provider = ScriptedProvider([chunk("Hel")], UpstreamError("It broke."))
    async with client(provider) as sdk, sdk.messages.stream(**ASKED) as stream:
        with pytest.raises(anthropic.APIStatusError, match="It broke"):
            await stream.get_final_message()


async def test_what_a_provider_blames_is_named_as_the_client_wrote_it() -> None:
    error = InvalidRequest("Too many.", code="invalid_value", param="max_completion_tokens")
    async with client(ScriptedProvider(error)) as sdk:
        with pytest.raises(anthropic.BadRequestError, match="max_tokens: Too many"):
            await sdk.messages.create(**ASKED)


@pytest.mark.parametrize("key", ["api_key", "auth_token"])
async def test_a_wrong_key_is_refused_in_anthropic_s_envelope(key: str) -> None:
    credential: dict[str, Any] = {key: "wrong"}
    app = APIKeyMiddleware(LLMRouter({"m": ECHO}), store=StaticKeys({}))
    async with uvicorn_here(app, lifespan="off") as url, AsyncAnthropic(**credential, base_url=url) as sdk:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            await sdk.messages.create(**ASKED)
    assert caught.value.body == {
        "type": "error",
        "error": {
            "type": "authentication_error",
            "message": "Incorrect API key provided. It is unknown, expired or revoked.",
        },
        "request_id": caught.value.request_id,
    }
