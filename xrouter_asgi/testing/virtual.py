"""An event loop whose time passes only when there is nothing else to do: no test waits, and every wait is exact."""

from __future__ import annotations

import asyncio
import functools
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Stuck(Exception):
    """Nothing is left that could ever happen."""


class _Impatient(selectors.DefaultSelector):
    """Where other selectors sleep, it says how long that would have been."""

    slept: Callable[[float], None]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and timeout is None:
            raise Stuck
        if not ready and timeout:
            self.slept(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at 0 and goes forward by what the next timer waits for."""

    def __init__(self) -> None:
        self._now = 0.0
        selector = _Impatient()
        selector.slept = self.advance
        super().__init__(selector)

    def time(self) -> float:
        return self._now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # of this very loop
        """Do the work at once: nobody can tell how long a thread would take of virtual time."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def advance(self, seconds: float) -> None:
        """Let time pass, as a callback does that holds the loop up."""
        # A sum of floats may fall short of the next timer by less than can be added.
        self._now = max(self._now + seconds, math.nextafter(self._now, math.inf))


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in a loop of its own with virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))
            left = asyncio.all_tasks(runner.get_loop())
        assert not left

    return run


def now() -> float:
    """The time of the running loop."""
    return asyncio.get_running_loop().time()
