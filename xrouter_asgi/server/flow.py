"""Back-pressure of one client's connection: uvicorn's, in half of the memory."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl


class LeanEvent(asyncio.Event):
    """Has a list of waiters. asyncio's is a deque, whose first block takes half a kilobyte."""

    def __init__(self) -> None:
        # asyncio's own `__init__` would make that deque.
        self._value = False
        self._waiters: list[asyncio.Future[bool]] = []  # type: ignore[assignment]  # used as a list, too


class Flow(FlowControl):
    """Made again with such an event."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._is_writable_event = LeanEvent()
        self._is_writable_event.set()
