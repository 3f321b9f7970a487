"""openai-node, anthropic-node, LangChain and the AI SDK. The tox environment `js` installs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import ClassVar, TypeAlias

import pytest
import pytest_asyncio

from .contract import Client, ClientContract, DialectContract, SeveralChoicesContract
from .javascript import javascript
from .test_messages import STATUSES as ANTHROPIC_STATUSES

pytestmark = pytest.mark.asyncio(loop_scope="session")

Start: TypeAlias = Callable[..., Awaitable[Client]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def start() -> AsyncIterator[Start]:
    """Starts a program, once."""
    clients: dict[tuple[str, ...], Client] = {}
    async with AsyncExitStack() as running:

        async def started(*program: str) -> Client:
            if program not in clients:
                clients[program] = await running.enter_async_context(javascript(*program))
            return clients[program]

        yield started


class InJavaScript(ClientContract):
    """For a program and its arguments."""

    program: ClassVar[tuple[str, ...]]

    @pytest_asyncio.fixture(loop_scope="session")
    async def client(self, start: Start) -> Client:
        return await start(*self.program)


class TestOpenAINode(InJavaScript, SeveralChoicesContract):
    program = ("openai.mjs",)


class TestLangChain(InJavaScript):
    program = ("langchain.mjs",)


class TestAIWithOpenAI(InJavaScript):
    program = ("ai.mjs", "openai")


class TestAIWithOpenAICompatible(InJavaScript):
    program = ("ai.mjs", "openai-compatible")


class TestOpenAINodeResponses(InJavaScript, DialectContract):
    program = ("responses.mjs",)


class TestAnthropicNode(InJavaScript, DialectContract):
    program = ("anthropic.mjs",)
    statuses = ANTHROPIC_STATUSES
    estimates = True
    refused = "content_filter"


class TestAIWithResponses(InJavaScript, DialectContract):
    program = ("ai.mjs", "responses")
    refused = "content_filter"


class TestAIWithMessages(InJavaScript, DialectContract):
    program = ("ai.mjs", "messages")
    statuses = ANTHROPIC_STATUSES
    estimates = True
    refused = "content_filter"
