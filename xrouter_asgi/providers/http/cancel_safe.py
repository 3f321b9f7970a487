"""Transports that must not be cancelled, made safe to cancel.

httpcore can lose a pool slot for good when a request is cancelled, even while its body is read
(encode/httpcore#1093). So each exchange runs in a task of its own that is never cancelled: the owner. A caller who
leaves sets a flag. The owner sees it at the next piece of the body, or when a time-out of the wrapped transport ends a
silence, and closes the exchange in order. The price: the slot stays taken until then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import httpx

AHEAD = 4
"""Pieces of a body that an owner reads ahead of its caller; httpcore's are at most 64 KiB."""


class OwnedTransport(httpx.AsyncBaseTransport):
    """Runs the exchanges of another transport in tasks of their own.

    Adds the time-out `first` to those of httpx: seconds until the head of the answer is here, counted from the call,
    since the wrapped transport does not tell when the request is written.

    Args:
        inner: Any transport of httpx. Closed by `aclose()`.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        # Strong references: the loop itself keeps weak ones.
        self._owners: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def running(self) -> int:
        """Exchanges that are not over, including those whose caller has left."""
        return len(self._owners)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As the wrapped transport does.

        Raises:
            httpx.ReadTimeout: No head within `first` seconds.
            RuntimeError: The transport is closed.
        """
        if self._closed:
            raise RuntimeError("This transport is closed. Make a new one.")
        exchange = _SharedExchange(self._inner, request)
        owner = asyncio.create_task(exchange.run())
        self._owners.add(owner)
        owner.add_done_callback(self._owners.discard)
        try:
            response = await exchange.head()
        except BaseException:
            exchange.leave()
            raise
        version = response.extensions.get("http_version", b"HTTP/1.1")
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=_OwnedBody(exchange),
            extensions={"http_version": version},
        )

    async def aclose(self) -> None:
        """Close the wrapped transport and wait until every owner is gone. Their callers get httpx.ReadError."""
        self._closed = True
        await self._inner.aclose()
        # No slot is left that a cancellation could lose.
        for owner in self._owners:
            owner.cancel()
        await asyncio.gather(*self._owners, return_exceptions=True)

    def __repr__(self) -> str:
        return f"OwnedTransport({type(self._inner).__name__}, running={self.running})"


class _SharedExchange:
    """What owner and caller share. The owner calls `run`, the caller everything else."""

    def __init__(self, inner: httpx.AsyncBaseTransport, request: httpx.Request) -> None:
        self._inner = inner
        self._timeout = dict(request.extensions.get("timeout", {}))
        self._idle = self._timeout.get("read")
        self._first = self._timeout.pop("first", self._idle)
        # httpx has one clock for all reads, and a head may take longer than a body may pause.
        self._timeout["read"] = self._first
        request.extensions = {**request.extensions, "timeout": self._timeout}
        self._request = request
        self._response: httpx.Response | None = None
        self._chunks: deque[bytes] = deque()
        self._failure: Exception | None = None
        self._over = False
        self._left = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self) -> None:
        try:
            response = await self._inner.handle_async_request(self._request)
            stream = response.stream
            if not isinstance(stream, httpx.AsyncByteStream):
                raise TypeError("The wrapped transport answered with a body that cannot be awaited.")
            try:
                self._timeout["read"] = self._idle
                self._response = response
                self._news.set()
                await self._pass_on(stream)
            finally:
                await stream.aclose()
        except asyncio.CancelledError:
            self._failure = httpx.ReadError("The transport was closed.")
            raise
        except Exception as exc:
            self._failure = exc
        finally:
            self._over = True
            self._news.set()

    async def _pass_on(self, stream: httpx.AsyncByteStream) -> None:
        if self._left:
            return
        async for chunk in stream:
            if not chunk:
                continue  # To the reader an empty piece is the end.
            self._chunks.append(chunk)
            self._news.set()
            while len(self._chunks) >= AHEAD and not self._left:
                self._room.clear()
                await self._room.wait()
            if self._left:
                return

    async def head(self) -> httpx.Response:
        try:
            async with asyncio.timeout(self._first):
                while self._response is None and not self._over:
                    await self._something()
        except TimeoutError as exc:
            raise httpx.ReadTimeout("The head of the answer took too long.") from exc
        if self._response is None:
            raise self._failure or httpx.ReadError("The exchange ended without an answer.")
        return self._response

    async def read(self) -> bytes:
        """The next piece of the body, b"" after the last."""
        while not self._chunks and not self._over:
            await self._something()
        if self._chunks:
            self._room.set()
            return self._chunks.popleft()
        if self._failure is not None:
            raise self._failure
        return b""

    def leave(self) -> None:
        """Tell the owner that the caller wants no more."""
        self._left = True
        self._room.set()

    async def _something(self) -> None:
        self._news.clear()
        await self._news.wait()


class _OwnedBody(httpx.AsyncByteStream):
    def __init__(self, exchange: _SharedExchange) -> None:
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await self._exchange.read()
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """Does not wait for the owner: a cancellation cannot come in between."""
        self._exchange.leave()
