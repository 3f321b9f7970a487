"""A connection to `Protocol` without a socket. In a `VirtualLoop` no bound costs time, and each ends at its moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from tests.edge import Client
from xrouter_asgi.server.bounds import ClientBounds
from xrouter_asgi.server.protocol import Protocol

HIGH, LOW = 64 << 10, 16 << 10  # bytes unread at which a transport of asyncio pauses and resumes its protocol


class Wire(asyncio.Transport):
    """The server's transport, and the network behind it.

    Attributes:
        reader: What the client has read.
        reading: Whether the client reads all that comes.
        reset: Whether the server has cut the connection instead of closing it.
        lost: Set when the connection is gone.
        unsent: What the client has to keep, because the server does not read.
    """

    def can_write_eof(self) -> bool:
        return True

    def __init__(self) -> None:
        super().__init__()
        self.reader = asyncio.StreamReader()
        self.reading = True
        self.reset = False
        self.lost = asyncio.Event()
        self._protocol: asyncio.Protocol
        self._unread = bytearray()  # by the client
        self.unsent = bytearray()
        self._server_reads = True
        self._writing_paused = False
        self._closing = False

    # The client's side.

    def connect(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    def deliver(self, data: bytes) -> None:
        if self._server_reads and not self._closing:
            self._protocol.data_received(data)
        else:
            self.unsent += data

    def read(self, size: int) -> None:
        """Let the client read so many bytes more."""
        self.reader.feed_data(bytes(self._unread[:size]))
        del self._unread[:size]
        if self._writing_paused and len(self._unread) < LOW:
            self._writing_paused = False
            self._protocol.resume_writing()
        if self._closing and not self._unread:
            self._lose()

    def fail(self) -> None:
        """Fail like a network, of which the event loop has not told the protocol yet."""
        self._closing = True

    # The server's side.

    def write(self, data: Any) -> None:
        self._unread += data
        if self.reading:
            self.read(len(data))
        elif len(self._unread) > HIGH and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return len(self._unread)

    def write_eof(self) -> None:
        self.reader.feed_eof()

    def close(self) -> None:
        self._closing = True
        if not self._unread:
            self._lose()

    def abort(self) -> None:
        self.reset = True
        self._lose()

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._server_reads = False

    def resume_reading(self) -> None:
        self._server_reads = True
        if self.unsent:
            data = bytes(self.unsent)
            self.unsent.clear()
            asyncio.get_running_loop().call_soon(self.deliver, data)

    def _lose(self) -> None:
        self._closing = True
        if not self.lost.is_set():
            self.lost.set()
            self.reader.feed_eof()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


class Peer(Client):
    """The client at the end of a wire."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire.reader, cast(Any, None))
        self.wire = wire
        self._connected = asyncio.get_running_loop().time()

    @property
    def elapsed(self) -> float:
        """Seconds since it connected."""
        return asyncio.get_running_loop().time() - self._connected

    def send(self, *data: bytes) -> None:
        for each in data:
            self.wire.deliver(each)

    async def trickle(self, data: bytes, *, every: float) -> None:
        """Send a byte every so many seconds."""
        for byte in data:
            await asyncio.sleep(every)
            self.send(bytes([byte]))


@asynccontextmanager
async def wired(app: ASGIApp, bounds: ClientBounds | None = None) -> AsyncIterator[Peer]:
    """A client of the application, at a protocol with these bounds; None for those of `xrouter serve`."""
    await asyncio.sleep(1000)  # a moment like any other, and not 0
    config = uvicorn.Config(cast(Any, app), lifespan="off", log_config=None, access_log=False, proxy_headers=False)
    config.load()
    protocol = Protocol(config, ServerState(), {}, asyncio.get_running_loop(), bounds=bounds or ClientBounds())
    wire = Wire()
    wire.connect(protocol)
    yield Peer(wire)
    wire.abort()
    while protocol.tasks:
        await asyncio.wait(protocol.tasks)
