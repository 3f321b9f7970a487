"""Clients of the Messages API who bring their own credential: what their own account keeps may be named."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.serving import uvicorn_here
from xrouter_asgi import BringYourOwnKey, LLMRouter, Target
from xrouter_asgi.providers import AnthropicProvider
from xrouter_asgi.providers.base import Provider
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.testing.anthropic import FakeAnthropic
from xrouter_asgi.testing.anthropic.answers import message
from xrouter_asgi.testing.openai import whole

HELLO: dict[str, Any] = {"model": "claude", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
FILE = {"type": "file", "file_id": "file_1"}


def said(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


NAMED = [
    said({"type": "container_upload", "file_id": "file_1"}),
    said({"type": "document", "source": FILE}),
    said({"type": "image", "source": FILE}, {"type": "text", "text": "What is it?"}),
    {"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]},
]


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[httpx.AsyncClient]:
    router = LLMRouter({"claude": Target(provider, model="claude-opus-4-8")})
    async with uvicorn_here(router) as url, httpx.AsyncClient(base_url=f"{url}/v1", trust_env=False) as client:
        yield client
    await router.aclose()


def own_keys(fake: FakeAnthropic) -> BringYourOwnKey:
    shared = AnthropicProvider("shared", base_url=fake.base_url)
    return BringYourOwnKey(lambda key: AnthropicProvider(key, base_url=fake.base_url), inner=shared)


async def ask(client: httpx.AsyncClient, credential: str | None = "own", **members: Any) -> httpx.Response:
    headers = {"anthropic-version": "2023-06-01"} | ({} if credential is None else {"x-provider-key": credential})
    return await client.post("/messages", json={**HELLO, **members}, headers=headers)


@pytest.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic() as fake:
        yield fake


@pytest.mark.parametrize("members", [*NAMED, {"container": "cntr_1"}, {}], ids=lambda each: json.dumps(each)[:60])
async def test_what_the_callers_own_account_keeps_may_be_named(fake: FakeAnthropic, members: dict[str, Any]) -> None:
    async with serving(own_keys(fake)) as client:
        fake.next(whole(message(HELLO)))
        answer = await ask(client, **members)
    assert (answer.status_code, "x-xrouter-warnings" in answer.headers) == (200, False)
    assert fake.last == {**HELLO, **members, "model": "claude-opus-4-8"}
    assert fake.requests[0].headers["x-api-key"] == "own"


@pytest.mark.parametrize("members", NAMED, ids=lambda each: json.dumps(each)[:60])
async def test_the_shared_account_is_never_sent_it(fake: FakeAnthropic, members: dict[str, Any]) -> None:
    async with serving(own_keys(fake)) as client:
        assert (await ask(client, None, **members)).status_code == 400
    for provider in (AnthropicProvider("shared", base_url=fake.base_url), BringYourOwnKey(lambda key: EchoProvider())):
        async with serving(provider) as client:
            assert (await ask(client, **members)).status_code == 400
    assert fake.requests == []
