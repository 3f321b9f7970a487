"""The answer to one request, as uvicorn sends it but for its head, which is checked as a whole and not field by field.

Its heads are held against uvicorn's own by tests/test_cycle.py, and over sockets by tests/test_server_framing.py.
"""

from __future__ import annotations

import string
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_TOKEN = (string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode()  # RFC 9110, 5.6.2
_CONTROLS = bytes({*range(32), 127} - {9})
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_BODILESS = frozenset({204, 304})


class Cycle(RequestResponseCycle):
    """uvicorn's, which writes heads in another way.

    Raises from `send`:
        RuntimeError: A field of the head has no proper name, or a control character.
    """

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        """Take a message of ASGI."""
        if not self.response_started and message["type"] == "http.response.start":
            return self._begin(message["status"], message.get("headers", ()))
        return RequestResponseCycle.send(self, message)

    async def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        self.response_started = True
        self.waiting_for_100_continue = False
        fields = [*self.default_headers, *headers]
        _check(fields)
        lines = [STATUS_LINE[status]]
        for name, value in fields:
            name = name.lower()
            if name in _FRAMING and self._closes(name, value.lower()):
                continue  # said below, once
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _BODILESS:
            self._without_length(lines)
        lines.append(b"\r\n")
        self.transport.write(b"".join(lines))

    def _closes(self, name: bytes, value: bytes) -> bool:
        """Note what a field says about the end of the body. Returns whether it says that the connection ends."""
        if name == b"connection":
            closes = b"close" in [option.strip() for option in value.split(b",")]
            self.keep_alive = self.keep_alive and not closes
            return closes
        if name == b"transfer-encoding":
            if value == b"chunked":
                self.expected_content_length = 0
                self.chunked_encoding = True
        elif self.chunked_encoding is None:
            self.expected_content_length = int(value)
            self.chunked_encoding = False
        return False

    def _without_length(self, lines: list[bytes]) -> None:
        self.chunked_encoding = True
        lines.append(b"transfer-encoding: chunked\r\n")


class CycleUntilClosed(Cycle):
    """The answer to a client of HTTP/1.0, which knows no chunks: without a length it ends where the connection does
    (RFC 9112, 6.3).
    """

    _endless = False

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        """Take a message of ASGI."""
        if self._endless and message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        return super().send(message)

    def _without_length(self, lines: list[bytes]) -> None:
        self._endless = True
        self.chunked_encoding = False


def _check(fields: Sequence[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in fields]
    if b"".join(names).translate(None, _TOKEN) or not all(names):
        raise RuntimeError("Invalid HTTP header name.")
    values = b"".join([value for _, value in fields])
    if len(values.translate(None, _CONTROLS)) != len(values):
        raise RuntimeError("Invalid HTTP header value.")
