"""One request to an app in the same process, by the rules that servers keep."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator

from starlette.types import ASGIApp, Message, Scope

AHEAD = 64 << 10
"""Bytes of an answer that an app may be ahead of its client: what servers keep for a socket."""
PATIENCE = 5.0
"""Seconds that an app has to end after its client has left, before it is cancelled."""

logger = logging.getLogger("xrouter")


class AppFailed(Exception):
    """The app ended before its answer did."""


class AppExchange:
    """Runs an app in a task of its own, for one request.

    Attributes:
        head: The `http.response.start` of the answer; a 500 if the app ends without one.
        task: Runs the app.
    """

    def __init__(self, app: ASGIApp, scope: Scope, body: AsyncIterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self.head: asyncio.Future[Message] = loop.create_future()
        self._app = app
        self._scope = scope
        self._body: AsyncIterator[bytes] | None = body  # None once the app has all of it
        self._parts: deque[bytes] = deque()
        self._ahead = 0
        self._whole = False
        self._left = asyncio.Event()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self.task = loop.create_task(self._run())
        self.task.add_done_callback(self._end)

    async def part(self) -> bytes | None:
        """The next part of the answer's body, None at its end. Raises AppFailed if it will not come."""
        while not self._parts:
            if self._whole:
                return None
            if self.task.done():
                raise AppFailed("The app ended before its answer was whole.")
            self._news.clear()
            await self._news.wait()
        part = self._parts.popleft()
        self._ahead -= len(part)
        self._room.set()
        return part

    async def leave(self) -> None:
        """The client goes. If the answer is not whole, this waits until the app has ended."""
        self._left.set()
        self._room.set()
        if self._whole or self.task.done():
            return
        try:
            await asyncio.wait({self.task}, timeout=PATIENCE)
        finally:
            self.task.cancel()

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception:
            if self._left.is_set():
                logger.debug("An app failed after its client had left", exc_info=True)
            else:
                logger.exception("An app in this process failed")

    def _end(self, task: asyncio.Task[None]) -> None:
        """The app has ended. Without an answer it is a 500, as servers have it."""
        if not self.head.done():
            self.head.set_result({"status": 500, "headers": [(b"content-type", b"text/plain; charset=utf-8")]})
            self._parts.append(b"Internal Server Error")
            self._whole = True
        self._news.set()

    async def _receive(self) -> Message:
        if self._body is not None:
            async for part in self._body:
                if part:
                    return {"type": "http.request", "body": part, "more_body": True}
            self._body = None
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        """Take a message. Raises OSError once the client has left, as the ASGI specification 2.4 has it."""
        if self._left.is_set() and not self._whole:
            raise OSError("The client has left.")
        if message["type"] == "http.response.start" and not self.head.done():
            self.head.set_result(message)
        elif message["type"] == "http.response.body" and not self._whole:
            part = message.get("body", b"")
            self._whole = not message.get("more_body", False)
            if part:
                self._parts.append(part)
                self._ahead += len(part)
            self._news.set()
            while self._ahead > AHEAD and not self._whole and not self._left.is_set():
                self._room.clear()
                await self._room.wait()
