"""What `ClientTransport` knows of a client, on sockets of both loops."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from starlette.types import Receive, Scope, Send

from tests.edge import App, connected, idle, on_both_loops, post, served
from xrouter_asgi.server.bounds import ClientBounds
from xrouter_asgi.server.client_transport import ClientTransport
from xrouter_asgi.server.protocol import Protocol


class Writer(asyncio.Protocol):
    """A server that a test lets write."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.inner = cast("asyncio.Transport", transport)
        self.transport = ClientTransport(self.inner, closing=lambda: False)
        self.connected.set()


@asynccontextmanager
async def unread() -> AsyncIterator[tuple[Writer, socket.socket]]:
    """A server, and the socket of its client, for which the machine keeps 4 KiB."""
    writer = Writer()
    server = await asyncio.get_running_loop().create_server(lambda: writer, "127.0.0.1", 0)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(server.sockets[0].getsockname())
        client.setblocking(False)
        async with asyncio.timeout(10):
            await writer.connected.wait()
            yield writer, client
        writer.transport.abort()
        server.close()
        await server.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- of the kernel or the memory, which tell nobody
            await asyncio.sleep(0.001)


@on_both_loops
async def test_what_the_kernel_holds_for_a_client_is_not_taken_yet() -> None:
    async with unread() as (writer, _):
        writer.transport.write(b"a" * 100_000)
        await until(lambda: not writer.inner.get_write_buffer_size())
        assert writer.transport.pending() > 50_000
        assert writer.transport.taken() + writer.transport.pending() == 100_000


@on_both_loops
async def test_what_a_client_reads_is_taken() -> None:
    size = 1_000_000
    async with unread() as (writer, client):
        writer.transport.write(b"a" * size)
        before = writer.transport.taken()
        read = 0
        while read < size:
            read += len(await asyncio.get_running_loop().sock_recv(client, 4096))
        await until(lambda: not writer.transport.pending())  # the last acknowledgement is under way
        assert before < writer.transport.taken() == size


@on_both_loops
async def test_a_client_that_does_not_read_is_cut_off_by_the_clock_of_either_loop() -> None:
    left = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await idle(receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a" * (16 << 20), "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with served(app, ClientBounds(write=0.1)) as port, connected(port, buffer=4096) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await left.wait()


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Cycles stay where they are."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("requests", [0, 2])
@pytest.mark.usefixtures("uncollected")
@on_both_loops
async def test_nothing_of_a_connection_waits_for_the_collector_of_cycles(requests: int) -> None:
    async with served(App()) as port:
        async with connected(port) as client:
            for _ in range(requests):
                client.send(post("content-length: 2", body=b"{}"))
                assert (await client.answer()).status == 200
        await until(lambda: not any(type(each) is Protocol for each in gc.get_objects()))
