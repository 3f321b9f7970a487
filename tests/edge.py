"""`Server` on a real socket in the running loop, and a client that says exactly what it is told to."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeAlias

import pytest
import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xrouter_asgi.context import RequestContext
from xrouter_asgi.server.bounds import ClientBounds
from xrouter_asgi.server.server import Server

FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
Test: TypeAlias = Callable[..., Coroutine[Any, Any, None]]


def on_both_loops(test: Test) -> Callable[..., None]:
    """Run a test, server and client, on asyncio's loop and on uvloop's."""

    @wraps(test)
    def run(loop: str, **arguments: Any) -> None:
        with asyncio.Runner(loop_factory=FACTORIES[loop]) as runner:
            runner.run(test(**arguments))

    own = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    wanted = inspect.signature(test).parameters.values()
    vars(run)["__signature__"] = inspect.Signature([*wanted, own])  # where pytest looks for what a test asks for
    marked: Callable[..., None] = pytest.mark.parametrize("loop", FACTORIES)(run)
    return marked


class _ServerHere(Server):
    """Leaves the signals of the test run alone, and ends when it is told to, not up to 100 ms later."""

    def __init__(self, app: ASGIApp, bounds: ClientBounds, **options: Any) -> None:
        self.address = ""
        self.listening = asyncio.Event()
        self.stop = asyncio.Event()
        super().__init__(app, drain=_nothing, stop=_nothing, grace=0, listening=self._listens, bounds=bounds, **options)

    def _listens(self, address: str) -> None:
        self.address = address
        self.listening.set()

    def capture_signals(self) -> Any:
        return nullcontext()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.stop.wait()


def _nothing() -> None: ...


@asynccontextmanager
async def served(app: ASGIApp, bounds: ClientBounds | None = None, **options: Any) -> AsyncIterator[int]:
    """Serve in the running loop for as long, with more options of `Server`; gives the port."""
    server = _ServerHere(app, bounds or ClientBounds(), **options)
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.freeze()  # or each start would look through all that the other tests have imported
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(10):
            await server.listening.wait()
        yield int(server.address.rpartition(":")[2])
    finally:
        server.stop.set()
        await serving
        listener.close()
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)


@dataclass
class App:
    """Reads the whole body and answers; notes what it was asked and what it heard.

    Attributes:
        answer: Sent as soon as the body is there.
        wait: Seconds before that.
    """

    answer: bytes = b"{}"
    wait: float = 0.0
    scopes: list[Scope] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await idle(receive, send)
            return
        scope = dict(scope)  # as middlewares do
        RequestContext.of(scope)
        self.scopes.append(scope)
        body = b""
        message: Message = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body += message["body"]
        self.bodies.append(body)
        await asyncio.sleep(self.wait)
        length = (b"content-length", b"%d" % len(self.answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": self.answer})


async def idle(receive: Receive, send: Send) -> None:
    """A lifespan in which nothing happens."""
    for moment in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{moment}.complete"})


@dataclass
class Answer:
    """One answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """What the envelope holds, of an answer that is the last one."""
        assert self.headers["connection"] == "close"
        assert self.headers["content-type"] == "application/json"
        assert self.headers["x-request-id"]
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found


class Client:
    """A connection on which nothing is done but what is asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *data: bytes) -> None:
        for each in data:
            if not self.writer.is_closing():  # the server may have cut; where asyncio forgives a write, uvloop raises
                self.writer.write(each)

    async def answer(self) -> Answer:
        """The next answer, whose length is told."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:-2])
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(head[0].split()[1]), headers, body)

    async def last_answer(self) -> Answer:
        """The next answer, after which nothing more is said and the connection is closed."""
        answer = await self.answer()
        assert await self.rest() == b""
        return answer

    async def rest(self) -> bytes:
        """All that comes until the server closes, or cuts."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""


@asynccontextmanager
async def connected(port: int, *, buffer: int | None = None, host: str | None = None) -> AsyncIterator[Client]:
    """A client; what happens in it must not take longer than ten seconds.

    Args:
        buffer: Bytes that the machine keeps for a client that does not read.
        host: The client's address.
    """
    sock = socket.socket()
    if host is not None:
        sock.bind((host, 0))
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=buffer or 1 << 16)
    try:
        async with asyncio.timeout(10):
            yield Client(reader, writer)
    finally:
        writer.transport.abort()


def post(
    *fields: str, body: bytes = b"", host: str | None = "host: x", target: str = "/", version: str = "1.1"
) -> bytes:
    """A request; its length is not told."""
    lines = [f"POST {target} HTTP/{version}", *([host] if host else []), *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
