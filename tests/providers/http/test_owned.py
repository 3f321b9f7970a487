"""What the owner tasks add to another transport."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.providers.http.scripted_server import OK, Peer, answering, owned, serving, silent, until_quiet
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.providers.http import OwnedTransport, Timeouts, Upstream
from xrouter_asgi.providers.http.cancel_safe import AHEAD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Counted(httpx.AsyncByteStream):
    """A body of numbered pieces that knows how far it was read, and whether it was closed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number in range(self.count):
            await asyncio.sleep(0)
            self.read += 1
            yield b"%d" % number

    async def aclose(self) -> None:
        self.closed = True


def answering_with(stream: httpx.AsyncByteStream) -> OwnedTransport:
    return OwnedTransport(httpx.MockTransport(lambda _: httpx.Response(200, stream=stream)))


async def ticks(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_owner_reads_only_so_far_ahead() -> None:
    body = Counted(100)
    transport = answering_with(body)
    stream = await Upstream("http://x.test", transport=transport).open("GET", "/")
    await ticks()
    assert body.read == AHEAD
    await anext(stream)
    await ticks()
    assert body.read == AHEAD + 1
    assert b"".join([chunk async for chunk in stream]) == b"".join(b"%d" % number for number in range(1, 100))
    await until_quiet(transport)
    assert body.closed


async def test_a_caller_who_leaves_wakes_an_owner_that_waits_for_room() -> None:
    body = Counted(100)
    transport = answering_with(body)
    stream = await Upstream("http://x.test", transport=transport).open("GET", "/")
    await ticks()
    await stream.aclose()
    await until_quiet(transport)
    assert body.closed
    assert body.read == AHEAD


async def test_an_owner_is_never_cancelled_by_its_caller() -> None:
    cancelled = False
    entered, go_on = asyncio.Event(), asyncio.Event()
    body = Counted(3)

    async def slow(request: httpx.Request) -> httpx.Response:
        nonlocal cancelled
        entered.set()
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            cancelled = True
            raise
        return httpx.Response(200, stream=body)

    transport = OwnedTransport(httpx.MockTransport(slow))
    caller = asyncio.create_task(Upstream("http://x.test", transport=transport).fetch("GET", "/"))
    await entered.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert caller.cancelled()
    assert transport.running == 1
    go_on.set()
    await until_quiet(transport)
    assert not cancelled
    assert (body.read, body.closed) == (0, True)


async def test_time_outs_reach_the_wrapped_transport_and_idle_takes_over_after_the_head() -> None:
    seen: list[float] = []

    class Watching(Counted):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            seen.append(timeout["read"])
            yield b"hi"

    timeout: dict[str, float] = {}

    def handle(request: httpx.Request) -> httpx.Response:
        nonlocal timeout
        timeout = request.extensions["timeout"]
        seen.append(timeout["read"])
        assert set(timeout) == {"connect", "read", "write", "pool"}
        return httpx.Response(200, stream=Watching(1))

    timeouts = Timeouts(first=40, idle=7)
    upstream = Upstream("http://x.test", timeouts=timeouts, transport=OwnedTransport(httpx.MockTransport(handle)))
    await upstream.fetch("GET", "/")
    await upstream.fetch("GET", "/")
    assert seen == [40, 7, 40, 7]


async def test_closing_ends_every_owner_and_fails_their_callers() -> None:
    async with serving(silent) as server:
        transport = owned(max_connections=1)
        upstream = Upstream(server.url, transport=transport)
        running = asyncio.create_task(upstream.fetch("GET", "/"))
        waiting = asyncio.create_task(upstream.fetch("GET", "/"))
        await server.until_open(1)
        assert repr(transport) == "OwnedTransport(AsyncHTTPTransport, running=2)"
        await upstream.aclose()
        assert transport.running == 0
        results = await asyncio.gather(running, waiting, return_exceptions=True)
        assert [getattr(result, "code", result) for result in results] == ["connection_lost", "connection_lost"]
        with pytest.raises(RuntimeError, match="closed"):
            await upstream.fetch("GET", "/")


async def test_closing_fails_a_reader_in_the_middle_of_a_body() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi")
        await peer.gone()

    async with serving(script) as server:
        upstream = Upstream(server.url, transport=owned())
        stream = await upstream.open("GET", "/")
        assert await anext(stream) == b"hi"
        await upstream.aclose()
        with pytest.raises(UpstreamUnavailable) as caught:
            await anext(stream)
        assert caught.value.code == "connection_lost"


async def test_a_body_that_cannot_be_awaited_is_a_mistake_of_the_transport() -> None:
    inner = httpx.MockTransport(lambda _: httpx.Response(200, content=iter([b"hi"])))
    upstream = Upstream("http://x.test", transport=OwnedTransport(inner))
    with pytest.raises(TypeError, match="awaited"):
        await upstream.fetch("GET", "/")


async def test_empty_pieces_are_not_an_end() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"", b"one", b"", b"two"):
            yield piece

    inner = httpx.MockTransport(lambda _: httpx.Response(200, content=pieces()))
    upstream = Upstream("http://x.test", transport=OwnedTransport(inner))
    assert (await upstream.fetch("GET", "/")).body == b"onetwo"


async def test_it_works_without_time_outs() -> None:
    async with serving(answering(OK)) as server:
        transport = owned()
        response = await transport.handle_async_request(httpx.Request("GET", server.url))
        assert await response.aread() == b"hi"
        assert response.http_version == "HTTP/1.1"
        await transport.aclose()
