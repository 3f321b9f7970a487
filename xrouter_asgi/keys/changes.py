"""Notifications of changed keys, between processes."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Sequence
from typing import Final, NoReturn, Protocol

from .base import Changed

CHANNEL: Final = "xrouter_keys"  # in PostgreSQL and in Redis; the trigger of migration 0002 has the name, too
PING: Final = 5.0  # seconds between two checks that a connection is still there
TIMEOUT: Final = 1.0  # seconds to connect, and for an answer
RETRY_INTERVAL: Final = 1.0  # seconds between two attempts to listen

logger = logging.getLogger("xrouter")


class KeyChanges(Protocol):
    """A channel by which processes tell each other that a key changed.

    It only saves time. A lost notification does no harm, because caches look keys up again after a few seconds.

    Attributes:
        name: What the log calls it.
    """

    name: str

    async def tell(self, id: str, /) -> None:
        """Notify every process that listens. Never raises, and takes a second at most."""

    async def listen(self, changed: Changed, /) -> NoReturn:
        """Connect, call `changed` with None because earlier notifications may be lost, then with each id.

        Raises whatever ends the connection.
        """


class ChangeListener:
    """Listens to channels in the background, and connects again when a connection breaks.

    Args:
        channels: What to listen to.
        changed: Called with the id of each changed key, and with None after each connect.
    """

    def __init__(self, channels: Sequence[KeyChanges], changed: Changed) -> None:
        self._channels = channels
        self._changed = changed
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Start listening, unless it has begun. The tasks inherit no context variables: they belong to no request."""
        if not self._tasks:
            empty = contextvars.Context()
            self._tasks = [asyncio.create_task(self._keep_listening(each), context=empty) for each in self._channels]

    async def aclose(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _keep_listening(self, channel: KeyChanges) -> None:
        lost = False

        def heard(id: str | None) -> None:
            nonlocal lost
            if lost:
                lost = False
                logger.warning("%s notifies of changed keys again.", channel.name)
            self._changed(id)

        while True:
            try:
                await channel.listen(heard)
            except Exception as error:  # no exception of a driver may end the loop
                if not lost:
                    lost = True
                    why = f"{type(error).__name__}: {error}"
                    logger.warning(
                        "%s does not notify of changed keys: changes take effect later (%.200s)", channel.name, why
                    )
            await asyncio.sleep(RETRY_INTERVAL)
