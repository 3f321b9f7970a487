"""A time limit that carries the error it stands for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from types import TracebackType

from ..errors import UpstreamTimeout


class Alarm:
    """Ends the block inside it at some time of the loop, with some error. It can be entered again and again.

    It works as `asyncio.timeout_at` does, and differs in two things. The cancellation carries the error, so that
    whatever notes the attempt further down learns that it was given up, and why. And the timer stays set when the
    block is left: the next time is never an earlier one, so a stream of a thousand chunks needs a few timers only.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._inside = False

    def at(self, when: float | None, error: Callable[[], UpstreamTimeout]) -> Alarm:
        """Set it for the block that is about to be entered; None: it does not ring. Until `stop`, only to later."""
        self._when = math.inf if when is None else when
        self._error = error
        return self

    def stop(self) -> None:
        """Remove the timer. Call it when no block follows."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("An Alarm works inside a task of asyncio only.")
        self._task = task
        self._cancelling = task.cancelling()
        self._rung: UpstreamTimeout | None = None
        self._inside = True
        if self._timer is None and self._when < math.inf:
            self._timer = task.get_loop().call_at(self._when, self._ring, self._when)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = False
        # A cancellation from outside may have come on top of ours; it counts more.
        if self._rung is not None and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._rung from None

    def _ring(self, set_for: float) -> None:
        self._timer = None
        if self._inside and self._when > set_for:
            self._timer = self._task.get_loop().call_at(self._when, self._ring, self._when)
        elif self._inside:
            self._rung = self._error()
            self._task.cancel(self._rung)
