"""anthropic-python asks for messages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
import pytest_asyncio
from anthropic.types import Message

from .asking import RESULT, TOOLS, Answer, Failed, Question
from .contract import Client, DialectContract

pytestmark = pytest.mark.asyncio(loop_scope="session")

FUNCTIONS: list[Any] = [
    {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]} for tool in TOOLS
]
FINISHES = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}

STATUSES: dict[str | None, int] = {"insufficient_quota": 402, "upstream_overloaded": 529}
"""Anthropic's where they are not OpenAI's, by our code."""


def request_of(question: Question) -> dict[str, Any]:
    messages = [{"role": "user", "content": content_of(question)}]
    structured = {"output_config": {"format": {"type": "json_schema", "schema": question.schema}}}
    asked = {"model": question.model, "messages": messages, "tools": FUNCTIONS, "max_tokens": 1000}
    return {**asked, **(structured if question.schema else {})}


def content_of(question: Question) -> str | list[dict[str, Any]]:
    if isinstance(question.content, str):
        return question.content
    return [part if part["type"] == "text" else image(part["image_url"]["url"]) for part in question.content]


def image(url: str) -> dict[str, Any]:
    coded = re.fullmatch(r"data:([\w/]+);base64,(.*)", url, re.DOTALL)
    if coded is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": {"type": "base64", "media_type": coded[1], "data": coded[2]}}


def results(message: Message) -> list[Any]:
    """The messages that a loop goes on with; none if nothing was called."""
    calls = [block for block in message.content if block.type == "tool_use"]
    told = [{"type": "tool_result", "tool_use_id": call.id, "content": RESULT} for call in calls]
    return [{"role": "assistant", "content": message.content}, {"role": "user", "content": told}] if told else []


def understood(message: Message) -> Answer:
    blocks = message.content
    calls = [
        {"id": block.id, "name": block.name, "arguments": block.input} for block in blocks if block.type == "tool_use"
    ]
    choice = {
        "text": "".join(block.text for block in blocks if block.type == "text"),
        "finish": FINISHES[message.stop_reason or ""],
        "calls": calls,
        "reasoning": "".join(block.thinking for block in blocks if block.type == "thinking"),
    }
    given, said = message.usage.input_tokens, message.usage.output_tokens
    return Answer.of({"choices": [choice], "usage": (given, said, given + said)})


async def ask(client: anthropic.AsyncAnthropic, question: Question) -> Message:
    base = question.url.removesuffix("/v1")
    messages, request = client.with_options(base_url=base).messages, request_of(question)
    while True:
        if question.stream:
            async with messages.stream(**request) as events:
                message: Message = await events.get_final_message()
        else:
            message = await messages.create(**request)
        if not question.loop or not (more := results(message)):
            return message
        request["messages"] += more


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sdk() -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key="any", max_retries=0) as client:
        yield client


class TestAnthropic(DialectContract):
    statuses = STATUSES
    estimates = True
    refused = "content_filter"

    @pytest.fixture
    def client(self, sdk: anthropic.AsyncAnthropic) -> Client:
        async def client(question: Question) -> Answer:
            try:
                return understood(await ask(sdk, question))
            except anthropic.APIStatusError as error:
                status = None if error.status_code == 200 else error.status_code  # an event of a stream
                raise Failed(type(error).__name__, error.message, status, None) from error

        return client
