"""A fake GigaChat and providers that talk to it; all are closed after the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from tests.fakes.clock import Clock
from tests.fakes.gigachat import FakeGigaChat
from xrouter_asgi.providers.base import Call
from xrouter_asgi.providers.gigachat import GigaChatProvider
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
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def fake(clock: Clock) -> AsyncIterator[FakeGigaChat]:
    async with FakeGigaChat(clock=clock) as fake:
        yield fake


@pytest.fixture
async def connect(fake: FakeGigaChat, clock: Clock) -> AsyncIterator[Connect]:
    providers = []

    def make(**arguments: Any) -> GigaChatProvider:
        if not arguments.keys() & {"credentials", "user", "access_token", "cert"}:
            arguments["credentials"] = fake.key
        addresses = {"base_url": fake.base_url, "auth_url": fake.auth_url, "scope": fake.scope}
        provider = GigaChatProvider(**{**addresses, "clock": clock, "monotonic": clock, **arguments})
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
