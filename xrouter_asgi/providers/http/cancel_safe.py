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
        timeout = dict(request.extensions.get("timeout", {}))
        idle = timeout.get("read")
        # httpx has one clock for all reads, and a head may take longer than a body may pause.
        timeout["read"] = first = timeout.pop("first", idle)
        request.extensions = {**request.extensions, "timeout": timeout}
        body = _OwnedBody()
        head: asyncio.Future[httpx.Response] = asyncio.get_running_loop().create_future()
        owner = asyncio.create_task(self._own(request, head, body, idle))
        self._owners.add(owner)
        owner.add_done_callback(self._owners.discard)
        try:
            async with asyncio.timeout(first):
                return await head
        except BaseException as exc:
            await body.aclose()
            if isinstance(exc, TimeoutError):
                raise httpx.ReadTimeout("The head of the answer took too long.") from exc
            raise

    async def _own(
        self, request: httpx.Request, head: asyncio.Future[httpx.Response], body: _OwnedBody, idle: float | None
    ) -> None:
        failure: Exception | None = httpx.ReadError("The transport was closed.")
        try:
            response = await self._inner.handle_async_request(request)
            stream = response.stream
            if not isinstance(stream, httpx.AsyncByteStream):
                raise TypeError("The wrapped transport answered with a body that cannot be awaited.")
            try:
                request.extensions["timeout"]["read"] = idle
                if not head.done():
                    version = response.extensions.get("http_version", b"HTTP/1.1")
                    head.set_result(
                        httpx.Response(
                            response.status_code,
                            headers=response.headers,
                            stream=body,
                            extensions={"http_version": version},
                        )
                    )
                await body.fill(stream)
            finally:
                await stream.aclose()
            failure = None
        except Exception as exc:
            failure = exc
        finally:
            body.end(failure)
            if failure is not None and not head.done():
                head.set_exception(failure)

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


class _OwnedBody(httpx.AsyncByteStream):
    """The body of an answer. The owner calls `fill` and `end`, the caller everything else."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._failure: Exception | None = None
        self._over = False
        self._left = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def fill(self, stream: httpx.AsyncByteStream) -> None:
        if self._left:
            return
        async for chunk in stream:
            self._chunks.append(chunk)
            self._news.set()
            while len(self._chunks) >= AHEAD and not self._left:
                self._room.clear()
                await self._room.wait()
            if self._left:
                return

    def end(self, failure: Exception | None) -> None:
        self._failure = failure
        self._over = True
        self._news.set()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks and not self._over:
            self._news.clear()
            await self._news.wait()
        if self._chunks:
            self._room.set()
            return self._chunks.popleft()
        raise self._failure or StopAsyncIteration

    async def aclose(self) -> None:
        """Tell the owner that the caller wants no more. Waits for nothing: a cancellation cannot come in between."""
        self._left = True
        self._room.set()
