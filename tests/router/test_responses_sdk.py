"""OpenAI's own library asks for responses over a real socket, and an upstream that knows only chats answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import openai
import pytest
from openai.types.responses import ResponseCustomToolCall, ResponseFunctionToolCall
from pydantic import BaseModel

from tests.serving import uvicorn_here
from xrouter_asgi import Candidate, LLMRouter, OpenAIProvider, stack
from xrouter_asgi.testing.openai import FakeOpenAI, refuse, stream, whole
from xrouter_asgi.testing.openai_answers import chunk, completion

from ..dialects.responses.test_tools import TOOLS


class House(NamedTuple):
    client: openai.AsyncOpenAI
    upstream: FakeOpenAI


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with FakeOpenAI() as fake:
        router = LLMRouter({"chat": OpenAIProvider(fake.base_url)})
        async with (
            uvicorn_here(router) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
        ):
            yield House(client, fake)


async def test_a_text_comes_whole_and_streamed(house: House) -> None:
    response = await house.client.responses.create(model="chat", input="hello there", instructions="be kind")
    assert response.output_text == "hello there"
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.total_tokens == 6
    assert house.upstream.last["messages"][0] == {"role": "system", "content": "be kind"}
    async with house.client.responses.stream(model="chat", input="hello there") as events:
        texts = [event.delta async for event in events if event.type == "response.output_text.delta"]
        streamed = await events.get_final_response()
    assert texts == ["hello ", "there"]
    assert streamed.output_text == "hello there"
    assert streamed.usage is not None


@pytest.mark.parametrize("streaming", [False, True])
async def test_calls_of_tools_come_back_as_the_client_named_them(house: House, *, streaming: bool) -> None:
    asked: dict[str, Any] = {"model": "chat", "tools": TOOLS}

    async def respond(input: Any) -> Any:
        if not streaming:
            return await house.client.responses.create(**asked, input=input)
        async with house.client.responses.stream(**asked, input=input) as events:
            return await events.get_final_response()

    [wait] = (await respond('call team__wait {"for":"ann"}')).output
    assert isinstance(wait, ResponseFunctionToolCall)
    assert (wait.namespace, wait.name, wait.arguments) == ("team", "wait", '{"for":"ann"}')
    [free] = (await respond('call free {"input":"SELECT 1"}')).output
    assert isinstance(free, ResponseCustomToolCall)
    assert (free.name, free.input) == ("free", "SELECT 1")
    result = {"type": "custom_tool_call_output", "call_id": free.call_id, "output": "1"}
    answer = await respond([{"role": "user", "content": "run"}, free.to_dict(), result])
    assert answer.output_text == "run"
    sent = house.upstream.last["messages"]
    assert sent[1]["tool_calls"][0]["function"] == {"name": "free", "arguments": '{"input":"SELECT 1"}'}
    assert sent[2] == {"role": "tool", "tool_call_id": free.call_id, "content": "1"}


class City(BaseModel):
    name: str


async def test_an_answer_is_parsed_by_its_schema(house: House) -> None:
    response = await house.client.responses.parse(model="chat", input='{"name": "Kazan"}', text_format=City)
    assert response.output_parsed == City(name="Kazan")
    wanted = house.upstream.last["response_format"]
    assert (wanted["type"], wanted["json_schema"]["name"], wanted["json_schema"]["strict"]) == (
        "json_schema",
        "City",
        True,
    )


async def test_a_conversation_goes_on_where_it_was(house: House) -> None:
    first = await house.client.responses.create(model="chat", input="one")
    second = await house.client.responses.create(model="chat", input="two", previous_response_id=first.id)
    assert [message["content"] for message in house.upstream.last["messages"]] == ["one", "one", "two"]
    assert (await house.client.responses.retrieve(second.id)).output_text == "two"
    items = [item async for item in house.client.responses.input_items.list(second.id)]
    assert [item.type for item in items] == ["message"]
    await house.client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        await house.client.responses.retrieve(second.id)
    with pytest.raises(openai.BadRequestError) as caught:
        await house.client.responses.create(model="chat", input="three", previous_response_id=second.id)
    assert caught.value.code == "previous_response_not_found"


async def test_tokens_are_counted_before_anything_is_sent(house: House) -> None:
    counted = await house.client.responses.input_tokens.count(model="chat", input="hello there")
    assert counted.input_tokens > 1
    assert house.upstream.requests == []


async def test_an_error_before_the_answer_has_its_status_and_the_client_s_param(house: House) -> None:
    house.upstream.next(refuse(400, "Too many messages.", param="messages", code="invalid_value"))
    with pytest.raises(openai.BadRequestError) as caught:
        await house.client.responses.create(model="chat", input="hi", stream=True)
    assert caught.value.param == "input"
    house.upstream.next(refuse(429, "Slow down.", code="rate_limit_exceeded"))
    with pytest.raises(openai.RateLimitError):
        await house.client.responses.create(model="chat", input="hi")


async def test_an_error_in_the_middle_is_a_response_that_failed(house: House) -> None:
    house.upstream.next(stream(chunk({"role": "assistant", "content": "half"}), end=b""))
    events = [event async for event in await house.client.responses.create(model="chat", input="hi", stream=True)]
    failed = events[-1]
    assert failed.type == "response.failed"
    assert failed.response.output_text == "half"
    assert failed.response.error is not None
    assert failed.response.error.code == "server_error"


async def test_an_answer_that_was_cut_is_incomplete(house: House) -> None:
    cut = completion({"model": "chat", "messages": [{"role": "user", "content": "half"}]})
    cut["choices"][0]["finish_reason"] = "length"
    house.upstream.next(whole(cut))
    response = await house.client.responses.create(model="chat", input="hi", max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert house.upstream.last["max_tokens"] == 16


async def test_another_upstream_answers_when_the_first_fails() -> None:
    async with FakeOpenAI() as first, FakeOpenAI() as second:
        first.next(*[refuse(500)] * 5)
        one, other = OpenAIProvider(first.base_url, name="first"), OpenAIProvider(second.base_url, name="second")
        router = LLMRouter({"chat": stack([Candidate(one, "chat"), Candidate(other, "chat")])})
        async with (
            uvicorn_here(router) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
        ):
            answer = await client.responses.with_raw_response.create(model="chat", input="hello")
    assert answer.headers["x-xrouter-provider"] == "second"
    assert answer.parse().output_text == "hello"
