from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from xrouter_asgi.providers.anthropic import AnthropicProvider
from xrouter_asgi.testing.anthropic import FakeAnthropic

KEY = "sk-ant-ours-123456"


@pytest.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic(api_key=KEY) as fake:
        yield fake


@pytest.fixture
async def provider(fake: FakeAnthropic) -> AsyncIterator[AnthropicProvider]:
    provider = AnthropicProvider(KEY, base_url=fake.base_url)
    yield provider
    await provider.aclose()
