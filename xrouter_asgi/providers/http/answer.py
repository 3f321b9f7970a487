"""An upstream's answer: whole, or as a stream whose head is here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import NamedTuple, TypeVar

import httpx

from ...errors import UpstreamError
from .failures import TotalTimeout, upstream_error
from .request import Fields

T = TypeVar("T")


class UpstreamAnswer(NamedTuple):
    """A whole answer. `body` is as it came, not decoded."""

    status: int
    fields: Fields
    body: bytes

    @property
    def headers(self) -> httpx.Headers:
        """The fields of its head, made anew each time: most answers are never asked for them."""
        return httpx.Headers(self.fields)


class AnswerStream:
    """An answer whose head is here. Iterate over it for the pieces of its body, none of them empty.

    Close it on every way out. A read that is cancelled or fails closes it too.

    Args:
        deadline: When its end must be here, in the loop's time.
        idle: Seconds after which the transport itself gives up on a read.
        where: Method and address, for the operator's eyes only.
        hurried: See `upstream_error`.

    Raises:
        UpstreamError: From reading, for anything that goes wrong upstream: see `failures`.
        RuntimeError: From reading after `aclose()`.
    """

    def __init__(
        self,
        status: int,
        fields: Fields,
        body: httpx.AsyncByteStream,
        deadline: float,
        idle: float,
        where: str,
        hurried: bool,
    ) -> None:
        self.status = status
        self.fields = fields
        self._body = body
        self._chunks: AsyncIterator[bytes] = aiter(body)
        self._deadline = deadline
        # Until then the transport gives up on a read before the deadline comes, so that most reads arm no timer.
        self._relaxed_until = deadline - idle
        self._time = asyncio.get_running_loop().time
        self._where = where
        self._hurried = hurried
        self._closed = False
        self._ended = False

    @property
    def headers(self) -> httpx.Headers:
        return httpx.Headers(self.fields)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        if self._closed:
            raise RuntimeError("This answer is closed. Read it before aclose().")
        try:
            while True:
                step = self._chunks.__anext__()
                if chunk := await (step if self._time() < self._relaxed_until else timed(self._deadline, step)):
                    return chunk
        except StopAsyncIteration:
            self._ended = True
            await self.aclose()
            raise
        except (httpx.RequestError, OSError) as exc:
            await self.aclose()
            raise upstream_error(exc, started=True, where=self._where, hurried=self._hurried) from exc
        except BaseException:
            await self.aclose()
            raise

    async def read(self, limit: int = 1 << 20) -> bytes:
        """Read the rest of the body, and close the answer.

        Raises:
            UpstreamError: `too_large` when the rest is longer than `limit` bytes, or the whole is declared to be.
        """
        chunks: list[bytes] = []
        size = 0
        try:
            declared = self.headers.get("content-length", "")
            # No length has more digits, and CPython converts 4300 at most.
            if declared.isdecimal() and int(declared[:19]) > limit:
                raise self._too_large(limit)
            async for chunk in self:
                size += len(chunk)
                if size > limit:
                    raise self._too_large(limit)
                chunks.append(chunk)
        finally:
            await self.aclose()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def aclose(self) -> None:
        """Give the connection back if the body was finished, close it otherwise. May be called twice."""
        if not self._closed:
            self._closed = True
            await self._body.aclose()

    def _too_large(self, limit: int) -> UpstreamError:
        message = "The upstream's answer is too large."
        detail = f"{self._where}: more than {limit} bytes"
        return UpstreamError(message, code="too_large", trips=False, falls_back=False, detail=detail)

    def __repr__(self) -> str:
        return f"AnswerStream(status={self.status}, closed={self._closed})"


async def timed(deadline: float, step: Awaitable[T]) -> T:
    """What `step` gives. Raises TotalTimeout when `deadline` comes first, in the loop's time."""
    try:
        async with asyncio.timeout_at(deadline) as clock:
            return await step
    except TimeoutError as exc:
        if clock.expired():
            raise TotalTimeout("The exchange took too long.") from exc
        raise
