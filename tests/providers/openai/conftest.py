from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.testing.openai import FakeOpenAI


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def provider(fake: FakeOpenAI) -> AsyncIterator[OpenAIProvider]:
    provider = OpenAIProvider(fake.base_url, api_key="sk-ours-123456")
    yield provider
    await provider.aclose()
