"""Whole exchanges over sockets, on our transport and on httpx's in its owner tasks."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.providers.http.scripted_server import (
    BOTH,
    LOOPS,
    OK,
    Make,
    Peer,
    Run,
    answering,
    own,
    playing,
    serving,
    silent,
)
from xrouter_asgi.errors import UpstreamTimeout
from xrouter_asgi.providers.http import Timeouts, Upstream
from xrouter_asgi.providers.http.connection import HIGH_WATER
from xrouter_asgi.providers.http.transport import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

both = pytest.mark.parametrize("make", BOTH)


@both
async def test_a_request_arrives_as_it_was_sent(make: Make) -> None:
    async with serving(answering(OK)) as server:
        upstream = Upstream(server.url + "/v1/", headers={"Authorization": "Bearer k"}, transport=make())
        answer = await upstream.fetch("POST", "/chat?a=b", headers=[(b"X-One", b"1")], content=b'{"a":1}')
        await upstream.aclose()
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"hi", "2")
    lines = server.requests[0].split(b"\r\n")
    assert lines[0] == b"POST /v1/chat?a=b HTTP/1.1"
    assert sorted(lines[1:-2]) == [
        b"Accept-Encoding: identity",
        b"Authorization: Bearer k",
        b"Content-Length: 7",
        b"Host: 127.0.0.1:%d" % server.port,
        b"X-One: 1",
    ]
    assert lines[-2:] == [b"", b'{"a":1}']


@both
@pytest.mark.parametrize(
    ("method", "answer", "body"),
    [
        ("GET", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: y\r\n\r\n", b"hi"),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, b"hi"),
        ("POST", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hi"),
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b""),
        ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_the_connection_is_used_again_after_a_whole_answer(
    make: Make, method: str, answer: bytes, body: bytes
) -> None:
    async with serving(answering(answer)) as server:
        upstream = Upstream(server.url, transport=make())
        for _ in range(3):
            assert (await upstream.fetch(method, "/")).body == body
        await upstream.aclose()
    assert server.connections == 1


@both
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\n\r\nhi",
    ],
    ids=["close", "http10", "eof"],
)
async def test_the_connection_is_not_used_again_after_an_answer_that_ends_it(make: Make, answer: bytes) -> None:
    async with serving(playing(answer)) as server:
        upstream = Upstream(server.url, transport=make())
        for _ in range(3):
            assert (await upstream.fetch("GET", "/")).body == b"hi"
        await upstream.aclose()
    assert server.connections == 3


async def test_bytes_after_an_answer_never_become_the_next_answer() -> None:
    spoilt = OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"
    async with serving(answering(spoilt), answering(OK)) as server:
        upstream = Upstream(server.url, transport=HTTPTransport())
        assert [(await upstream.fetch("GET", "/")).body for _ in range(3)] == [b"hi", b"hi", b"hi"]
        await upstream.aclose()
    assert server.connections == 2


async def test_bytes_on_a_resting_connection_close_it() -> None:
    rested = asyncio.Event()

    async def chatty(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await rested.wait()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
        await peer.gone()

    async with serving(chatty, answering(OK)) as server:
        transport = own()
        upstream = Upstream(server.url, transport=transport)
        await upstream.fetch("GET", "/")
        assert transport.idle_connections == 1
        rested.set()
        await server.until_open(0)
        assert transport.open_connections == 0
        assert (await upstream.fetch("GET", "/")).body == b"hi"
        await upstream.aclose()


@both
async def test_a_stream_hands_over_what_is_here_without_waiting_for_more(make: Make) -> None:
    taken = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await peer.send(b"3\r\none\r\n")
        await taken.wait()
        await peer.send(b"3\r\ntwo\r\n0\r\n\r\n")
        await peer.gone()

    async with serving(script) as server:
        upstream = Upstream(server.url, transport=make())
        stream = await upstream.open("GET", "/")
        assert await anext(stream) == b"one"
        taken.set()
        assert [chunk async for chunk in stream] == [b"two"]
        await upstream.aclose()


async def test_a_connection_is_free_as_soon_as_the_last_piece_is_taken() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        await peer.server.go_on.wait()
        await peer.send(b"hi")
        await peer.gone()

    async with serving(script) as server:
        transport = own()
        upstream = Upstream(server.url, transport=transport)
        stream = await upstream.open("GET", "/")
        server.go_on.set()
        assert await anext(stream) == b"hi"
        assert transport.idle_connections == 1
        await upstream.aclose()


@both
async def test_a_large_body_comes_whole_in_both_directions(make: Make) -> None:
    large = bytes(range(256)) * 8192

    async def echo(peer: Peer) -> None:
        request = await peer.request()
        body = request.partition(b"\r\n\r\n")[2]
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await peer.gone()

    async with serving(echo) as server:
        upstream = Upstream(server.url, transport=make())
        assert (await upstream.fetch("POST", "/", content=large)).body == large
        await upstream.aclose()


async def test_an_answer_that_is_not_read_slows_the_upstream_down() -> None:
    sent = 0
    stuck = asyncio.Event()
    size = 64 << 20

    async def flood(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        peer.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        peer.writer.transport.set_write_buffer_limits(high=0)
        piece = bytes(1 << 20)
        while sent < size:
            drain = asyncio.ensure_future(peer.send(piece))
            await asyncio.wait([drain], timeout=0.2)
            if not drain.done():
                stuck.set()
            await drain
            sent += len(piece)
        await peer.gone()

    async with serving(flood) as server:
        upstream = Upstream(server.url, transport=own())
        stream = await upstream.open("GET", "/")
        await stuck.wait()
        # The rest is what two kernels' socket buffers hold.
        assert sent < size / 2
        longest = total = 0
        async for chunk in stream:
            total += len(chunk)
            longest = max(longest, len(chunk))
        assert total == size
        # The bound, and one read beyond it.
        assert longest <= HIGH_WATER + (256 << 10)
        await upstream.aclose()


async def test_a_connection_given_back_while_its_reading_was_paused_reads_on() -> None:
    big = bytes(HIGH_WATER * 8)
    async with serving(answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(big), big), OK)) as server:
        upstream = Upstream(server.url, transport=own())
        assert (await upstream.fetch("GET", "/")).body == big
        assert (await upstream.fetch("GET", "/")).body == b"hi"
        await upstream.aclose()
    assert server.connections == 1


async def test_an_answer_before_the_end_of_the_request_is_read_and_ends_the_connection() -> None:
    async def refuse(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await peer.gone()

    async with serving(refuse) as server:
        transport = own()
        upstream = Upstream(server.url, transport=transport)
        answer = await upstream.fetch("POST", "/", content=bytes(32 << 20))
        assert (answer.status, answer.body) == (413, b"big")
        assert transport.open_connections == 0
        await upstream.aclose()


async def test_a_small_request_is_one_write() -> None:
    pieces: list[bytes] = []

    async def once(peer: Peer) -> None:
        pieces.append(await peer.reader.read(1 << 16))
        await peer.send(OK)
        await peer.gone()

    async with serving(once) as server:
        upstream = Upstream(server.url, transport=own())
        await upstream.fetch("POST", "/", content=b"x" * 1000)
        await upstream.aclose()
    assert pieces[0].endswith(b"\r\n\r\n" + b"x" * 1000)


async def everything() -> None:
    """One of each, for every event loop."""
    async with serving(
        answering(OK, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    ) as server:
        transport = own()
        upstream = Upstream(server.url, transport=transport)
        for _ in range(3):
            assert (await upstream.fetch("POST", "/", content=b"x" * 300_000)).body == b"hi"
        assert (transport.open_connections, transport.idle_connections) == (1, 1)
        stream = await upstream.open("GET", "/")
        await stream.aclose()
        await upstream.aclose()
        assert (transport.open_connections, transport.idle_connections) == (0, 0)
        await server.until_open(0)


async def slowly_to_the_end() -> None:
    """Much data, pauses, and an end that is the end of the connection."""
    size = 8 << 20

    async with serving(playing(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(size)), silent) as server:
        transport = own()
        upstream = Upstream(server.url, timeouts=Timeouts(first=0.5), transport=transport)
        total = 0
        async for chunk in await upstream.open("GET", "/"):
            total += len(chunk)
            await asyncio.sleep(0)
        assert total == size
        with pytest.raises(UpstreamTimeout):
            await upstream.fetch("GET", "/")
        assert transport.open_connections == 0
        await upstream.aclose()


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("scenario", [everything, slowly_to_the_end])
def test_it_works_on_the_loop(scenario: Callable[[], Coroutine[None, None, None]], run: Run) -> None:
    run(scenario())


async def test_small_packets_are_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.create_connection
    made: list[asyncio.Transport] = []

    async def noted(*args: Any, **options: Any) -> Any:
        transport, protocol = await connect(*args, **options)
        made.append(transport)
        return transport, protocol

    monkeypatch.setattr(loop, "create_connection", noted)
    async with serving(answering(OK)) as server:
        upstream = Upstream(server.url, transport=own())
        await upstream.fetch("GET", "/")
        assert made[0].get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await upstream.aclose()


async def test_a_request_of_another_client_is_completed() -> None:
    """httpx.AsyncClient streams a generator in chunks; the transport sends it with a length."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with serving(answering(OK)) as server, httpx.AsyncClient(transport=own()) as client:
        response = await client.post(server.url, content=parts())
        assert response.text == "hi"
        request = httpx.Request("GET", server.url)
        del request.headers["host"]
        await client.send(request)
    assert server.requests[0].endswith(b"Content-Length: 6\r\n\r\nonetwo")
    assert b"Transfer-Encoding" not in server.requests[0]
    assert b"Host: 127.0.0.1:%d" % server.port in server.requests[1]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", [(b"X-A", b"b\r\nX-Evil: 1")]),
        ("GET", [(b"X-A", b"b\nX-Evil: 1")]),
        ("GET", [(b"X-A", b"b\rX")]),
        ("GET", [(b"X-A\r\nX-Evil", b"b")]),
        ("GET", [(b"X-A", b"b\0")]),
        ("GET", [(b"Content-Length", b"7")]),
        ("GET / HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET", []),
        ("GÉT", []),
    ],
)
async def test_a_request_that_would_become_another_is_refused(method: str, headers: list[tuple[bytes, bytes]]) -> None:
    async with serving(answering(OK)) as server:
        transport = own()
        request = httpx.Request(method, server.url, headers=headers, stream=httpx.ByteStream(b""))
        with pytest.raises(httpx.LocalProtocolError):
            await transport.handle_async_request(request)
        assert transport.open_connections == 0
        await transport.aclose()
    assert server.connections == 0


async def test_a_body_that_cannot_be_awaited_is_refused() -> None:
    request = httpx.Request("POST", "http://127.0.0.1", stream=httpx.SyncByteStream())
    with pytest.raises(httpx.LocalProtocolError, match="awaited"):
        await own().handle_async_request(request)
