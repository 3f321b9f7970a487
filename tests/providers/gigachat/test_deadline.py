"""Whatever a call waits for, it waits no longer than its deadline; what others wait for too goes on."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from xrouter_asgi.errors import UpstreamTimeout
from xrouter_asgi.providers.base import Call
from xrouter_asgi.providers.gigachat import GigaChatProvider
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.gigachat.faults import Stall
from xrouter_asgi.testing.http import FakeExchange, FakeServer
from xrouter_asgi.testing.virtual import now
from xrouter_asgi.wire import EmbeddingsRequest

from .conftest import Ask, Connect

LEFT = 0.2
JPEG = b"\xff\xd8\xff\xe0 a picture"


async def late(provider: GigaChatProvider, call: Call) -> UpstreamTimeout:
    """The error of a call that its deadline ended."""
    began = now()
    with pytest.raises(UpstreamTimeout) as caught:
        await provider.send(call.until(began + LEFT))
    assert now() - began >= LEFT
    assert (caught.value.status, caught.value.code, caught.value.trips) == (504, "total_timeout", False)
    return caught.value


def picture(url: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


async def test_a_token_is_waited_for_until_the_deadline_and_then_comes_for_others(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    release = asyncio.Event()
    fake.script("/oauth", Stall(release))  # then the second try succeeds
    provider = connect(max_parallel=2)
    patient = asyncio.create_task(provider.send(ask()))
    await fake.arrived("/oauth")
    error = await late(provider, ask())
    assert "authorization server" in error.message
    assert not patient.done()
    release.set()
    await patient
    assert (fake.oauth_calls, len(fake.asked("/chat/completions"))) == (2, 1)


async def test_the_replacement_of_a_refused_token_is_waited_for_until_the_deadline(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    provider = connect()
    await provider.send(ask())
    fake.revoke()
    fake.script("/oauth", Stall())
    await late(provider, ask())


async def test_a_slot_is_waited_for_until_the_deadline(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    fake.gate.clear()
    provider = connect()
    holder = asyncio.create_task(provider.send(ask()))
    await fake.arrived("/chat/completions")
    error = await late(provider, ask())
    assert error.message.startswith("GigaChat serves 1 call at a time here")
    fake.gate.set()
    await holder


async def test_an_upload_is_waited_for_until_the_deadline_and_goes_on_for_others(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    release = asyncio.Event()

    fake.script("/files", Stall(release))
    provider = connect()
    message = picture(f"data:image/jpeg;base64,{base64.b64encode(JPEG).decode()}")
    patient = asyncio.create_task(provider.send(ask(messages=message)))
    await fake.arrived("/files")
    await late(provider, ask(messages=message))
    assert not patient.done()
    patient.cancel()
    await asyncio.wait({patient})
    await fake.asked("/files")[0].gone.wait()


async def test_a_download_ends_at_the_deadline(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    async def silent(exchange: FakeExchange) -> None:
        await exchange.gone.wait()

    async with FakeServer(silent) as site:
        provider = connect(allow_networks=["127.0.0.0/8"])
        error = await late(provider, ask(messages=picture(f"{site.url}/picture.png")))
    assert error.param == "messages[0].content[0].image_url"


async def test_all_batches_of_embeddings_share_one_deadline(connect: Connect, fake: FakeGigaChat) -> None:
    class Slow:
        async def play(self, exchange: FakeExchange) -> None:
            await asyncio.sleep(LEFT * 0.7)
            await fake.proper(exchange)

    fake.script("/embeddings", Slow(), Slow())
    await late(connect(), Call(EmbeddingsRequest.of({"model": "Embeddings", "input": ["a"] * 91})))
    assert len(fake.asked("/embeddings")) == 2
