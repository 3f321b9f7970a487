from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.fakes.openai import FakeOpenAI, held, raw, whole
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.providers.http import Timeouts
from xrouter_asgi.providers.openai import OpenAIProvider

from .contract import ProviderContract, UpstreamContract


class TestEcho(ProviderContract):
    embedder = "chat"

    @pytest.fixture
    def provider(self) -> EchoProvider:
        return EchoProvider(models=["chat"])


class OpenAIFaults:
    def __init__(self, fake: FakeOpenAI) -> None:
        self._fake = fake

    def answer(self, status: int, body: bytes) -> None:
        self._fake.next(whole(body, status=status))

    def hang_up(self) -> None:
        self._fake.next(raw())

    def stall(self) -> None:
        self._fake.next(held(asyncio.Event(), raw()))


class TestOpenAI(UpstreamContract):
    @pytest.fixture
    async def fake(self) -> AsyncIterator[FakeOpenAI]:
        async with FakeOpenAI() as fake:
            yield fake

    @pytest.fixture
    def faults(self, fake: FakeOpenAI) -> OpenAIFaults:
        return OpenAIFaults(fake)

    @pytest.fixture
    async def provider(self, fake: FakeOpenAI) -> AsyncIterator[OpenAIProvider]:
        provider = OpenAIProvider(fake.base_url, timeouts=Timeouts(first=0.5))
        yield provider
        await provider.aclose()
