"""Accepts connections one by one, as long as there is room for them.

The servers of event loops accept all that come, up to the last descriptor, and then close what they cannot serve
without a word. Here a connection without room waits in the kernel for its turn in the reserve.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from .connections import Connections, Place

_BACKLOG = 2048  # as uvicorn's
_AT_ONCE = 64  # connections in one turn of the loop
_PAUSE = 0.1  # seconds after which accepting is tried again when the system has no descriptor left
_PEEK = 64 << 10

MakeProtocol: TypeAlias = Callable[[Place, Callable[[], None]], asyncio.Protocol]
"""Makes the protocol of a connection that has a place, and that calls a function when the connection is lost."""


class Acceptor:
    """Takes the place of an event loop's server. Not for Windows, whose event loop does not watch sockets.

    Args:
        listener: The socket, which is bound. Several processes may share it.
        connections: Which connections have room.
        protocol: Makes the protocol of a connection.
        refusal: Makes the answer for a connection that is closed unread.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        connections: Connections,
        protocol: MakeProtocol,
        refusal: Callable[[], bytes],
    ) -> None:
        self.sockets = (listener,)
        self._listener = listener
        self._connections = connections
        self._protocol = protocol
        self._refusal = refusal
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
            self._begin(connection, address[0] if isinstance(address, tuple) else "")

    def _begin(self, connection: socket.socket, host: str) -> None:
        place = self._connections.enter(host)
        if place is Place.REFUSED:
            _refuse(connection, self._refusal())
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._connect(connection, host, place))
        task.add_done_callback(self._beginning.discard)
        self._beginning.add(task)

    async def _connect(self, connection: socket.socket, host: str, place: Place) -> None:
        lost = partial(self._lost, host, place)
        try:
            await self._loop.connect_accepted_socket(partial(self._protocol, place, lost), connection)
        except OSError:  # the client has left already
            connection.close()
            lost()

    def _lost(self, host: str, place: Place) -> None:
        self._connections.leave(host, place)
        self._resume()


def _refuse(connection: socket.socket, answer: bytes) -> None:
    """Say no and close. Read first what has come: unread bytes would reset the connection, and with it the answer."""
    with connection, suppress(OSError):
        connection.setblocking(False)
        with suppress(BlockingIOError):
            connection.recv(_PEEK)
        connection.send(answer)
        connection.shutdown(socket.SHUT_WR)
