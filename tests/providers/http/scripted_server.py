"""An upstream that does exactly what a test tells it to: a TCP server on 127.0.0.1, one script per connection."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import httpx

from xrouter_asgi.providers.http import OwnedTransport
from xrouter_asgi.providers.http.transport import HTTPTransport

if TYPE_CHECKING:
    import ssl


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Read one request with its body. Ends the script if the client leaves instead."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        request = head + await self.reader.readexactly(length)
        self.server.requests.append(request)
        return request

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client has left."""
        while await self.reader.read(1 << 16):
            pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class ScriptedServer:
    """What has arrived, and what is open.

    Attributes:
        requests: Whole requests, in order of arrival.
        connections: Connections accepted so far.
        open: Connections that are open now.
        go_on: For a script to wait for the test.
    """

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.go_on = asyncio.Event()
        self.scheme = "http"
        self._scripts = scripts
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        host = "localhost" if self.scheme == "https" else "127.0.0.1"
        return f"{self.scheme}://{host}:{self.port}"

    async def until_open(self, count: int) -> None:
        """Wait until so many connections are open."""
        async with asyncio.timeout(5):
            while self.open != count:
                self._changed.clear()
                await self._changed.wait()

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self.tasks.add(cast("asyncio.Task[None]", task))
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        self.open += 1
        self._changed.set()
        try:
            # A client that leaves ends the script; so does the end of the test.
            with suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
                await script(Peer(self, reader, writer))
        finally:
            if writer.transport.is_closing() or self.scheme == "https":
                writer.transport.abort()
            writer.close()
            self.open -= 1
            self._changed.set()
            self.tasks.discard(cast("asyncio.Task[None]", task))


@asynccontextmanager
async def serving(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
    """A server whose n-th connection plays the n-th script, later ones the last."""
    server = ScriptedServer(scripts)
    listener = await asyncio.start_server(server.play, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    server.scheme = "http" if tls is None else "https"
    try:
        yield server
    finally:
        listener.close()
        for task in list(server.tasks):
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)
        # An aborted transport closes its socket in the next tick.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def answering(*answers: bytes) -> Script:
    """Answer each request with the next of these, later ones with the last, on one connection."""

    async def script(peer: Peer) -> None:
        for answer in answers:
            await peer.request()
            await peer.send(answer)
        while True:
            await peer.request()
            await peer.send(answers[-1])

    return script


def playing(data: bytes) -> Script:
    """Answer one request with these bytes and close."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)

    return script


async def silent(peer: Peer) -> None:
    """Take a request and never answer."""
    await peer.request()
    await peer.gone()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


def own(tls: ssl.SSLContext | None = None, *, max_connections: int = 10) -> HTTPTransport:
    return HTTPTransport(tls=tls, max_connections=max_connections)


def owned(tls: ssl.SSLContext | None = None, *, max_connections: int = 10) -> OwnedTransport:
    limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
    return OwnedTransport(httpx.AsyncHTTPTransport(verify=tls or True, trust_env=False, limits=limits))


Make = Callable[..., HTTPTransport | OwnedTransport]
BOTH: list[Make] = [own, owned]


def busy(transport: HTTPTransport | OwnedTransport) -> int:
    """Exchanges that still hold something."""
    if isinstance(transport, OwnedTransport):
        return transport.running
    return transport.open_connections - transport.idle_connections


async def until_quiet(transport: HTTPTransport | OwnedTransport) -> None:
    """Let the owners of exchanges whose caller has left finish. Ours has nothing to finish."""
    if isinstance(transport, HTTPTransport):
        return
    async with asyncio.timeout(5):
        while transport.running:  # noqa: ASYNC110 -- owners announce their end to nobody
            await asyncio.sleep(0)


Run = Callable[[Coroutine[Any, Any, object]], object]
LOOPS: list[Run] = [asyncio.run]
if sys.platform != "win32":
    import uvloop

    LOOPS.append(uvloop.run)
