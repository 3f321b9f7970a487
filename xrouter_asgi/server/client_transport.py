"""The transport of one client. It counts what the client takes, and closes without destroying the last answer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

if sys.platform != "win32":
    import fcntl
    import termios


def _no() -> bool:
    return False


class ClientTransport(asyncio.Transport):
    """Wraps the event loop's transport, of which it has the methods that uvicorn calls.

    Args:
        transport: The event loop's.
        closing: Called before the connection closes. Returns whether the client is still sending a request. If it is,
            `close` closes only the sending half, and the next `close` the rest: a connection that closes with unread
            bytes ends in a reset, which may destroy the answer before the client reads it (RFC 9112, 9.6).
    """

    __slots__ = ("_closing", "_half_closed", "_transport", "_written")

    def __init__(self, transport: asyncio.Transport, *, closing: Callable[[], bool]) -> None:
        self._transport = transport
        self._closing = closing
        self._half_closed = False
        self._written = 0

    def write(self, data: bytes) -> None:  # type: ignore[override]  # uvicorn writes no memoryview
        self._written += len(data)
        self._transport.write(data)

    def close(self) -> None:
        """Close after everything is sent."""
        # Over TLS closing already reads on until the client closes, too.
        if self._closing() and not self.is_closing() and self._transport.can_write_eof():
            self._half_closed = True
            self._transport.write_eof()
        else:
            self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._half_closed or self._transport.is_closing()

    def taken(self) -> int:
        """The bytes that the client's machine has taken so far."""
        return self._written - self.pending()

    def pending(self) -> int:
        """The bytes that are written, and that the client's machine has not taken yet."""
        return self._transport.get_write_buffer_size() + _unacknowledged(self._transport)

    def connection_lost(self) -> None:
        """Let go of `closing`, or this transport and the protocol behind it would keep each other alive."""
        self._closing = _no

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def abort(self) -> None:
        self._transport.abort()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()


def _unacknowledged(transport: asyncio.Transport) -> int:
    """The bytes that the kernel still holds; 0 on Windows, which does not tell.

    The kernel takes megabytes at once and then nothing for seconds, so only this number tells a client that reads
    slowly from one that does not read.
    """
    connection = transport.get_extra_info("socket")
    if sys.platform == "win32" or connection is None or connection.fileno() < 0:
        return 0
    return int.from_bytes(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
