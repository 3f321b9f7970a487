"""An answer on its way to the client: how far it is, and what keeps a silent stream alive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.types import Message, Send

from ..dialects.writers import EventWriter
from .disconnect import ClientDisconnected

logger = logging.getLogger("xrouter")


class Outgoing:
    """The `send` of one answer.

    Attributes:
        started: The head was sent, or is being sent.
        writer: Writes the answer if it is an event stream. Once the head is out, it also writes the error that ends
            the stream.
        error_headers: Makes the headers of an error that is answered here, in place of `x-request-id` alone.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._time = asyncio.get_running_loop().time
        self._silent_since = self._time()
        self._sending = False
        self._finished = False
        self._early = False  # the head went out before there was an answer
        self._beat: asyncio.Task[None] | None = None
        self.started = False
        self.writer: EventWriter | None = None
        self.error_headers: Callable[[], list[tuple[bytes, bytes]]] | None = None

    @property
    def open(self) -> bool:
        """Whether something may still be sent."""
        # Nobody knows whether a message that was interrupted went out, so nothing can follow it.
        return not (self._finished or self._sending)

    @property
    def committed(self) -> bool:
        """Whether the answer itself has begun. A head that went out early can still be followed by an error."""
        return self.started and not self._early

    async def __call__(self, message: Message) -> None:
        """Send a message; drop the head if one went out early. Raises ClientDisconnected."""
        if self._beat is not None and self._beat is not asyncio.current_task():
            await asyncio.wait({self._beat})
        if self._early and message["type"] == "http.response.start":
            self._early = False
            return
        self.started = self._sending = True
        self._finished = message["type"] == "http.response.body" and not message.get("more_body", False)
        try:
            await self._send(message)
        except OSError as error:  # servers may raise it since version 2.4 of the ASGI specification
            raise ClientDisconnected from error
        self._sending = False
        self._silent_since = self._time()

    def kept_awake(self, head: Message, keep_alive: bytes, *, every: float) -> AbstractAsyncContextManager[None]:
        """Send `keep_alive` whenever nothing was sent for `every` seconds, and before the first one `head` if needed.

        The block inside runs undisturbed. A chunk costs one look at the clock.
        """
        return _KeptAwake(self, head, keep_alive, every)

    def silent(self) -> float:
        """Seconds since something was sent."""
        return self._time() - self._silent_since

    def beat(self, head: Message, keep_alive: bytes) -> None:
        """Begin to send `keep_alive`, which every later message waits for."""
        self._silent_since = self._time()
        if self.open:
            self._beat = asyncio.create_task(self._say(head, keep_alive))

    async def end_beats(self, *, cut_off: bool) -> None:
        """Wait for what `beat` has begun.

        Args:
            cut_off: Cancel it first.
        """
        if self._beat is not None:
            if cut_off:
                self._beat.cancel()
            await asyncio.wait({self._beat})

    async def _say(self, head: Message, keep_alive: bytes) -> None:
        try:
            if not self.started:
                await self(head)
                self._early = True
            await self({"type": "http.response.body", "body": keep_alive, "more_body": True})
        except Exception:
            # Whoever sends the answer meets the same error.
            logger.debug("A stream could not be kept awake", exc_info=True)
        finally:
            self._beat = None


class _KeptAwake:
    __slots__ = ("_every", "_head", "_keep_alive", "_outgoing", "_timer")

    def __init__(self, outgoing: Outgoing, head: Message, keep_alive: bytes, every: float) -> None:
        self._outgoing = outgoing
        self._head = head
        self._keep_alive = keep_alive
        self._every = every

    async def __aenter__(self) -> None:
        self._set_timer(self._every)

    async def __aexit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        self._timer.cancel()
        await self._outgoing.end_beats(cut_off=kind is asyncio.CancelledError)

    def _set_timer(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        left = self._every - self._outgoing.silent()
        if left <= 0:
            self._outgoing.beat(self._head, self._keep_alive)
            left = self._every
        self._set_timer(left)
