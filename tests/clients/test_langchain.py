"""LangChain for Python. It stands in the tox environment `js`, beside the other clients that we do not depend on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import openai
import pytest
import pytest_asyncio
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from tests.serving import uvicorn_here
from xrouter_asgi import LLMRouter, Target
from xrouter_asgi.providers import AnthropicProvider
from xrouter_asgi.testing.anthropic import FakeAnthropic
from xrouter_asgi.testing.anthropic.answers import events
from xrouter_asgi.testing.anthropic.answers import message as message_of
from xrouter_asgi.testing.anthropic.faults import error, refuse, told

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


class Sky(BaseModel):
    colour: str


@pytest_asyncio.fixture(loop_scope="session")
async def claude(http: httpx.AsyncClient) -> AsyncIterator[tuple[ChatOpenAI, FakeAnthropic]]:
    """A model of LangChain's behind which Claude is."""
    async with FakeAnthropic(api_key="ours") as fake:
        provider = AnthropicProvider("ours", base_url=fake.base_url)
        router = LLMRouter({"claude": Target(provider, model="claude-opus-4-8")})
        async with uvicorn_here(router) as url:
            yield (
                ChatOpenAI(
                    model="claude",
                    base_url=f"{url}/v1",
                    api_key=SecretStr("any"),
                    max_retries=0,
                    stream_usage=True,
                    http_async_client=http,
                ),
                fake,
            )
        await router.aclose()


async def test_claude_chats(claude: tuple[ChatOpenAI, FakeAnthropic]) -> None:
    chat, fake = claude
    message = await chat.ainvoke([SystemMessage("Be kind."), HumanMessage("Hello there")])
    assert message.content == "Hello there"
    assert fake.last["system"] == "Be kind."
    assert isinstance(message, AIMessage)
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == 3


async def test_claude_streams(claude: tuple[ChatOpenAI, FakeAnthropic]) -> None:
    chat, _ = claude
    chunks = [chunk async for chunk in chat.astream("Good morning to you")]
    assert "".join(str(chunk.content) for chunk in chunks) == "Good morning to you"
    assert len([chunk for chunk in chunks if chunk.content]) == 4


@pytest.mark.parametrize("stream", [False, True])
async def test_claude_calls_tools_in_parallel(claude: tuple[ChatOpenAI, FakeAnthropic], stream: bool) -> None:
    chat, fake = claude
    bound = chat.bind_tools(FUNCTIONS)
    messages: list[BaseMessage] = [HumanMessage('call bash {"command": "ls"}\ncall read {}')]
    if stream:
        first, *rest = [chunk async for chunk in bound.astream(messages)]
        message: AIMessage = sum(rest, first)
    else:
        message = await bound.ainvoke(messages)
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("bash", {"command": "ls"}), ("read", {})]
    results = [ToolMessage(RESULT, tool_call_id=call["id"]) for call in message.tool_calls]
    said = await bound.ainvoke([*messages, message, *results])
    assert said.content == f"{RESULT}\n{RESULT}"
    assert [block["type"] for block in fake.last["messages"][1]["content"]] == ["tool_use", "tool_use"]


async def test_claude_answers_in_a_structure(claude: tuple[ChatOpenAI, FakeAnthropic]) -> None:
    chat, fake = claude
    sky = await chat.with_structured_output(Sky, method="json_schema").ainvoke('{"colour": "blue"}')
    assert sky == Sky(colour="blue")
    assert fake.last["output_config"]["format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("status", "kind", "text", "wanted"),
    [
        (400, "invalid_request_error", "prompt is too long: 9 > 8", openai.BadRequestError),
        (429, "rate_limit_error", "Too fast.", openai.RateLimitError),
        (529, "overloaded_error", "Overloaded", openai.InternalServerError),
    ],
)
async def test_errors_of_claude_are_told(
    claude: tuple[ChatOpenAI, FakeAnthropic], status: int, kind: str, text: str, wanted: type[openai.APIStatusError]
) -> None:
    chat, fake = claude
    fake.next(refuse(status, kind, text))
    with pytest.raises(wanted, match=text):
        await chat.ainvoke("Hello")


async def test_a_stream_of_claude_that_breaks_is_an_error(claude: tuple[ChatOpenAI, FakeAnthropic]) -> None:
    chat, fake = claude
    said = events(message_of({"model": "m", "messages": [{"content": "Hello there"}]}))
    fake.next(told(*said[:4], error("api_error", "Oh.")))
    with pytest.raises(openai.APIError):
        async for _ in chat.astream("Hello there"):
            pass
