"""uvicorn, with a shutdown that loses no request."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Literal, cast

import uvicorn
from starlette.types import ASGIApp

from ..admission import Refusals, most_connections
from ..context import RequestContext
from ..errors import NotReady
from ..reloading import Reload
from .acceptor import Acceptor, TLSOptions
from .answers import refusal
from .bounds import ClientBounds
from .certificate import Certificate
from .connections import Connections, Place, ProbesOnly
from .listener import address_of, listener_at
from .protocol import Protocol

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

_BOUNDS = ClientBounds()

_AGAIN = 5.0  # seconds after which a client may ask again for which there was no connection
_SWITCH = 0.0005  # seconds
_LOOKS = 10  # ticks of 0.1 s between two looks at the file of the settings

logger = logging.getLogger("xrouter.server")


class Server(uvicorn.Server):
    """Serves an app until SIGTERM or SIGINT, then lets running requests finish.

    The first signal calls `drain`. The server keeps serving while requests run, but at most `grace` seconds, so a
    readiness probe learns of the shutdown at once. Then it calls `stop`, and a second later it cancels the rest. A
    second signal ends the server at once. In either case the process can end with exit code 0.

    Args:
        app: The application to serve.
        drain: Called when the shutdown begins.
        stop: Called when the app must end all that still runs.
        grace: Seconds from the first signal until `stop`.
        trusted_proxies: Networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
        reload: Run at SIGHUP, and within a second when it is due. None leaves SIGHUP alone.
        listening: Called with the real address, such as `http://127.0.0.1:8000`, when the server accepts connections.
        bounds: The bounds on each client.
        connections: How many clients are served at once; by default as many as there are descriptors for.
        connections_per_address: How many of them from one address that is no trusted proxy; None for any number.
        probes: Paths that are answered when there is no room for another connection.
        refusals: Counts the connections without room.
        certificate: Shown to clients, which then speak HTTPS; renewed at SIGHUP, and when it is due. None for HTTP.
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
        connections: int | None = None,
        connections_per_address: int | None = None,
        probes: Sequence[str] = (),
        refusals: Refusals | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        super().__init__(config_of(app, lifespan="on", trusted_proxies=trusted_proxies, bounds=bounds))
        self._bounds = bounds
        self._connections = Connections(
            min(connections or most_connections(), most_connections()),
            most_of_address=connections_per_address,
            trusted_proxies=trusted_proxies,
        )
        self._probes = probes
        self._refusals = refusals or Refusals()
        self._drain = drain
        self._stop = stop
        self._grace = grace
        self._listening = listening
        self._reload = reload
        self._certificate = certificate
        self._hung_up = False
        self._deadline: float | None = None
        self._told = False
        self._beside: list[tuple[uvicorn.Server, socket.socket]] = []

    def serve_at(self, listener: socket.socket) -> None:
        """Serve at this socket, which is bound, until a signal comes."""
        self.run(sockets=[listener])

    def beside(self, app: ASGIApp, host: str, port: int) -> str:
        """Serve another app, without a lifespan, at a second address as long as the first. Returns the real address.

        Raises:
            OSError: The address is in use, or does not belong to this machine.
        """
        listener = listener_at(host, port)
        self._beside.append((uvicorn.Server(config_of(app, lifespan="off")), listener))
        return address_of(listener)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._start(sockets or [])
        for server, listener in self._beside:
            await start_beside(server, listener)
        # Threads export spans and metrics. By default the loop would wait 5 ms for each of them to let go of Python.
        sys.setswitchinterval(_SWITCH)
        # Requests leave no reference cycles, and searching all that was imported for them takes a twelfth of the time.
        # Only the server does this: a host that mounts the parts decides for itself. Nothing is frozen, because
        # `off_loop` could then not spare the next collection what it has made.
        gc.collect()
        gc.set_threshold(50_000, 20, 20)
        if self._reload is not None and sys.platform != "win32":
            signal.signal(signal.SIGHUP, self._hang_up)
        scheme = "http" if self._certificate is None else "https"
        self._listening(address_of(self.servers[0].sockets[0], scheme=scheme))

    async def _start(self, sockets: list[socket.socket]) -> None:
        if sys.platform == "win32":
            await super().startup(sockets)
            return
        await super().startup([])
        self.servers = [
            cast(
                "asyncio.Server",
                Acceptor(
                    each,
                    connections=self._connections,
                    protocol=self._protocol,
                    refusal=self._turn_away,
                    probes=self._probes,
                    tls=None if self._certificate is None else partial(self._tls, self._certificate),
                ),
            )
            for each in sockets
        ]

    def _protocol(self, place: Place, lost: Callable[[], None]) -> Protocol:
        make = partial(Protocol, self.config, self.server_state, self.lifespan.state, lost=lost)
        if place is Place.SERVED:
            return make(bounds=self._bounds)
        protocol = make(bounds=self._bounds.hurried(), unasked=self._no_room)
        protocol.app = cast("ASGI3Application", ProbesOnly(protocol.app, probes=self._probes, no_room=self._no_room))
        return protocol

    def _tls(self, certificate: Certificate, place: Place) -> TLSOptions:
        bounds = self._bounds if place is Place.SERVED else self._bounds.hurried()
        return {
            "ssl": certificate.context,
            "ssl_handshake_timeout": bounds.first,
            "ssl_shutdown_timeout": bounds.linger,
        }

    def _no_room(self) -> NotReady:
        return self._refusals.refuse("connections", retry_after=_AGAIN)

    def _turn_away(self) -> bytes:
        return refusal(self._no_room(), RequestContext(), self.server_state.default_headers)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for server, listener in self._beside:
            await server.shutdown(sockets=[listener])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Replaces uvicorn's, which stops listening at once and ends the process by the signal instead of code 0."""
        if self._deadline is not None:
            self.should_exit = self.force_exit = True
            logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)  # of requests that end with the loop
            return
        self._deadline = time.monotonic() + self._grace
        self._drain()

    def _hang_up(self, sig: int, frame: FrameType | None) -> None:
        self._hung_up = True

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second. Returns whether to stop."""
        if await super().on_tick(counter):
            return True
        if self._deadline is None:
            await self._renew(look=counter % _LOOKS == 0)
            return False
        self._tell_once()
        if time.monotonic() >= self._deadline:
            self._stop()
            return True
        return not self.server_state.tasks

    async def _renew(self, *, look: bool) -> None:
        """Read the settings and the certificate again if that is due.

        Awaited in `on_tick`, so that reloads never overlap, and none begins during the shutdown.
        """
        hung_up, self._hung_up = self._hung_up, False
        if self._certificate is not None and (hung_up or (look and self._certificate.due())):
            self._certificate.renew()
        if self._reload is not None and (hung_up or (look and self._reload.due())):
            await self._reload.run()

    def _tell_once(self) -> None:
        """Say what is waited for. A handler of a signal must not: it may have interrupted a line of the log."""
        if not self._told and (running := len(self.server_state.tasks)):
            logger.info(
                "Requests that still run get up to %g s to finish: %d. Another Ctrl+C or SIGTERM ends them at once.",
                self._grace,
                running,
            )
        self._told = True


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def config_of(
    app: ASGIApp,
    *,
    lifespan: Literal["on", "off"],
    trusted_proxies: Sequence[str] = (),
    bounds: ClientBounds = _BOUNDS,
) -> uvicorn.Config:
    """How uvicorn serves an app here."""
    return uvicorn.Config(
        app,
        lifespan=lifespan,
        # uvicorn annotates a class, and calls it as a factory.
        http=cast("type[Protocol]", partial(Protocol, bounds=bounds)),
        ws="none",  # Protocol ignores upgrades
        access_log=False,  # uvicorn's would log query strings
        log_config=None,
        proxy_headers=bool(trusted_proxies),  # a header lets anybody pose as another client
        forwarded_allow_ips=list(trusted_proxies),
        server_header=False,
        timeout_graceful_shutdown=1,  # on_tick has waited for `grace` before
    )


async def start_beside(server: uvicorn.Server, listener: socket.socket) -> None:
    """Start a server in the running loop, which somebody else's `run` keeps and ends."""
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listener])
