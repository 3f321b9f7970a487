"""A fake GigaChat and providers that talk to it; all are closed after the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from xrouter_asgi.providers.base import Call
from xrouter_asgi.providers.gigachat import GigaChatProvider
from xrouter_asgi.testing.clock import LoopClock
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.wire import ChatRequest


class Connect(Protocol):
    """Make a provider of the fake's account; arguments replace its own."""

    def __call__(self, **arguments: Any) -> GigaChatProvider: ...


class Ask(Protocol):
    """Make a call that says `text` to a model; members are added to the request."""

    def __call__(
        self, text: str = "Hello", *, headers: list[tuple[bytes, bytes]] | None = None, **members: Any
    ) -> Call: ...


@pytest.fixture
async def clock() -> LoopClock:
    return LoopClock()


@pytest.fixture
async def fake() -> AsyncIterator[FakeGigaChat]:
    async with FakeGigaChat() as fake:
        yield fake


@pytest.fixture
async def connect(fake: FakeGigaChat) -> AsyncIterator[Connect]:
    providers = []

    def make(**arguments: Any) -> GigaChatProvider:
        provider = GigaChatProvider(**{"credentials": fake.credentials, "base_url": fake.base_url, **arguments})
        providers.append(provider)
        return provider

    yield make
    for provider in providers:
        await provider.aclose()


@pytest.fixture
def ask() -> Ask:
    def make(text: str = "Hello", *, headers: list[tuple[bytes, bytes]] | None = None, **members: Any) -> Call:
        body = {"model": "GigaChat-2", "messages": [{"role": "user", "content": text}], **members}
        return Call(ChatRequest.of(body), headers=headers or [])

    return make
