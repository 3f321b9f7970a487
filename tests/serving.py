"""An ASGI application on a real socket of 127.0.0.1: under uvicorn or hypercorn, in this loop or in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager, nullcontext
from typing import Any, Literal, TypeAlias, cast

import hypercorn
import hypercorn.asyncio
import uvicorn
from starlette.types import ASGIApp

Parser: TypeAlias = Literal["h11", "httptools"]
Loop: TypeAlias = Literal["asyncio", "uvloop"]
Lifespan: TypeAlias = Literal["auto", "on", "off"]
Serve: TypeAlias = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


class _Server(uvicorn.Server):
    """Leaves the signals of the test run alone and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self.on_listening: Callable[[], object] = self.listening.set

    def capture_signals(self) -> Any:
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_listening()


def _server(app: ASGIApp, **options: Any) -> _Server:
    return _Server(uvicorn.Config(cast(Any, app), log_config=None, access_log=False, ws="none", **options))


def _listener() -> tuple[socket.socket, str]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def uvicorn_here(
    app: ASGIApp, *, http: Parser = "httptools", lifespan: Lifespan = "auto", root_path: str = ""
) -> AsyncIterator[str]:
    """Serve in the running loop; gives the base URL."""
    server = _server(app, http=http, lifespan=lifespan, root_path=root_path, timeout_graceful_shutdown=5)
    listening = asyncio.Event()
    server.on_listening = listening.set
    listener, url = _listener()
    with closing(listener):
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        waiting = asyncio.create_task(listening.wait())
        try:
            # A server that refuses to start ends without ever listening.
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not listening.is_set():
                raise RuntimeError("uvicorn did not start")
            yield url
        finally:
            waiting.cancel()
            server.should_exit = True
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
        await serving


@contextmanager
def uvicorn_in_thread(app: ASGIApp, *, http: Parser = "httptools", loop: Loop = "uvloop") -> Iterator[str]:
    """Serve in a thread with a loop of its own; gives the base URL."""
    server = _server(app, http=http, loop=loop)
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
