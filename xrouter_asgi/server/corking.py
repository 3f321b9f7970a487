"""A transport that joins the head and the body of an answer in one write, counts, and closes gently."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any


def _no() -> bool:
    return False


class CorkedTransport(asyncio.Transport):
    """Holds the head of an answer back until its body comes, or the loop's next turn: uvicorn writes them apart, and
    each write is a system call, which is what a small answer costs most.

    Everything but writing and closing is the transport's own.

    Args:
        end: Asked before it closes whether the other side is still sending. If it is, only the sending half is closed
            now, and the whole by the next `close`: a connection with unread bytes ends in a reset, which may destroy
            an answer before it is read.
    """

    __slots__ = ("_end", "_half_closed", "_head", "_loop", "_transport", "_written")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, *, end: Callable[[], bool] = _no
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._end = end
        self._head = b""
        self._half_closed = False
        self._written = 0

    def write(self, data: bytes) -> None:  # type: ignore[override]  # by uvicorn: no memoryview
        """Send bytes, those of a head a little later."""
        if self._head:
            data = self._head + data
            self._head = b""
        elif data.startswith(b"HTTP/"):
            self._head = data
            self._loop.call_soon(self._uncork)
            return
        self._written += len(data)
        self._transport.write(data)

    def close(self) -> None:
        """Close once everything is sent."""
        self._uncork()
        if self._end() and not self.is_closing():
            self._half_closed = True
            self._transport.write_eof()
        else:
            self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._half_closed or self._transport.is_closing()

    def progress(self) -> tuple[int, int]:
        """How many bytes were written so far, and how many of them the other side's machine has not taken yet."""
        return self._written, self._transport.get_write_buffer_size() + _unacknowledged(self._transport)

    def let_go(self) -> None:
        """Forget who is asked before it closes: it has closed."""
        self._end = _no

    def _uncork(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._written += len(head)
            self._transport.write(head)

    # What is the transport's own; what is not here, uvicorn does not use.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def abort(self) -> None:
        self._transport.abort()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()


if sys.platform == "win32":

    def _unacknowledged(transport: asyncio.Transport) -> int:
        return 0

else:
    import fcntl
    import termios

    def _unacknowledged(transport: asyncio.Transport) -> int:
        """Bytes that the kernel holds. Megabytes of them may be taken before it asks for more, so that only they tell
        a slow reader from one that does not read.
        """
        connection = transport.get_extra_info("socket")
        if connection is None or connection.fileno() < 0:
            return 0
        return int.from_bytes(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
