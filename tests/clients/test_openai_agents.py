"""OpenAI's Agents SDK, which asks for responses. It stands in the tox environment `js`, beside its like."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import agents
import openai
import pytest
import pytest_asyncio
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseReasoningItem

from .asking import RESULT, TOOLS, Answer, Failed, Question
from .contract import Client, ClientContract
from .test_responses import content_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _done(context: object, arguments: str) -> str:
    return RESULT


FUNCTIONS = [
    agents.FunctionTool(tool["name"], tool["description"], cast("dict[str, Any]", tool["parameters"]), _done, False)
    for tool in TOOLS
]


async def ask(client: openai.AsyncOpenAI, question: Question) -> agents.ModelResponse:
    """The last answer of a model in a run."""
    agent = agents.Agent[None](
        name="test",
        model=agents.OpenAIResponsesModel(question.model, client.with_options(base_url=question.url)),
        tools=[*FUNCTIONS],
        tool_use_behavior="run_llm_again" if question.loop else "stop_on_first_tool",
    )
    config = agents.RunConfig(tracing_disabled=True)
    asked: Any = [{"role": "user", "content": content_of(question)}]
    if not question.stream:
        return (await agents.Runner.run(agent, asked, run_config=config)).raw_responses[-1]
    run = agents.Runner.run_streamed(agent, asked, run_config=config)
    async for _ in run.stream_events():
        pass
    return run.raw_responses[-1]


def understood(response: agents.ModelResponse) -> Answer:
    output = response.output
    messages = [item for item in output if isinstance(item, ResponseOutputMessage)]
    thoughts = [part for item in output if isinstance(item, ResponseReasoningItem) for part in item.summary]
    calls = [
        {"id": item.call_id, "name": item.name, "arguments": item.arguments}
        for item in output
        if isinstance(item, ResponseFunctionToolCall)
    ]
    usage = response.usage
    choice = {
        "text": "".join(part.text for item in messages for part in item.content if part.type == "output_text"),
        "finish": "tool_calls" if calls else "stop",
        "calls": calls,
        "reasoning": "".join(part.text for part in thoughts),
    }
    counts = (usage.input_tokens, usage.output_tokens, usage.total_tokens)
    return Answer.of({"choices": [choice], "usage": counts if usage.total_tokens else None})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sdk() -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="any", max_retries=0) as client:
        yield client


class TestAgentsSDK(ClientContract):
    @pytest.fixture
    def client(self, sdk: openai.AsyncOpenAI) -> Client:
        async def client(question: Question) -> Answer:
            try:
                return understood(await ask(sdk, question))
            except openai.APIError as error:
                status = getattr(error, "status_code", None)
                raise Failed(type(error).__name__, error.message, status, error.code) from error
            except agents.ModelBehaviorError as error:  # `response.failed`
                raise Failed(type(error).__name__, str(error), None, None) from error

        return client
