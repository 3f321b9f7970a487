"""OpenAI's own SDK, through a router on a socket, over the strict upstream: what people have who chat with Claude."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from tests.serving import uvicorn_here
from xrouter_asgi import LLMRouter, Target
from xrouter_asgi.providers import AnthropicProvider
from xrouter_asgi.providers.anthropic.names import Aliases
from xrouter_asgi.testing.anthropic import FakeAnthropic
from xrouter_asgi.testing.anthropic.answers import sse
from xrouter_asgi.testing.anthropic.faults import error, refuse, told
from xrouter_asgi.testing.openai import whole

from .conftest import KEY
from .test_provider import BEGUN
from .translating import function

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]

each_mode = pytest.mark.parametrize("stream", [False, True])
TOOLS: list[Any] = [
    function("look", parameters={"type": "object", "properties": {"at": {"type": "string"}}}),
    function("hear.far", parameters={"type": "object", "properties": {}}),
]


class Sky(BaseModel):
    colour: str


@pytest.fixture
async def client(fake: FakeAnthropic) -> AsyncIterator[openai.AsyncOpenAI]:
    provider = AnthropicProvider(KEY, base_url=fake.base_url)
    router = LLMRouter({"claude": Target(provider, model="claude-opus-4-8"), "gone": Target(provider, model="missing")})
    async with (
        uvicorn_here(router) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as sdk,
    ):
        yield sdk


async def ask(client: openai.AsyncOpenAI, messages: list[Any], *, stream: bool, **members: Any) -> ChatCompletion:
    if not stream:
        done: ChatCompletion = await client.chat.completions.create(model="claude", messages=messages, **members)
        return done
    members = {**members, "stream_options": {"include_usage": True}}
    async with client.chat.completions.stream(model="claude", messages=messages, **members) as events:
        return await events.get_final_completion()


@each_mode
async def test_a_chat(client: openai.AsyncOpenAI, stream: bool) -> None:
    system, user = {"role": "system", "content": "Be kind."}, {"role": "user", "content": 'Say "Да" to me'}
    done = await ask(client, [system, user], stream=stream, temperature=0.2, stop=["END"], user="ann@example.com")
    assert done.model == "claude"
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == ('Say "Да" to me', "stop")
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 4


@each_mode
async def test_a_loop_of_parallel_calls_with_thinking(
    client: openai.AsyncOpenAI, fake: FakeAnthropic, stream: bool
) -> None:
    """What the SDK holds of an answer is sent back as it is, signed thinking included."""
    messages: list[Any] = [
        {"role": "user", "content": f'call look {{"at": "sky"}}\ncall {Aliases.to_upstream("hear.far")} {{}}'}
    ]
    members: dict[str, Any] = {"tools": TOOLS, "reasoning_effort": "high"}
    first = await ask(client, messages, stream=stream, **members)
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert message.model_extra is not None
    assert message.model_extra["reasoning_content"] == "Let me see."
    calls = [each for each in message.tool_calls or () if each.type == "function"]
    assert [(each.function.name, json.loads(each.function.arguments)) for each in calls] == [
        ("look", {"at": "sky"}),
        ("hear.far", {}),
    ]
    results = [{"role": "tool", "tool_call_id": each.id, "content": each.function.name} for each in reversed(calls)]
    done = await ask(client, [*messages, message, *results], stream=stream, **members)
    assert done.choices[0].message.content == "look\nhear.far"
    assert [block["type"] for block in fake.last["messages"][1]["content"]] == ["thinking", "tool_use", "tool_use"]


@each_mode
async def test_a_structured_answer(client: openai.AsyncOpenAI, fake: FakeAnthropic, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": '{"colour": "blue"}'}]
    if stream:
        async with client.chat.completions.stream(model="claude", messages=messages, response_format=Sky) as events:
            done = await events.get_final_completion()
    else:
        done = await client.chat.completions.parse(model="claude", messages=messages, response_format=Sky)
    assert done.choices[0].message.parsed == Sky(colour="blue")
    assert fake.last["output_config"]["format"]["schema"]["additionalProperties"] is False


async def test_pictures_and_documents(client: openai.AsyncOpenAI, fake: FakeAnthropic) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
    ]
    await ask(client, [{"role": "user", "content": parts}], stream=False)
    assert [block["type"] for block in fake.last["messages"][0]["content"]] == ["text", "image", "document"]


@each_mode
async def test_a_refusal(client: openai.AsyncOpenAI, fake: FakeAnthropic, stream: bool) -> None:
    end = {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 2}}
    said = {"id": "msg_1", "content": [{"type": "text", "text": "Hel"}], "stop_reason": "refusal"}
    fake.next(told(*BEGUN, end, {"type": "message_stop"}) if stream else whole(said))
    finishes = []
    if stream:
        async for chunk in await client.chat.completions.create(model="claude", messages=HELLO, stream=True):
            finishes += [choice.finish_reason for choice in chunk.choices]
    else:
        done = await client.chat.completions.create(model="claude", messages=HELLO)
        finishes = [choice.finish_reason for choice in done.choices]
    assert finishes[-1] == "content_filter"


@each_mode
@pytest.mark.parametrize(
    ("status", "kind", "text", "wanted", "code"),
    [
        (400, "invalid_request_error", "prompt is too long: 9 > 8", openai.BadRequestError, "context_length_exceeded"),
        (402, "billing_error", "No credits.", openai.RateLimitError, "insufficient_quota"),
        (413, "request_too_large", "Too large.", openai.APIStatusError, None),
        (429, "rate_limit_error", "Too fast.", openai.RateLimitError, "rate_limit_exceeded"),
        (529, "overloaded_error", "Overloaded", openai.InternalServerError, "upstream_overloaded"),
    ],
)
async def test_errors(
    client: openai.AsyncOpenAI,
    fake: FakeAnthropic,
    stream: bool,
    status: int,
    kind: str,
    text: str,
    wanted: type[openai.APIStatusError],
    code: str | None,
) -> None:
    fake.next(*[refuse(status, kind, text)] * 3)
    with pytest.raises(wanted) as caught:
        await ask(client, HELLO, stream=stream)
    assert caught.value.code == code
    assert caught.value.response.headers["x-anthropic-request-id"] == "req_fake"


async def test_a_model_that_is_not_there(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(model="gone", messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_a_stream_that_breaks_is_an_error(client: openai.AsyncOpenAI, fake: FakeAnthropic) -> None:
    for script in (told(*BEGUN), told(*BEGUN, error("api_error", "Oh.")), told(*BEGUN, end=sse(BEGUN[2])[:-9])):
        fake.next(script)
        with pytest.raises(openai.APIError):
            await ask(client, HELLO, stream=True)


async def test_warnings_are_told(client: openai.AsyncOpenAI) -> None:
    told = await client.chat.completions.with_raw_response.create(model="claude", messages=HELLO, seed=1)
    assert told.headers["x-xrouter-warnings"] == "seed_ignored"


async def test_the_models_of_the_upstream_are_served(fake: FakeAnthropic) -> None:
    provider = AnthropicProvider(KEY, base_url=fake.base_url)
    router = LLMRouter({"*": Target(provider, model="*")})
    async with uvicorn_here(router) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k") as sdk:
        assert {model.id async for model in sdk.models.list()} >= {"claude-one", "claude-two"}


async def test_clients_of_messages_get_their_tokens_counted_by_the_upstream(fake: FakeAnthropic) -> None:
    provider = AnthropicProvider(KEY, base_url=fake.base_url)
    router = LLMRouter({"claude": Target(provider, model="claude-opus-4-8")})
    async with (
        uvicorn_here(router) as url,
        anthropic.AsyncAnthropic(api_key="k", base_url=url, max_retries=0) as sdk,
    ):
        messages: list[Any] = [{"role": "user", "content": "one two three"}]
        counted = await sdk.messages.count_tokens(model="claude", messages=messages, system="Be kind.")
        answer = await sdk.messages.create(
            model="claude", max_tokens=100, messages=messages, output_config={"effort": "low"}
        )
    assert counted.input_tokens == 4  # the role is a word, too
    assert [block.type for block in answer.content] == ["text"]
    assert (fake.last["max_tokens"], fake.last["output_config"]) == (100, {"effort": "low"})
