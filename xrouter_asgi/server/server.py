"""uvicorn, with an end that load balancers and clients can live with."""

from __future__ import annotations

import gc
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Literal, cast

import uvicorn
from starlette.types import ASGIApp

from ..reloading import Reload
from .bounds import ClientBounds
from .protocol import Protocol

_BOUNDS = ClientBounds()

_LOOKS = 10  # ticks between two looks at the settings: a second


class Server(uvicorn.Server):
    """Serves an app until SIGTERM or SIGINT, then lets what runs finish.

    The first signal calls `drain` and keeps on serving as long as requests run, at most `grace` seconds; so a readiness
    probe hears the no at once. What still runs then is told to `stop`, and a second later cancelled. A second signal
    ends it at once. Either way the process may end with exit code 0.

    Args:
        app: What to serve.
        drain: Tells the app that its end is near.
        stop: Tells the app to end what it still does.
        grace: Seconds from the first signal until `stop`.
        trusted_proxies: Networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
        reload: What SIGHUP runs, and a second after it is due. None leaves SIGHUP alone.
        listening: Called with the real address, such as `http://127.0.0.1:8000`, once it takes connections.
        bounds: What clients are given.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        drain: Callable[[], None],
        stop: Callable[[], None],
        grace: float,
        listening: Callable[[str], None],
        trusted_proxies: Sequence[str] = (),
        reload: Reload | None = None,
        bounds: ClientBounds = _BOUNDS,
    ) -> None:
        super().__init__(_config(app, lifespan="on", trusted_proxies=trusted_proxies, bounds=bounds))
        self._drain = drain
        self._stop = stop
        self._grace = grace
        self._listening = listening
        self._reload = reload
        self._hung_up = False
        self._deadline: float | None = None
        self._beside: list[_Beside] = []

    def listen(self, host: str, port: int) -> None:
        """Serve at this address until a signal ends it.

        Raises:
            OSError: The address is taken, or not one of this machine.
        """
        with _listener(host, port) as listener:
            self.run(sockets=[listener])

    def beside(self, app: ASGIApp, host: str, port: int) -> str:
        """Serve another app, which has no lifespan, at an address of its own, for as long. Returns the real address.

        Raises:
            OSError: As `listen` does.
        """
        listener = _listener(host, port)
        self._beside.append(_Beside(app, listener))
        return _address(listener)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for beside in self._beside:
            await beside.begin()
        # What a request makes dies by its count of references; without this a twelfth of the time goes into looking for
        # cycles among what was imported. Only here: an app that mounts the parts decides for itself.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        if self._reload is not None and sys.platform != "win32":
            signal.signal(signal.SIGHUP, self._hang_up)
        self._listening(_address(self.servers[0].sockets[0]))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for beside in self._beside:
            await beside.end()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Not uvicorn's own, which stops listening at once and ends the process by the signal instead of code 0."""
        if self._deadline is not None:
            self.should_exit = self.force_exit = True
            return
        self._deadline = time.monotonic() + self._grace
        self._drain()

    async def _reload_if_asked(self, *, look: bool) -> None:
        # Awaited by the tick, so that there is one at a time and none once the end has begun.
        if self._reload is not None and (self._hung_up or (look and self._reload.due())):
            self._hung_up = False
            await self._reload.run()

    def _hang_up(self, sig: int, frame: FrameType | None) -> None:
        self._hung_up = True

    async def on_tick(self, counter: int) -> bool:
        """Asked ten times a second whether to stop."""
        if await super().on_tick(counter):
            return True
        if self._deadline is None:
            await self._reload_if_asked(look=counter % _LOOKS == 0)
            return False
        if time.monotonic() >= self._deadline:
            self._stop()
            return True
        return not self.server_state.tasks


class _Beside:
    """Another app in the same loop."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        self._server = uvicorn.Server(_config(app, lifespan="off"))
        self._listener = listener

    async def begin(self) -> None:
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[self._listener])

    async def end(self) -> None:
        await self._server.shutdown(sockets=[self._listener])


def _config(
    app: ASGIApp,
    *,
    lifespan: Literal["on", "off"],
    trusted_proxies: Sequence[str] = (),
    bounds: ClientBounds = _BOUNDS,
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan=lifespan,
        # Annotated as a class, called as anything that makes a protocol.
        http=cast("type[Protocol]", partial(Protocol, bounds=bounds)),
        ws="none",  # Protocol answers what asks for another protocol as if it did not
        access_log=False,  # it would log query strings
        log_config=None,
        proxy_headers=bool(trusted_proxies),  # else anybody could be somebody else by a header
        forwarded_allow_ips=list(trusted_proxies),
        server_header=False,
        timeout_graceful_shutdown=1,  # the wait lies before: see on_tick
    )


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, or asyncio does not know that it is TCP, and Nagle delays each answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # So that a restart need not wait for the last connections of the one before to be forgotten.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _notice_the_dead(listener)
    try:
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener


def _notice_the_dead(listener: socket.socket) -> None:
    """Let the kernel ask silent clients whether they are still there: a machine that is gone does not say so."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":  # where a connection inherits these from its listener
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
