"""The parser of one answer: bytes in, head and pieces of the body out. No I/O.

llhttp (through httptools, in strict mode) refuses bare line feeds, folded fields, a repeated `Content-Length`, and one
beside `Transfer-Encoding`. This class adds bounds, and what only the reader of a connection can know: where a body
without a length ends (RFC 9112, 6.3), and that bytes after the end of an answer spoil the connection.
"""

from __future__ import annotations

import httptools
import httpx

from .failures import TruncatedBody

MAX_HEAD = 64 << 10
"""Bytes of heads (interim ones included) and trailers, and of framing that brings no content."""

MAX_FIELDS = 200
"""Fields of one head."""


class _Surplus(Exception):
    """Something came after the end of the answer."""


_OVER = httptools.HttpResponseParser(object())  # replaces a parser that has done its work


class AnswerParser:
    """Collects the answer to one request.

    Attributes:
        started: Any byte came.
        head: The final head is here: `status` and `headers` are set.
        complete: The last byte of the body is here.
        chunks, buffered: Pieces of the body not taken yet, and their size in bytes.
        keep_alive: The upstream will answer more requests on this connection. Known with the head.
    """

    def __init__(self, method: str) -> None:
        # It holds our methods, so each keeps the other alive until `let_go`.
        self._parser = httptools.HttpResponseParser(self)
        self.started = False
        self.head = False
        self.complete = False
        self.keep_alive = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.chunks: list[bytes] = []
        self.buffered = 0
        self._head_only = method == "HEAD"
        self._length: int | None = None
        self._chunked = False
        self._framing = 0
        self._barren = 0

    def let_go(self) -> None:
        """Take nothing more."""
        self._parser = _OVER

    def feed(self, data: bytes) -> None:
        """Take what one read returned.

        Raises:
            httpx.RemoteProtocolError: It is not HTTP, or passes a bound.
        """
        self.started = True
        if self.complete or self._parser is _OVER:
            self.keep_alive = False
            return
        before, headless = self.buffered, not self.head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            raise httpx.RemoteProtocolError("The upstream switched protocols without being asked to.") from exc
        except httptools.HttpParserError as exc:
            if self.complete:
                self.keep_alive = False
                return
            if isinstance(exc.__context__, httpx.RemoteProtocolError):
                raise exc.__context__ from None
            raise httpx.RemoteProtocolError(f"Not HTTP/1.1: {exc}.") from exc
        if headless:
            self._count(len(data) - self.buffered)
        if self.buffered != before:
            self._barren = 0
        elif not self.complete:
            # A head, a trailer or a chunk extension that never ends.
            self._barren += len(data)
            if self._barren > MAX_HEAD:
                raise _too_much()

    def take(self) -> bytes:
        """The pieces of the body that are here, as one; b"" if there are none."""
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.buffered = 0
        return data

    def end(self, cause: Exception | None) -> httpx.TransportError | None:
        """The connection is gone: what that means for this answer, None if nothing is missing.

        Args:
            cause: What broke the connection; None if it was closed in order.
        """
        self.let_go()
        if self.complete:
            return None
        if not self.head:
            return httpx.ReadError(f"The connection ended before the answer: {cause or 'closed'}.")
        if self._chunked or self._length is not None:
            return TruncatedBody(f"The connection ended inside the body: {cause or 'closed'}.")
        if cause is not None:
            return httpx.ReadError(f"The connection broke inside a body of unknown length: {cause}.")
        self.complete = True
        return None

    # What httptools calls, in the order of an answer. An exception stops it and surfaces in feed().

    def on_message_begin(self) -> None:
        if self.complete:
            raise _Surplus

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head:
            self._count(len(name) + len(value) + 4)
            return  # A trailer: nobody here reads one.
        if len(self.headers) == MAX_FIELDS:
            raise httpx.RemoteProtocolError(f"The head has more than {MAX_FIELDS} fields.")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if (version := self._parser.get_http_version()) not in ("1.1", "1.0"):
            raise httpx.RemoteProtocolError(f"The answer is in HTTP/{version}.")
        if not 100 <= status <= 599:
            raise httpx.RemoteProtocolError(f"Status {status} does not exist.")
        if status < 200:
            self.headers.clear()
            return
        for name, value in self.headers:
            match name.lower():
                case b"content-length":
                    self._length = int(value)
                case b"transfer-encoding":
                    if value.strip().lower() != b"chunked":
                        raise httpx.RemoteProtocolError("The transfer encoding is not 'chunked' alone.")
                    self._chunked = True
        self.status = status
        self.keep_alive = self._parser.should_keep_alive()
        self.head = True
        # RFC 9112, 6.3: these have no body, whatever their fields say.
        self.complete = self._head_only or status in {204, 304}

    def on_body(self, data: bytes) -> None:
        if self.complete:
            raise _Surplus
        self.chunks.append(data)
        self.buffered += len(data)

    def on_message_complete(self) -> None:
        if self.head:
            self.complete = True

    def _count(self, framing: int) -> None:
        self._framing += framing
        if self._framing > MAX_HEAD:
            raise _too_much()


def _too_much() -> httpx.RemoteProtocolError:
    return httpx.RemoteProtocolError(f"More than {MAX_HEAD} bytes of head, trailer or framing.")
