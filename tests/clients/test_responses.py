"""openai-python asks for responses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai.resources.responses import AsyncResponses
from openai.types.responses import Response

from .asking import RESULT, TOOLS, Answer, Failed, Question
from .contract import Client, DialectContract

pytestmark = pytest.mark.asyncio(loop_scope="session")

FUNCTIONS: list[Any] = [{"type": "function", **tool} for tool in TOOLS]


def request_of(question: Question) -> dict[str, Any]:
    messages = [{"role": "user", "content": content_of(question)}]
    format = {"type": "json_schema", "name": "answer", "schema": question.schema, "strict": True}
    structured = {"text": {"format": format}} if question.schema else {}
    return {"model": question.model, "input": messages, "tools": FUNCTIONS, "store": False, **structured}


def content_of(question: Question) -> str | list[dict[str, Any]]:
    if isinstance(question.content, str):
        return question.content
    return [
        {"type": "input_text", "text": part["text"]}
        if part["type"] == "text"
        else {"type": "input_image", "image_url": part["image_url"]["url"], "detail": "auto"}
        for part in question.content
    ]


def results(response: Response) -> list[Any]:
    """The items that a loop goes on with; none if nothing was called."""
    calls = [item for item in response.output if item.type == "function_call"]
    told = [{"type": "function_call_output", "call_id": call.call_id, "output": RESULT} for call in calls]
    return [*response.output, *told] if told else []


def understood(response: Response) -> Answer:
    texts = [part for item in response.output if item.type == "message" for part in item.content]
    thoughts = [part.text for item in response.output if item.type == "reasoning" for part in item.summary]
    calls = [
        {"id": item.call_id, "name": item.name, "arguments": item.arguments}
        for item in response.output
        if item.type == "function_call"
    ]
    choice = {
        "text": "".join(part.text if part.type == "output_text" else part.refusal for part in texts),
        "finish": finish(response, called=bool(calls)),
        "calls": calls,
        "reasoning": "".join(thoughts),
    }
    usage = response.usage
    counts = usage and (usage.input_tokens, usage.output_tokens, usage.total_tokens)
    return Answer.of({"choices": [choice], "usage": counts})


def finish(response: Response, *, called: bool) -> str:
    """Why it ended, in the words of chat."""
    if response.status == "incomplete" and response.incomplete_details is not None:
        reason = str(response.incomplete_details.reason)
        return {"max_output_tokens": "length"}.get(reason, reason)
    return "tool_calls" if called else "stop"


async def ask(client: openai.AsyncOpenAI, question: Question) -> Response:
    responses, request = client.with_options(base_url=question.url).responses, request_of(question)
    while True:
        if question.stream:
            response = await streamed(responses, request)
        else:
            response = await responses.create(**request)
        if response.error is not None:
            raise Failed("failed", response.error.message, None, None)
        if not question.loop or not (more := results(response)):
            return response
        request["input"] += more


async def streamed(responses: AsyncResponses, request: dict[str, Any]) -> Response:
    async with responses.stream(**request) as events:
        async for event in events:
            if event.type in ("response.completed", "response.incomplete", "response.failed"):
                response: Response = event.response
    return response


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sdk() -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="any", max_retries=0) as client:
        yield client


class TestOpenAI(DialectContract):
    @pytest.fixture
    def client(self, sdk: openai.AsyncOpenAI) -> Client:
        async def client(question: Question) -> Answer:
            try:
                return understood(await ask(sdk, question))
            except openai.APIError as error:
                status = getattr(error, "status_code", None)
                raise Failed(type(error).__name__, error.message, status, error.code) from error

        return client
