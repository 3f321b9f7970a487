"""The answers that uvicorn does not give by itself: refusals of malformed requests, and bodies for HTTP/1.0."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ..asgi.responses import NOSNIFF, Headers, id_headers
from ..context import RequestContext
from ..errors import XRouterError
from ..wire.codec import encode


class CycleUntilClosed(RequestResponseCycle):
    """The cycle of a request of HTTP/1.0, whose client knows no chunks.

    uvicorn closes the connection after the answer, so a body without a length ends there (RFC 9112, 6.3).
    """

    async def send(self, message: Any) -> None:
        """Take a message of ASGI."""
        self.chunked_encoding = False  # None lets uvicorn choose chunks
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
        *id_headers(context),
        NOSNIFF,
    ]
    return STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % field for field in headers) + b"\r\n" + body
