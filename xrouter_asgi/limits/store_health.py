"""Whether a shared store answers in time. While it does not, it is left alone, and probed in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from .link import in_background

# Seconds between two probes; doubled from the first pause to the longest. With the longest, limits are exact again
# within 5 s of the store's return. A probe delays no request.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 4.0
_CONNECT_TIMEOUT: Final = 1.0  # seconds to connect, and to answer after it

logger = logging.getLogger("xrouter")


class StoreUnavailable(Exception):
    """The store did not answer, or was not asked because it did not answer before."""


class Store(Protocol):
    """What is watched."""

    @property
    def connected(self) -> bool: ...

    async def connect(self) -> None:
        """Connect. Raises whatever is wrong."""

    def probe(self) -> Sequence[asyncio.Future[Any]]:
        """Answers that prove that the store can do its work."""

    def is_lost(self, error: Exception) -> bool:
        """Whether what failed may succeed on a new connection."""

    def disconnect(self) -> None:
        """Close all connections at once. Calls that wait for an answer fail."""


class StoreHealth:
    """Asks a store while it is up, and finds out when it is up again.

    An answer is late after `timeout`. One late answer is no outage: the store is probed while the call waits as long
    again, and is left only if the probe is late as well. Then calls fail at once, until a probe in the background is
    answered within `timeout`. Connecting does not count: the first call connects for all, within 1 s.

    Args:
        on_restored: Tells the store what it missed, before calls reach it again.
    """

    def __init__(
        self, store: Store, *, name: str, timeout: float, on_restored: Callable[[], Awaitable[object]]
    ) -> None:
        self.up = True
        self._store = store
        self._name = name
        self._timeout = timeout
        self._on_restored = on_restored
        self._connecting: asyncio.Task[None] | None = None
        self._doubting: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None

    async def call(self, operation: Callable[[], Sequence[asyncio.Future[Any]]]) -> list[Any]:
        """The answers to an operation, which is repeated if it meets a connection that is lost.

        Raises:
            StoreUnavailable: For every failure, also for a defect of a library: limits must not fail a request.
        """
        repeated = False
        while True:
            await self.connect()
            try:
                return await self._in_time(operation(), self._doubt)
            except TimeoutError as error:
                raise StoreUnavailable from error
            except Exception as error:
                if repeated or not self._store.is_lost(error):
                    self._leave(error)
                if not self.up:
                    raise StoreUnavailable from error
                self._store.disconnect()
                repeated = True

    async def connect(self) -> None:
        """Wait until the store is connected, if it is up. Raises StoreUnavailable."""
        if self.up and not self._store.connected:
            if self._connecting is None or self._connecting.done():
                self._connecting = in_background(self._connect_or_leave())
            await asyncio.shield(self._connecting)
        if not self.up:
            raise StoreUnavailable

    async def aclose(self) -> None:
        self.up = False
        tasks = [task for task in (self._connecting, self._doubting, self._probing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._store.disconnect()

    async def _in_time(
        self, answers: Sequence[asyncio.Future[Any]], late: Callable[[asyncio.Future[Any], float], None]
    ) -> list[Any]:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._timeout
        timers = [loop.call_at(due, late, answer, due) for answer in answers]
        try:
            # `gather` looks at every failure, and costs as much as the rest for the one answer that there mostly is.
            return [await answers[0]] if len(answers) == 1 else await asyncio.gather(*answers)
        finally:
            for timer in timers:
                timer.cancel()

    def _doubt(self, answer: asyncio.Future[Any], due: float) -> None:
        if answer.done() or not self.up:
            return
        if self._doubting is None or self._doubting.done():
            self._doubting = in_background(self._leave_if_late())
        self._look_again(answer)

    def _look_again(self, answer: asyncio.Future[Any]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._timeout
        loop.call_at(due, self._give_up, answer, due)

    def _give_up(self, answer: asyncio.Future[Any], due: float) -> None:
        if answer.done():
            return
        if asyncio.get_running_loop().time() - due > self._timeout / 5:
            # The timer fired late, so this process was busy, and the answer may have been here in time.
            self._look_again(answer)
        else:
            answer.set_exception(TimeoutError(f"no answer within {self._timeout * 1000:.0f} ms"))

    async def _leave_if_late(self) -> None:
        try:
            await self._in_time(self._store.probe(), self._give_up)
        except Exception as error:
            self._leave(error)

    async def _connect_or_leave(self) -> None:
        try:
            took = await self._connect_and_measure()
        except Exception as error:
            self._leave(error)
        else:
            if took > self._timeout:
                self._leave(took)

    async def _connect_and_measure(self) -> float:
        """Connect. Returns the seconds of the faster of two answers: the loop may have been busy during one."""
        loop = asyncio.get_running_loop()
        took = float("inf")
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            await self._store.connect()
            for _ in range(2):
                if took > self._timeout:
                    began = loop.time()
                    await asyncio.gather(*self._store.probe())
                    took = min(took, loop.time() - began)
        return took

    def _leave(self, why: Exception | float) -> None:
        """Leave the store because of an error, or of the seconds that it takes to answer."""
        if not self.up:
            return
        self.up = False
        if isinstance(why, float):
            self._tell_too_slow(why)
        else:
            logger.warning("%s is away (%s: %.200s)", self._name, type(why).__name__, why)
        self._store.disconnect()
        self._probing = in_background(self._probe_until_restored(told=isinstance(why, float)))

    def _tell_too_slow(self, took: float) -> None:
        message = "%s is too slow: it answers after %.0f ms, and a request waits for %.0f ms at most"
        logger.warning(message, self._name, took * 1000, self._timeout * 1000)

    async def _probe_until_restored(self, *, told: bool) -> None:
        pause = _FIRST_PAUSE
        while not self.up:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                took = await self._connect_and_measure()
                if took <= self._timeout:
                    await self._on_restored()
                    self.up = True
                    logger.warning("%s is back", self._name)
                    return
                if not told:
                    told = True
                    self._tell_too_slow(took)
            except Exception:
                logger.debug("%s is still away", self._name, exc_info=True)
            self._store.disconnect()
