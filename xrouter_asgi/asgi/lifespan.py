"""Closes what an application holds at its end, without letting anything delay the end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from inspect import isawaitable
from typing import TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATIENCE = 5.0
"""Seconds that closing one thing may take. All are closed at the same time."""

Close: TypeAlias = Callable[[], Awaitable[object] | None]

logger = logging.getLogger("xrouter")


class ClosingAtShutdown:
    """Closes things at the end of an application's lifespan, after the application itself.

    Args:
        app: The application.
        closing: How to close each thing, by its name. A failure, or a wait beyond `PATIENCE`, goes to the log.
    """

    def __init__(self, app: ASGIApp, *, closing: Mapping[str, Close]) -> None:
        self._app = app
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_after_closing(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await self.aclose()
            await send(message)

        await self._app(scope, receive, send_after_closing)

    async def aclose(self) -> None:
        """Close everything."""
        await asyncio.gather(*(_close(name, close) for name, close in self._closing.items()))


async def _close(name: str, close: Close) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            closing = close()
            if isawaitable(closing):
                await closing
    except TimeoutError:
        logger.warning("Closing the %s took more than %.0f s, and was given up.", name, PATIENCE)
    except Exception:
        logger.exception("The %s could not be closed.", name)


async def in_thread(work: Callable[[], object]) -> None:
    """Run a blocking function in a thread. Unlike with `asyncio.to_thread`, the program may end before the thread."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)

    def run() -> None:
        error: Exception | None = None
        try:
            work()
        except Exception as exc:
            error = exc
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            loop.call_soon_threadsafe(tell, error)

    threading.Thread(target=run, daemon=True).start()
    await done
