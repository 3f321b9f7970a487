"""Notices that a client leaves. No ASGI server raises or cancels then: only `receive()` tells."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

from starlette.types import Receive

from ..errors import NotReady

_GRACE = 0.02  # seconds before the watching starts: a timer costs a tenth of a task, and a quick answer needs no task

logger = logging.getLogger("xrouter")


class ClientDisconnected(Exception):
    """The client left during its request or the answer, so there is nobody to answer."""


class Interrupted(NotReady):
    """The answer must end now, while the client is still there."""


class DisconnectGuard:
    """Cancels the block inside when the client leaves, or upon `interrupt()`.

    Enter it once the body is read, because nothing else may call `receive` inside. It works as `asyncio.timeout` does,
    so it may stand inside other scopes of that kind. A cancellation that nobody requested, such as that of a task which
    the block awaits, is a defect and becomes a RuntimeError: as a cancellation it would end the request without an
    answer.

    Attributes:
        client_left: Whether the client left; the block was cancelled then.

        async with DisconnectGuard(receive) as guard:
            ...
        if guard.client_left: ...
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._interruption: Interrupted | None = None
        self.client_left = False

    def interrupt(self, reason: str) -> None:
        """End the block: it raises Interrupted with this message, unless the client has left."""
        if not self.client_left and self._interruption is None:
            self._interruption = Interrupted(reason)
            self._task.cancel(reason)

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("DisconnectGuard works inside a task of asyncio only.")
        self._task = task
        self._cancelling = task.cancelling()
        self._watcher: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_GRACE, self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None  # the finished task has frames that hold this object
        if self.client_left or self._interruption is not None:
            # Swallow only our own cancellation: another one may have come on top.
            ours = self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError
            if ours and self._interruption is not None:
                raise self._interruption from None
            return ours
        if kind is asyncio.CancelledError and self._task.cancelling() <= self._cancelling:
            raise RuntimeError("What was awaited here was cancelled, but not this task.") from error
        return False

    def _begin(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        try:
            message = await self._receive()
        except Exception:
            logger.debug("This host cannot tell that a client leaves", exc_info=True)
            return
        if message["type"] == "http.disconnect" and self._interruption is None:
            self.client_left = True
            self._task.cancel("the client left")
