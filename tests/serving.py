"""An ASGI application on a real socket of 127.0.0.1: under uvicorn or hypercorn, in this loop or in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from typing import Any, Literal, TypeAlias, cast

import hypercorn
import hypercorn.asyncio
import uvicorn
from starlette.types import ASGIApp

Parser: TypeAlias = Literal["h11", "httptools"]
Loop: TypeAlias = Literal["asyncio", "uvloop"]
Lifespan: TypeAlias = Literal["auto", "on", "off"]
WebSockets: TypeAlias = Literal["none", "wsproto"]


class _Server(uvicorn.Server):
    """Leaves the signals of the test run alone and tells when it listens."""

    def __init__(self, app: ASGIApp, *, ws: WebSockets = "none", **options: Any) -> None:
        config = uvicorn.Config(cast(Any, app), log_config=None, access_log=False, ws=ws, **options)
        super().__init__(config)
        self.listening = threading.Event()

    def capture_signals(self) -> Any:
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


class _ServerHere(_Server):
    """Ends when an event says so, where uvicorn looks every 100 ms."""

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        super().__init__(app, **options)
        self.started_here = asyncio.Event()
        self.stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.started_here.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.stop.wait()


def _listener() -> tuple[socket.socket, str]:
    # Without the protocol's number asyncio does not set TCP_NODELAY, and each answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def uvicorn_here(
    app: ASGIApp,
    *,
    http: Parser = "httptools",
    lifespan: Lifespan = "auto",
    root_path: str = "",
    ws: WebSockets = "none",
) -> AsyncIterator[str]:
    """Serve in the running loop; gives the base URL."""
    server = _ServerHere(app, http=http, lifespan=lifespan, root_path=root_path, ws=ws, timeout_graceful_shutdown=5)
    listener, url = _listener()
    with closing(listener):
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        waiting = asyncio.create_task(server.started_here.wait())
        # A server that refuses to start ends without ever listening.
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not server.started_here.is_set():
            raise RuntimeError("uvicorn did not start")
        try:
            yield url
        finally:
            server.stop.set()
            await serving


@asynccontextmanager
async def hypercorn_here(app: ASGIApp) -> AsyncIterator[str]:
    """Serve under hypercorn in the running loop; gives the base URL."""
    listener, url = _listener()
    config = hypercorn.Config()
    # hypercorn closes what it was given by number: it gets a number of its own.
    config.bind = [f"fd://{listener.detach()}"]
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 5
    stop = asyncio.Event()
    serving = asyncio.create_task(
        hypercorn.asyncio.serve(cast(Any, app), config, shutdown_trigger=cast(Any, stop.wait))
    )
    try:
        yield url
    finally:
        stop.set()
        await asyncio.wait([serving])
        # From Python 3.12 on, hypercorn 0.18 ends in a CancelledError of its own when its dispatcher is served
        # (https://github.com/pgjones/hypercorn/issues/258): it cancels a lifespan that is a few steps from its end.
        if not serving.cancelled():
            serving.result()


@contextmanager
def uvicorn_in_thread(app: ASGIApp, *, http: Parser = "httptools", loop: Loop = "uvloop") -> Iterator[str]:
    """Serve in a thread with a loop of its own; gives the base URL."""
    server = _Server(app, http=http, loop=loop)
    listener, url = _listener()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="uvicorn", daemon=True)
    with closing(listener):
        thread.start()
        try:
            if not server.listening.wait(timeout=10):
                raise RuntimeError("uvicorn did not start")
            yield url
        finally:
            server.should_exit = True
            thread.join(timeout=10)
