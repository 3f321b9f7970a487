"""Whether a shared store answers: it is called with a short timeout, and left alone while it is unavailable."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

# Seconds between two probes; doubled from the first pause to the longest. With the longest, limits are exact again
# within 5 s of the store's return. A probe delays no request.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 4.0
_CONNECT_TIMEOUT: Final = 1.0  # seconds that a probe may take when it may have to connect first

logger = logging.getLogger("xrouter")


class StoreUnavailable(Exception):
    """The store did not answer, or was not called because it did not answer before."""


class StoreHealth:
    """Calls a store while it is up, and finds out when it is up again.

    A call that fails has waited `timeout` seconds at most. Later calls fail at once, until a `probe` in the background,
    which proves that the store can do its work, succeeds within `timeout`. More calls than `max_parallel` wait.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[object]],
        *,
        name: str,
        timeout: float,
        max_parallel: int,
        on_restored: Callable[[], None],
    ) -> None:
        self.up = True
        self._probe = probe
        self._name = name
        self._timeout = timeout
        self._slots = asyncio.Semaphore(max_parallel)
        self._on_restored = on_restored
        self._probing: asyncio.Task[None] | None = None

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """The result of an operation that may be repeated.

        Raises:
            StoreUnavailable: For every failure, also for a defect of a library: limits must not fail a request.
        """
        async with self._slots:
            if not self.up:
                raise StoreUnavailable
            try:
                return await self._call_in_time(operation)
            except Exception as error:
                if self.up:
                    self.up = False
                    logger.warning("%s is away (%s: %.200s)", self._name, type(error).__name__, error)
                    self._probing = in_background(self._probe_until_restored())
                raise StoreUnavailable from error

    async def _call_in_time(self, operation: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                due = loop.time() + self._timeout
                return await operation()
        except TimeoutError:
            if loop.time() - due < self._timeout / 5:
                raise
        # The timer fired late, so this process was busy, and the answer may have been here in time: try once more.
        async with asyncio.timeout(self._timeout):
            return await operation()

    async def aclose(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])

    async def _probe_until_restored(self) -> None:
        pause = _FIRST_PAUSE
        while not self.up:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT):
                    await self._probe()
                async with asyncio.timeout(self._timeout):
                    await self._probe()
            except Exception:
                logger.debug("%s is still away", self._name, exc_info=True)
                continue
            self.up = True
            logger.warning("%s is back", self._name)
            self._on_restored()


def in_background(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run it in a task that inherits no context variables, because it belongs to no request."""
    return asyncio.create_task(work, context=contextvars.Context())
