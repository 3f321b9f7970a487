"""openai-python, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletion

from .asking import RESULT, TOOLS, Answer, Failed, Question
from .contract import Client, SeveralChoicesContract

pytestmark = pytest.mark.asyncio(loop_scope="session")

FUNCTIONS: list[Any] = [{"type": "function", "function": tool} for tool in TOOLS]


def request_of(question: Question) -> dict[str, Any]:
    messages = [{"role": "user", "content": question.content}]
    several = {"n": question.choices} if question.choices > 1 else {}
    usage = {"stream_options": {"include_usage": True}} if question.stream else {}
    return {"model": question.model, "messages": messages, "tools": FUNCTIONS, **several, **usage}


def results(completion: ChatCompletion) -> list[Any]:
    """The messages that a loop goes on with; none if nothing was called."""
    message = completion.choices[0].message
    calls = [{"role": "tool", "tool_call_id": call.id, "content": RESULT} for call in message.tool_calls or ()]
    return [message, *calls] if calls else []


def understood(completion: ChatCompletion) -> Answer:
    usage = completion.usage
    choices = [
        {
            "text": choice.message.content,
            "finish": choice.finish_reason,
            "calls": [
                {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
                for call in choice.message.tool_calls or ()
                if call.type == "function"
            ],
        }
        for choice in completion.choices
    ]
    counts = usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    return Answer.of({"choices": choices, "usage": counts})


async def ask_async(client: openai.AsyncOpenAI, question: Question) -> ChatCompletion:
    completions, request = client.with_options(base_url=question.url).chat.completions, request_of(question)
    while True:
        if question.stream:
            async with completions.stream(**request) as events:
                completion: ChatCompletion = await events.get_final_completion()
        else:
            completion = await completions.create(**request)
        if not question.loop or not (more := results(completion)):
            return completion
        request["messages"] += more


def ask_sync(client: openai.OpenAI, question: Question) -> ChatCompletion:
    completions, request = client.with_options(base_url=question.url).chat.completions, request_of(question)
    while True:
        if question.stream:
            with completions.stream(**request) as events:
                completion: ChatCompletion = events.get_final_completion()
        else:
            completion = completions.create(**request)
        if not question.loop or not (more := results(completion)):
            return completion
        request["messages"] += more


def client_of(ask: Callable[[Question], Awaitable[ChatCompletion]]) -> Client:
    async def client(question: Question) -> Answer:
        try:
            return understood(await ask(question))
        except openai.APIError as error:
            raise Failed(
                type(error).__name__, error.message, getattr(error, "status_code", None), error.code
            ) from error

    return client


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def async_client() -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def sync_client() -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="any", max_retries=0) as client:
        yield client


class TestAsyncOpenAI(SeveralChoicesContract):
    @pytest.fixture
    def client(self, async_client: openai.AsyncOpenAI) -> Client:
        return client_of(partial(ask_async, async_client))


class TestOpenAI(SeveralChoicesContract):
    @pytest.fixture
    def client(self, sync_client: openai.OpenAI) -> Client:
        return client_of(lambda question: asyncio.to_thread(ask_sync, sync_client, question))
