"""Accepts connections one by one, as long as there is room for them.

The servers of event loops accept all that come, up to the last descriptor, and then close what they cannot serve
without a word. Here a connection without room waits in the kernel for its turn in the reserve.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import TypeAlias, TypedDict

from .connections import Connections, Place, is_probe

_BACKLOG = 2048  # as uvicorn's
_AT_ONCE = 64  # connections in one turn of the loop
_PAUSE = 0.1  # seconds after which accepting is tried again when the system has no descriptor left
_WAITING = 16  # connections
_PEEK = 64 << 10

MakeProtocol: TypeAlias = Callable[[Place, Callable[[], None]], asyncio.Protocol]
"""Makes the protocol of a connection that has a place, and that calls a function when the connection is lost."""


class TLSOptions(TypedDict, total=False):
    """How a connection begins and ends over TLS. Durations are in seconds."""

    ssl: ssl.SSLContext
    ssl_handshake_timeout: float
    ssl_shutdown_timeout: float


class Acceptor:
    """Takes the place of an event loop's server. Not for Windows, whose event loop does not watch sockets.

    Args:
        listener: The socket, which is bound. Several processes may share it.
        connections: Which connections have room.
        protocol: Makes the protocol of a connection.
        refusal: Makes the answer for a connection that gets no protocol.
        probes: The paths for which a connection always gets one, while the reserve lasts.
        tls: What a connection is met with over TLS, as options of the event loop; None for connections without.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        connections: Connections,
        protocol: MakeProtocol,
        refusal: Callable[[], bytes],
        probes: Collection[str] = (),
        tls: Callable[[Place], TLSOptions] | None = None,
    ) -> None:
        self.sockets = (listener,)
        self._listener = listener
        self._connections = connections
        self._protocol = protocol
        self._refusal = refusal
        self._probes = probes
        self._tls = tls
        self._waiting: deque[tuple[socket.socket, str]] = deque()  # for a place, which their address has too many of
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._accepting = self._closed = False
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        self._resume()

    def close(self) -> None:
        """Accept no more."""
        self._pause()
        self._closed = True
        while self._waiting:
            self._turn_away(*self._waiting.popleft())

    async def wait_closed(self) -> None:
        """Wait until nothing is left to do."""
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _resume(self) -> None:
        if not (self._accepting or self._closed):
            self._accepting = True
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._connections.any_room:
                self._pause()
                return
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError:  # no descriptor, or no memory
                self._pause()
                self._loop.call_later(_PAUSE, self._resume)
                return
            connection.setblocking(False)
            self._waiting.append((connection, address[0] if isinstance(address, tuple) else ""))
            self._seat()
            if len(self._waiting) > _WAITING:
                self._turn_away(*self._waiting.popleft())

    def _seat(self) -> None:
        """Give a place to each waiting connection for which there is one now."""
        for _ in range(len(self._waiting)):
            connection, host = self._waiting.popleft()
            place = self._connections.enter(host)
            if place is Place.REFUSED:
                self._waiting.append((connection, host))
            else:
                self._begin(connection, host, place)

    def _turn_away(self, connection: socket.socket, host: str) -> None:
        """Say no and close, unless it is a probe, whose question has come while it waited."""
        if self._tls is not None:  # nothing can be read or said without a handshake
            connection.close()
            return
        with suppress(OSError):
            if is_probe(connection.recv(_PEEK, socket.MSG_PEEK), self._probes):
                place = self._connections.enter(host, probe=True)
                if place is not Place.REFUSED:
                    self._begin(connection, host, place)
                    return
        with connection, suppress(OSError):
            with suppress(BlockingIOError):
                connection.recv(_PEEK)  # unread bytes would reset the connection, and with it the answer
            connection.send(self._refusal())
            connection.shutdown(socket.SHUT_WR)

    def _begin(self, connection: socket.socket, host: str, place: Place) -> None:
        task = self._loop.create_task(self._connect(connection, host, place))
        task.add_done_callback(self._beginning.discard)
        self._beginning.add(task)

    async def _connect(self, connection: socket.socket, host: str, place: Place) -> None:
        lost = partial(self._lost, host, place)
        options: TLSOptions = {} if self._tls is None else self._tls(place)
        try:
            await self._loop.connect_accepted_socket(partial(self._protocol, place, lost), connection, **options)
        except OSError:  # the client has left already, or speaks no TLS
            connection.close()
            lost()

    def _lost(self, host: str, place: Place) -> None:
        self._connections.leave(host, place)
        self._seat()
        self._resume()
