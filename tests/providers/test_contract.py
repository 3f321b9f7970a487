from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from xrouter_asgi.errors import UnsupportedOperation
from xrouter_asgi.providers.anthropic import AnthropicProvider
from xrouter_asgi.providers.base import Call, Provider
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.providers.gigachat import GigaChatProvider
from xrouter_asgi.providers.http import Timeouts
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.providers.own_key import BringYourOwnKey
from xrouter_asgi.testing.anthropic import FakeAnthropic
from xrouter_asgi.testing.anthropic.faults import told
from xrouter_asgi.testing.clock import LoopClock
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.gigachat.faults import Events, Reset, ScriptedAnswer, Stall
from xrouter_asgi.testing.openai import FakeOpenAI, held, raw, stream, whole
from xrouter_asgi.testing.providers import DeadlineContract, ProviderContract, UpstreamContract

TIMEOUTS = Timeouts(first=0.5, idle=0.5)
SAID = {"id": "c", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}


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

    def stall_in_stream(self) -> None:
        self._fake.next(stream(SAID, hold=asyncio.Event()))

    def stall_models(self) -> None:
        self.stall()


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
        provider = OpenAIProvider(fake.base_url, timeouts=TIMEOUTS)
        yield provider
        await provider.aclose()


class AnthropicFaults(OpenAIFaults):
    def stall_in_stream(self) -> None:
        block = {"type": "text", "text": ""}
        begun = {"type": "content_block_start", "index": 0, "content_block": block}
        self._fake.next(told(begun, hold=asyncio.Event()))


class TestAnthropic(UpstreamContract):
    @pytest.fixture
    async def fake(self) -> AsyncIterator[FakeAnthropic]:
        async with FakeAnthropic() as fake:
            yield fake

    @pytest.fixture
    def faults(self, fake: FakeAnthropic) -> AnthropicFaults:
        return AnthropicFaults(fake)

    @pytest.fixture
    async def provider(self, fake: FakeAnthropic) -> AsyncIterator[AnthropicProvider]:
        provider = AnthropicProvider(base_url=fake.base_url, timeouts=TIMEOUTS)
        yield provider
        await provider.aclose()

    async def test_vectors_come_in_the_order_of_their_texts(self, provider: Provider) -> None:
        """There are none, and the error says so."""
        with pytest.raises(UnsupportedOperation, match="has no embeddings"):
            await provider.send(self.embed("one"))


class TestBringYourOwnKey(DeadlineContract):
    def chat(self, **members: Any) -> Call:
        return replace(super().chat(**members), headers=[(b"x-provider-key", b"mine")])

    @pytest.fixture
    async def fake(self) -> AsyncIterator[FakeOpenAI]:
        async with FakeOpenAI() as fake:
            yield fake

    @pytest.fixture
    def faults(self, fake: FakeOpenAI) -> OpenAIFaults:
        return OpenAIFaults(fake)

    @pytest.fixture
    async def provider(self, fake: FakeOpenAI) -> AsyncIterator[BringYourOwnKey]:
        def build(key: str) -> OpenAIProvider:
            return OpenAIProvider(fake.base_url, api_key=key, timeouts=TIMEOUTS)

        provider = BringYourOwnKey(build, inner=build("ours"))
        yield provider
        await provider.aclose()


class GigaChatFaults:
    def __init__(self, fake: FakeGigaChat, clock: LoopClock) -> None:
        self._fake = fake
        self._clock = clock

    def answer(self, status: int, body: bytes) -> None:
        # A refused token is replaced once, so the refusal must come twice; then it is remembered for half a minute.
        self._clock.advance(31)
        self._fake.unscript("/chat/completions")
        self._fake.script("/chat/completions", ScriptedAnswer(status, body), ScriptedAnswer(status, body))

    def hang_up(self) -> None:
        self._fake.script("/chat/completions", Reset())

    def stall(self) -> None:
        self._fake.script("/chat/completions", Stall())

    def stall_in_stream(self) -> None:
        self._fake.script("/chat/completions", Events([SAID], done=False, stall=asyncio.Event()))

    def stall_models(self) -> None:
        self._fake.script("/models", Stall())


class TestGigaChat(UpstreamContract):
    model = "GigaChat-2"
    embedder = "Embeddings"

    @pytest.fixture
    async def fake(self) -> AsyncIterator[FakeGigaChat]:
        async with FakeGigaChat(parallel=10) as fake:
            yield fake

    @pytest.fixture
    async def faults(self, fake: FakeGigaChat) -> GigaChatFaults:
        return GigaChatFaults(fake, LoopClock())

    @pytest.fixture
    async def provider(self, fake: FakeGigaChat) -> AsyncIterator[GigaChatProvider]:
        provider = GigaChatProvider(fake.credentials, base_url=fake.base_url, timeouts=TIMEOUTS, max_parallel=10)
        yield provider
        await provider.aclose()
