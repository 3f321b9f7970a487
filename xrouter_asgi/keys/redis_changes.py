"""Notifications by the pub/sub of Redis: for keys in SQLite, or behind a pooler that does not support LISTEN."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NoReturn

from ..limits.servers import server_at
from .base import Changed
from .changes import CHANNEL, PING, TIMEOUT

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

logger = logging.getLogger("xrouter")


class RedisChanges:
    """Publishes each change that this process makes, and listens to those of others.

    Args:
        url: Any that `RedisLimits` takes.

    Raises ValueError for a URL that cannot be used, and ImportError without redis-py.
    """

    name = "Redis"

    def __init__(self, url: str) -> None:
        self._server = server_at(url, ())

    async def tell(self, id: str, /) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                connection = await self._server.session()
                try:
                    await connection.send_command("PUBLISH", CHANNEL, id)
                    await connection.read_response()
                finally:
                    await connection.disconnect(nowait=True)
        except Exception as error:  # whatever redis-py raises: the change itself succeeded
            why = f"{type(error).__name__}: {error}"
            logger.warning("Redis could not be notified that key %s changed (%.200s)", id, why)

    async def listen(self, changed: Changed, /) -> NoReturn:
        async with asyncio.timeout(TIMEOUT):
            connection = await self._server.session()
        try:
            await connection.send_command("SUBSCRIBE", CHANNEL)
            while True:
                match await _next(connection):
                    case [b"subscribe" | "subscribe", *_]:
                        changed(None)
                    case [b"message" | "message", _, bytes(id)]:
                        changed(id.decode(errors="replace"))
                    case [b"message" | "message", _, str(id)]:  # a URL may ask for texts
                        changed(id)
        finally:
            await connection.disconnect(nowait=True)


async def _next(connection: AbstractConnection) -> object:
    """The next message. Raises TimeoutError if Redis is silent and does not answer a PING."""
    reading = asyncio.create_task(connection.read_response())
    try:
        done, _ = await asyncio.wait({reading}, timeout=PING)
        if not done:
            await connection.send_command("PING")
            done, _ = await asyncio.wait({reading}, timeout=TIMEOUT)
        if not done:
            raise TimeoutError("Redis does not answer.")
        return reading.result()
    finally:
        reading.cancel()
