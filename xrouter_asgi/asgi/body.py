"""Reads the body of a request, and bounds it while it arrives."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive, Scope

from ..errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from .disconnect import ClientDisconnected

CREDIT = 30.0
"""Seconds that a client has to send its body, at the start and at any later moment."""
RATE = 10 << 10
"""Bytes of a body that earn the client a second, up to `CREDIT`. So the rate counts over the last seconds: what
a client has sent at once gains no hour for the rest."""


class RequestTimeout(InvalidRequest):
    """The request did not arrive in time."""

    status = 408
    code = "request_timeout"


class AmbiguousLength(InvalidRequest):
    """The request has Content-Length and Transfer-Encoding: smuggling, or a broken client (RFC 9112, 6.1)."""


async def read_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """Read the whole body, at most `limit` bytes.

    Raises:
        PayloadTooLarge: The body is larger, or the request says that it will be.
        UnsupportedMediaType: The body is compressed, or a form.
        RequestTimeout: The body comes more slowly than `CREDIT` and `RATE` allow.
        ClientDisconnected: The client left before the body was complete.
    """
    _check_head(scope, limit)
    parts: list[bytes] = []
    size = 0
    with _Clock() as clock:
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientDisconnected
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)
            clock.earn(len(part))


def check_framing(scope: Scope) -> None:
    """Raise AmbiguousLength for a request that ends in two places: h11 lets it in, and keeps the connection open."""
    if ends_twice(scope):
        raise AmbiguousLength("A request must not carry both Content-Length and Transfer-Encoding.")


def ends_twice(scope: Scope) -> bool:
    """Whether the head has both a Content-Length and a Transfer-Encoding."""
    names = [name for name, _ in scope.get("headers", ())]
    return b"transfer-encoding" in names and b"content-length" in names


class _Clock:
    """Ends the block inside, with RequestTimeout, when the client has used up its time.

    It works as `asyncio.timeout` does, which would cost 2 % of a plain chat more.
    """

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A body can be read inside a task of asyncio only.")
        self._task = task
        self._cancelling = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + CREDIT
        self._timer = self._loop.call_later(CREDIT, self._ring)
        self._rung = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        # A cancellation from outside may have come on top of ours; it counts more.
        if self._rung and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise RequestTimeout("The request took too long to arrive.") from None

    def earn(self, size: int) -> None:
        """Give the client more time for so many bytes."""
        self._until = min(self._until + size / RATE, self._loop.time() + CREDIT)

    def _ring(self) -> None:
        if (left := self._until - self._loop.time()) > 0:
            self._timer = self._loop.call_later(left, self._ring)
        else:
            self._rung = True
            self._task.cancel()


def _check_head(scope: Scope, limit: int) -> None:
    for name, value in scope["headers"]:
        match name:
            case b"content-length" if value.isdigit() and _exceeds(value, limit):
                raise _too_large(limit)
            case b"content-encoding" if value.strip().lower() != b"identity":
                raise UnsupportedMediaType("Compressed request bodies are not accepted. Send the JSON as it is.")
            case b"content-type" if value.lower().startswith(b"multipart/"):
                raise UnsupportedMediaType("A form is not accepted here. Send a JSON body.")


def _exceeds(digits: bytes, limit: int) -> bool:
    # CPython refuses to convert thousands of digits.
    return len(digits.lstrip(b"0")) > 20 or int(digits[-20:]) > limit


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The request body is larger than {limit} bytes.")
