"""An answer on its way to the client: how far it is, and what keeps a silent stream alive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.types import Message, Send

from ..dialects.base import EventWriter
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

    @asynccontextmanager
    async def kept_awake(self, head: Message, keep_alive: bytes, *, every: float) -> AsyncIterator[None]:
        """Send `keep_alive` whenever nothing was sent for `every` seconds, and before the first one `head` if needed.

        The block inside runs undisturbed. A chunk costs one look at the clock.
        """
        self._silent_since = self._time()
        self._set_timer(partial(self._say, head, keep_alive), every)
        try:
            yield
        except asyncio.CancelledError:
            if self._beat is not None:
                self._beat.cancel()
            raise
        finally:
            self._timer.cancel()
            if self._beat is not None:
                await asyncio.wait({self._beat})

    def _set_timer(self, say: Callable[[], Coroutine[Any, Any, None]], every: float) -> None:
        when = self._silent_since + every
        self._timer = asyncio.get_running_loop().call_at(when, self._ring, say, every)

    def _ring(self, say: Callable[[], Coroutine[Any, Any, None]], every: float) -> None:
        now = self._time()
        if self._silent_since + every <= now:
            self._silent_since = now
            if self.open:
                self._beat = asyncio.create_task(say())
        self._set_timer(say, every)

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
