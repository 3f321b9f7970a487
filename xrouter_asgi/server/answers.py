"""The answers that uvicorn does not give by itself: refusals of malformed requests, and bodies for HTTP/1.0."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ..asgi.responses import NOSNIFF, Headers, id_header
from ..context import RequestContext
from ..errors import XRouterError
from ..wire.codec import encode

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class CycleUntilClosed(RequestResponseCycle):
    """The cycle of a request of HTTP/1.0, whose client knows no chunks.

    The body of an answer without a length ends where the connection ends (RFC 9112, 6.3), as it always does after an
    answer to HTTP/1.0.
    """

    _until_closed = False

    async def send(self, message: Any) -> None:
        """Take a message of ASGI."""
        if message["type"] == "http.response.start":
            if _FRAMING.isdisjoint(name for name, _ in message.get("headers", ())):
                self._until_closed = True
                self.chunked_encoding = False  # None lets uvicorn choose chunks
        elif self._until_closed:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


def refusal(error: XRouterError, context: RequestContext, default_headers: Headers) -> bytes:
    """The last answer of a connection, in the envelope of its dialect. Records the error in the context."""
    context.fail(error)
    status, own, value = context.envelope(error, context.request_id)
    body = encode(value)
    headers = [
        *default_headers,
        *own,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        id_header(context.request_id),
        NOSNIFF,
    ]
    return STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % field for field in headers) + b"\r\n" + body
