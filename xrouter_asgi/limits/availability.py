"""The link to a count that is shared: asked with little patience, left alone while it is away."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_FIRST: Final = 1.0
_LONGEST: Final = 4.0
"""Seconds between probes, doubled from the first to the longest.

Not more, because limits are to be exact again within 5 s of the return. A probe is no request, so it delays nobody.
"""

logger = logging.getLogger("xrouter")


class StoreUnavailable(Exception):
    """What is at the other end did not answer, or was not asked because it did not answer before."""


class StoreHealth:
    """Whether the other end may be asked.

    Whoever meets the failure waits `patience` at most; everybody after it does not wait at all, until a probe in the
    background was answered in time.

    Args:
        probe: Asks the other end whether it can do what it is there for.
        name: Of the other end, for the log.
        patience: Seconds that a question may take.
        questions: How many may be asked at once; the others wait for their turn.
        restored: Called when the other end is back.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[object]],
        *,
        name: str,
        patience: float,
        questions: int,
        restored: Callable[[], None],
    ) -> None:
        self.up = True
        self._probe = probe
        self._name = name
        self._patience = patience
        self._turn = asyncio.Semaphore(questions)
        self._restored = restored
        self._probing: asyncio.Task[None] | None = None

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question that may be repeated.

        Raises:
            Away: Whatever went wrong, be it a defect of a library: limits must not fail a request.
        """
        async with self._turn:
            if not self.up:
                raise StoreUnavailable
            try:
                return await self._ask_in_time(question)
            except Exception as error:
                self._lose(error)
                raise StoreUnavailable from error

    async def _ask_in_time(self, question: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience):
                due = loop.time() + self._patience
                return await question()
        except TimeoutError:
            if loop.time() - due < self._patience / 5:
                raise
        # The alarm came late, so it was this process that was busy: the answer may have been here.
        async with asyncio.timeout(self._patience):
            return await question()

    async def aclose(self) -> None:
        """Stop probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])

    def _lose(self, error: Exception) -> None:
        if self.up:
            self.up = False
            logger.warning("%s is away (%s: %.200s)", self._name, type(error).__name__, error)
            self._probing = in_background(self._probe_until_back())

    async def _probe_until_back(self) -> None:
        pause = _FIRST
        while not self.up:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST)
            try:
                async with asyncio.timeout(_FIRST):
                    await self._probe()  # may have to connect first
                async with asyncio.timeout(self._patience):
                    await self._probe()
            except Exception:
                logger.debug("%s is still away", self._name, exc_info=True)
                continue
            self.up = True
            logger.warning("%s is back", self._name)
            self._restored()


def in_background(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run it in a task that belongs to no request: with nothing in its context variables."""
    return asyncio.create_task(work, context=contextvars.Context())
