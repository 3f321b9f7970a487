"""LangChain for Python. It stands in the tox environment `js`, beside the other clients that we do not depend on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import openai
import pytest
import pytest_asyncio
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from .asking import RESULT, TOOLS, Answer, Failed, Question
from .contract import Client, ClientContract

pytestmark = pytest.mark.asyncio(loop_scope="session")

FUNCTIONS: list[Any] = [{"type": "function", "function": tool} for tool in TOOLS]


async def ask(http: httpx.AsyncClient, question: Question) -> AIMessage:
    chat = ChatOpenAI(
        model=question.model,
        base_url=question.url,
        api_key=SecretStr("any"),
        max_retries=0,
        stream_usage=True,
        http_async_client=http,
    )
    bound = chat.bind_tools(FUNCTIONS)
    messages: list[BaseMessage] = [HumanMessage(cast(Any, question.content))]
    while True:
        if question.stream:
            first, *rest = [chunk async for chunk in bound.astream(messages)]
            message = sum(rest, first)
        else:
            message = await bound.ainvoke(messages)
        if not question.loop or not message.tool_calls:
            return message
        results = [ToolMessage(RESULT, tool_call_id=call["id"]) for call in message.tool_calls]
        messages += [message, *results]


def understood(message: AIMessage) -> Answer:
    calls = [
        {"id": call["id"], "name": call["name"], "arguments": call["args"]}
        for call in (*message.tool_calls, *message.invalid_tool_calls)
    ]
    usage = message.usage_metadata
    counts = usage and (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"])
    choice = {"text": message.content, "finish": message.response_metadata["finish_reason"], "calls": calls}
    return Answer.of({"choices": [choice], "usage": counts})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as http:
        yield http


class TestLangChain(ClientContract):
    @pytest.fixture
    def client(self, http: httpx.AsyncClient) -> Client:
        async def client(question: Question) -> Answer:
            try:
                return understood(await ask(http, question))
            except openai.APIError as error:
                status = getattr(error, "status_code", None)
                raise Failed(type(error).__name__, error.message, status, error.code) from error

        return client
