"""HTTP/1.1 to upstreams on httptools and asyncio: httpx's transport seam, without httpcore below it.

Why our own: it costs a fraction of httpcore's CPU, and a cancelled request closes its one connection and frees its
slot at once, where httpcore can lose the slot for good (encode/httpcore#1093).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Mapping

import httpx

from .connection import Connection
from .failures import StaleConnection
from .parser import AnswerParser
from .pool import Origin, Pool
from .request import Endpoint, Fields, Site, encoded, finished, site_of
from .tls import TLS

KEEPALIVE = 14.0
"""Seconds that an idle connection is kept: GigaChat's gateways close theirs after 15."""


class HTTPTransport(httpx.AsyncBaseTransport):
    """Sends requests over kept connections; no proxy, no HTTP/2, no cookies, no environment.

    Reads `request.extensions["timeout"]`: seconds for `connect`, `write`, `pool`, `read` (between two reads of the
    body), and beyond httpx's own keys `first` (for the head; without it `read` counts). None is no bound.

    Belongs to the event loop of its first request.

    Args:
        tls: For `https`; None trusts the public authorities.
        max_connections: Most connections to one origin.
        keepalive: Seconds that an idle connection is kept.
    """

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, max_connections: int = 1000, keepalive: float = KEEPALIVE
    ) -> None:
        self._tls = tls
        self._max_connections = max_connections
        self._keepalive = keepalive
        self._pools: dict[Site, Pool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def open_connections(self) -> int:
        """Connections that are open or being made, the idle ones included."""
        return sum(pool.slots for pool in self._pools.values())

    @property
    def idle_connections(self) -> int:
        """Connections that wait for the next request."""
        return sum(len(pool.idle) for pool in self._pools.values())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return when the head of its answer is here. Close the answer's stream.

        Raises:
            httpx.TransportError: As httpx's own transport does, and its subclasses of `failures`.
            RuntimeError: The transport belongs to another event loop.
        """
        if not isinstance(request.stream, httpx.AsyncByteStream):
            raise httpx.LocalProtocolError("The body of the request cannot be awaited.")
        payload = encoded(request.method, request.url, request.headers.raw, await request.aread())
        timeouts = request.extensions.get("timeout", {})
        status, fields, body = await self._send(request.method, site_of(request.url), payload, timeouts)
        return httpx.Response(status, headers=fields, stream=body)

    def exchange(
        self, endpoint: Endpoint, fields: Fields, content: bytes, timeouts: Mapping[str, float | None]
    ) -> Awaitable[tuple[int, Fields, PooledBody]]:
        """The same without httpx's objects, which cost as much as all the rest: status, fields and body."""
        payload = finished(endpoint.start, fields, content, sized=endpoint.takes_body or bool(content))
        return self._send(endpoint.method, endpoint.site, payload, timeouts)

    async def _send(
        self, method: str, site: Site, payload: bytes, timeouts: Mapping[str, float | None]
    ) -> tuple[int, Fields, PooledBody]:
        pool = self._pool(site)
        read = timeouts.get("read")
        write, first, connect = timeouts.get("write"), timeouts.get("first", read), timeouts.get("connect")
        connection = pool.idle_connection() or await pool.acquire(wait=timeouts.get("pool"), connect=connect)
        while True:
            try:
                answer = await connection.send(payload, method, write=write, first=first)
            except StaleConnection:
                # An upstream may close an idle connection in the moment we use it (RFC 9112, 9.3.1). Nothing of an
                # answer came, so the request goes out once more, on a connection that cannot be stale.
                connection = await pool.renew(connection, connect=connect)
            except BaseException:
                pool.drop(connection)
                raise
            else:
                return answer.status, answer.headers, PooledBody(pool, connection, answer, idle=read)

    async def aclose(self) -> None:
        """Close all connections. What runs or waits fails. A later request opens anew, on any event loop."""
        pools = list(self._pools.values())
        self._pools.clear()
        self._loop = None
        for pool in pools:
            pool.close()
        # The loop closes an aborted socket in its next tick, one under TLS in the one after.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def __repr__(self) -> str:
        return f"HTTPTransport(open_connections={self.open_connections}, idle_connections={self.idle_connections})"

    def _pool(self, site: Site) -> Pool:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                raise RuntimeError("This transport belongs to another event loop. Close it there first.")
            self._loop = loop
        pool = self._pools.get(site)
        if pool is None:
            pool = Pool(self._origin(site), max_connections=self._max_connections, keepalive=self._keepalive)
            self._pools[site] = pool
        return pool

    def _origin(self, site: Site) -> Origin:
        scheme, host, port = site
        if scheme == "http":
            return Origin(host, port or 80, None)
        if scheme == "https":
            if self._tls is None:
                self._tls = TLS().context()
            return Origin(host, port or 443, self._tls)
        raise httpx.UnsupportedProtocol(f"Scheme {scheme!r} is neither 'http' nor 'https'.")


class PooledBody(httpx.AsyncByteStream):
    """The body of an answer, in pieces as they were read. Gives its connection back with the last one.

    After anything else, a failed or cancelled read too, it is the reader who closes it.
    """

    def __init__(self, pool: Pool, connection: Connection, answer: AnswerParser, *, idle: float | None) -> None:
        self._pool = pool
        self._answer = answer
        self._idle = idle
        self._connection: Connection | None = connection
        if answer.complete:
            # A small answer comes whole, together with its head: the connection need not wait for the reader.
            self._give_back()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._connection is None:
            data = self._answer.take()
        else:
            data = await self._connection.read(self._idle)
            if self._answer.complete and not self._answer.chunks:
                self._give_back()
        if not data:
            raise StopAsyncIteration
        return data

    def take(self, limit: int) -> bytes | None:
        """The rest, if it is here already and its connection given back; None if not, or beyond `limit` bytes."""
        return None if self._connection is not None or self._answer.buffered > limit else self._answer.take()

    async def aclose(self) -> None:
        """Without a suspension, so that a cancellation cannot come in between."""
        self._answer.chunks.clear()
        self._give_back()

    def _give_back(self) -> None:
        if self._connection is not None:
            self._pool.release(self._connection)
            self._connection = None
