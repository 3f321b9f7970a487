"""The connections to one origin.

A *slot* is the right to have a connection: there are `max_connections`. A connection holds a slot, idle or in an
exchange, and so does a caller who is connecting. While callers wait, no connection is idle and no slot is free, because
whoever gives one up hands it to the first waiter. All methods except `acquire` and `renew` are synchronous, so no
cancellation can come between their lines.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from functools import partial
from typing import NamedTuple

import httpx

from .connection import Connection


class Origin(NamedTuple):
    host: str
    port: int
    tls: ssl.SSLContext | None


class Pool:
    """Lends connections, the most recently used first, so that the surplus grows old and is closed.

    Args:
        origin: Where to connect to.
        max_connections: Slots.
        keepalive: Seconds that a connection may be idle.

    Attributes:
        slots: How many are taken: open connections, and those being made.
        idle: Idle connections, the most recently used last.
    """

    def __init__(self, origin: Origin, *, max_connections: int, keepalive: float) -> None:
        self._origin = origin
        self._keepalive = keepalive
        self._max = max_connections
        self.slots = 0
        self.idle: list[Connection] = []
        self._busy: set[Connection] = set()
        # A connection, or None for a slot alone. Ordered, and quick to leave from the middle.
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def idle_connection(self) -> Connection | None:
        """One that can be had at once, to be given back like any other; None if there is none."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.expired:
                self._busy.add(connection)
                return connection
            self.slots -= 1
            connection.close()
        return None

    async def acquire(self, *, wait: float | None, connect: float | None) -> Connection:
        """A connection, to be given back with `release`, `drop` or `renew`.

        Args:
            wait: Seconds to wait for a slot.
            connect: Seconds for a new connection.

        Raises:
            httpx.PoolTimeout, httpx.ConnectTimeout, httpx.ConnectError
        """
        if (connection := self.idle_connection()) is not None:
            return connection
        if self.slots < self._max:
            self.slots += 1
            return await self._connect(connect)
        return await self._enqueue(wait) or await self._connect(connect)

    def release(self, connection: Connection) -> None:
        """End the exchange on a connection, and keep it if it can serve another."""
        if connection.finish():
            self._keep(connection)
        else:
            self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection and give up its slot."""
        self._busy.discard(connection)
        connection.close()
        self._free()

    async def renew(self, connection: Connection, *, connect: float | None) -> Connection:
        """Put a new connection into the slot of one that died. If that fails the slot is free."""
        self._busy.discard(connection)
        connection.close()
        return await self._connect(connect)

    def close(self) -> None:
        """Close everything. Exchanges under way, waiters and new connections fail."""
        self._closed = True
        for connection in self.idle:
            connection.close()
        self.slots -= len(self.idle)
        self.idle.clear()
        # Their users give up the slots when they notice.
        for connection in self._busy:
            connection.close()
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(_closed())

    def _keep(self, connection: Connection) -> None:
        if connection.closed:
            self.drop(connection)
        elif self._waiters and (waiter := self._next_waiter()) is not None:
            waiter.set_result(connection)
        else:
            self._busy.discard(connection)
            self.idle.append(connection)
            connection.rest(self._keepalive)

    async def _enqueue(self, wait: float | None) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters[waiter] = None
        timer = None if wait is None else self._loop.call_later(wait, self._send_away, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # The slot may have come in the very tick in which the task was cancelled.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                connection = waiter.result()
                if connection is None:
                    self._free()
                else:
                    self._keep(connection)
            raise
        finally:
            self._waiters.pop(waiter, None)
            if timer is not None:
                timer.cancel()

    def _send_away(self, waiter: asyncio.Future[Connection | None]) -> None:
        if not waiter.done():
            waiter.set_exception(httpx.PoolTimeout("All connections stayed in use."))

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                return waiter
        return None

    def _free(self) -> None:
        waiter = self._next_waiter()
        if waiter is None:
            self.slots -= 1
        else:
            waiter.set_result(None)

    def _lost(self, connection: Connection) -> None:
        """Forget an idle connection that ended. A waiter who is being handed one notices by itself."""
        if connection in self.idle:
            self.idle.remove(connection)
            self._free()

    async def _connect(self, seconds: float | None) -> Connection:
        """A new connection for a slot that is ours already. Gives the slot up if it fails."""
        host, port, tls = self._origin
        connection = Connection(self._loop, lost=self._lost)
        connect = partial(self._loop.create_connection, lambda: connection, host, port)
        try:
            if self._closed:
                raise _closed()
            async with asyncio.timeout(seconds):
                if tls is None:
                    await connect()
                else:
                    # Other users of the context may want other protocols on it.
                    tls.set_alpn_protocols(["http/1.1"])
                    await connect(ssl=tls, server_hostname=host)
            if self._closed:
                raise _closed()
        except BaseException as exc:
            connection.close()
            self._free()
            if isinstance(exc, TimeoutError):
                raise httpx.ConnectTimeout("The connection took too long to make.") from exc
            if isinstance(exc, OSError):
                raise httpx.ConnectError(str(exc)) from exc
            raise
        self._busy.add(connection)
        return connection


def _closed() -> httpx.ConnectError:
    return httpx.ConnectError("The transport was closed.")
