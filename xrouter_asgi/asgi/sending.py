"""An answer on its way to the client: how far it is, and what keeps it awake while there is nothing to say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Message, Send

from .disconnect import ClientDisconnected

_KEEP_ALIVE = b": keep-alive\n\n"  # a comment: whoever reads events passes over it

logger = logging.getLogger("xrouter")


class Outgoing:
    """The `send` of one answer.

    Attributes:
        started: The head went out, or is about to.
        early: The head went out before there was an answer; errors have to follow it as events.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._time = asyncio.get_running_loop().time
        self._silent_since = self._time()
        self._sending = False
        self._finished = False
        self._beat: asyncio.Task[None] | None = None
        self.started = False
        self.early = False

    @property
    def open(self) -> bool:
        """Whether something may still be sent."""
        # Of what was interrupted nobody knows whether it went out, so nothing can follow it.
        return not (self._finished or self._sending)

    async def __call__(self, message: Message) -> None:
        """Send a message; the head is dropped if one went out early. Raises ClientDisconnected."""
        if self._beat is not None and self._beat is not asyncio.current_task():
            await asyncio.wait({self._beat})
        if self.early and message["type"] == "http.response.start":
            self.early = False
            return
        self.started = self._sending = True
        self._finished = message["type"] == "http.response.body" and not message.get("more_body", False)
        try:
            await self._send(message)
        except OSError as error:  # since version 2.4 of the ASGI specification a server may say so here
            raise ClientDisconnected from error
        self._sending = False
        self._silent_since = self._time()

    @asynccontextmanager
    async def kept_awake(self, head: Message, *, every: float) -> AsyncIterator[None]:
        """Send a comment whenever nothing was sent for `every` seconds, and `head` before the first one if need be.

        Whatever is awaited inside is not disturbed, and a chunk costs a look at the clock.
        """
        self._silent_since = self._time()
        self._set_timer(head, every)
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

    def _set_timer(self, head: Message, every: float) -> None:
        when = self._silent_since + every
        self._timer = asyncio.get_running_loop().call_at(when, self._ring, head, every)

    def _ring(self, head: Message, every: float) -> None:
        now = self._time()
        if self._silent_since + every <= now:
            self._silent_since = now
            if self.open:
                self._beat = asyncio.create_task(self._say(head))
        self._set_timer(head, every)

    async def _say(self, head: Message) -> None:
        try:
            if not self.started:
                await self(head)
                self.early = True
            await self({"type": "http.response.body", "body": _KEEP_ALIVE, "more_body": True})
        except Exception:
            # Whoever sends the answer will meet the same.
            logger.debug("A stream could not be kept awake", exc_info=True)
        finally:
            self._beat = None
