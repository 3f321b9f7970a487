"""The answers that uvicorn does not give by itself, or gives at a higher price."""

from __future__ import annotations

import string
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ..asgi.responses import NOSNIFF, Headers, id_headers
from ..context import RequestContext
from ..errors import XRouterError
from ..wire.codec import encode

_NAME = (string.ascii_lowercase + string.digits + "-").encode()
_CONTROLS = bytes({*range(32), 127} - {ord("\t")})


class Cycle(RequestResponseCycle):
    """The cycle of a request. It writes most heads and pieces in one step, and leaves the rest to uvicorn."""

    async def send(self, message: Any) -> None:
        """Take a message of ASGI."""
        if self.response_started:
            if (
                (piece := message.get("body"))
                and message.get("more_body")
                and self.chunked_encoding
                and message["type"] == "http.response.body"
                and self.scope["method"] != "HEAD"
                and not (self.response_complete or self.disconnected or self.flow.write_paused)
            ):
                self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                await RequestResponseCycle.send(self, message)
        elif (head := self._head(message)) is None:
            await RequestResponseCycle.send(self, message)
        else:
            self.response_started = True
            self.waiting_for_100_continue = False
            self.transport.write(head)

    def _head(self, message: Any) -> bytes | None:
        """The head of an answer, which sets what follows it; None if uvicorn has to write it, to refuse it, or to wait.

        Checks all fields together, and knows no name but those in small letters.
        """
        if (
            message["type"] != "http.response.start"
            or self.disconnected
            or self.flow.write_paused
            or not self.keep_alive
        ):
            return None
        try:
            begin = STATUS_LINE[message["status"]]
            headers = self.default_headers + message["headers"]
            fields = dict(headers)
            lines = b"\r\n".join(map(b": ".join, headers))
            length = int(fields[b"content-length"]) if b"content-length" in fields else None
        except (LookupError, TypeError, ValueError):
            return None
        controls = len(lines) - len(lines.translate(None, _CONTROLS))
        if (
            (controls, len(fields)) != (2 * len(headers) - 2, len(headers))
            or b"".join(fields).translate(None, _NAME)
            or b"connection" in fields
            or b"transfer-encoding" in fields
        ):
            return None
        if length is None:
            if self.scope["method"] == "HEAD" or message["status"] in (204, 304):
                return None
            lines += b"\r\ntransfer-encoding: chunked"
        self.chunked_encoding = length is None
        self.expected_content_length = length or 0
        return begin + lines + b"\r\n\r\n"


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
