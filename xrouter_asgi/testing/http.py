"""A small HTTP/1.1 server that does what it is told, breaking HTTP included."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self

Handler = Callable[["FakeExchange"], Awaitable[None]]


@dataclass(eq=False)
class FakeExchange:
    """A request that came, and the means to answer it.

    Attributes:
        headers: Names in lower case.
        gone: Set when the client closes its side.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    writer: asyncio.StreamWriter = field(repr=False)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """A whole answer."""
        self._head(status, {"Content-Length": str(len(body)), **(headers or {})})
        self.writer.write(body)
        await self.writer.drain()

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of a chunked answer."""
        self._head(status, {"Transfer-Encoding": "chunked", **headers})
        await self.writer.drain()

    async def write(self, data: bytes) -> None:
        """One chunk."""
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    async def end(self) -> None:
        """The end of a chunked answer."""
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    def reset(self) -> None:
        """Close the connection, whatever was promised."""
        self.writer.transport.abort()

    async def until(self, event: asyncio.Event) -> None:
        """Wait for `event`, or until the client has gone: then the handler ends here."""
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self.gone.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self.gone.is_set():
            raise ConnectionResetError

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.writer.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in _KNOWN else 'X'}\r\n".encode())
        self.writer.write(f"{fields}\r\n".encode())


_KNOWN = {status.value for status in HTTPStatus}


class FakeServer:
    """Serves `handler` on a free port of 127.0.0.1. An async context manager.

    Attributes:
        url: `http://127.0.0.1:port`; with `tls` it is `https://localhost:port`.
        connections: How many were made so far.
    """

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.url = ""
        self._handler = handler
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", 0, ssl=self._tls, limit=1 << 20, backlog=1000
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"https://localhost:{port}" if self._tls else f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The client went, or __aexit__ came: asyncio's streams would report a cancelled handler.
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        early = b""
        while True:
            head = early + await reader.readuntil(b"\r\n\r\n")
            line, *lines = head.decode("latin-1").strip().split("\r\n")
            method, path, _ = line.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            exchange = FakeExchange(method, path, headers, body, writer)
            watch = asyncio.ensure_future(self._watch(reader, exchange))
            try:
                await self._handler(exchange)
            finally:
                watch.cancel()
            await asyncio.wait({watch})
            early = b"" if watch.cancelled() else watch.result()
            if exchange.gone.is_set() or headers.get("connection", "").lower() == "close":
                return

    async def _watch(self, reader: asyncio.StreamReader, exchange: FakeExchange) -> bytes:
        data = b""
        with contextlib.suppress(ConnectionError):
            data = await reader.read(1)
        if not data:
            exchange.gone.set()
        return data
