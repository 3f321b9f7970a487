"""What happens, as it happens: server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from pydantic_core import to_json
from starlette.types import Receive, Scope

from ...asgi.body import read_body
from ...asgi.disconnect import DisconnectGuard
from ...asgi.responses import id_headers, stream_head
from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...live import Happening, Live, Problem
from .operation import AdminOperation
from .overview import problem_entry
from .requests import request_entry

MOST = 10
"""Events in a second. What comes beyond is dropped, and counted."""

LONGEST = 60.0
"""Seconds after which a stream ends. Browsers ask for the next one at once; so a key that was revoked ends with it."""

_SECOND = 1.0
_SILENCE = 15  # seconds after which a comment shows every hop that the stream is alive


class EventsAPI:
    """`/api/events`: `request`, `circuit`, `problem`, `reloaded`, and `dropped` with how many came beyond 10 a second.

    Args:
        currency: Of costs.
        version: Of the settings in force.
    """

    def __init__(self, live: Live, *, currency: str, version: Callable[[], str | None]) -> None:
        self._live = live
        self._currency = currency
        self._version = version

    def operations(self) -> list[AdminOperation]:
        summary = "Server-sent events: request, circuit, problem, reloaded, dropped. The stream ends after a minute."
        return [AdminOperation("/api/events", self._answer, summary, answer=str, media="text/event-stream")]

    async def _answer(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await read_body(scope, receive, limit=0)  # only behind it is seen that the client leaves
        async with DisconnectGuard(receive):
            await send(stream_head(id_headers(context)))
            batch = Batch(self._currency)
            with self._live.listening(batch.add), suppress(TimeoutError):
                async with asyncio.timeout(LONGEST):
                    await self._tell(send, batch)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, send: Outgoing, batch: Batch) -> None:
        version, silent, lines = self._version(), 0, b": the first events may take a second\n\n"
        while True:
            if lines or silent >= _SILENCE:
                await send({"type": "http.response.body", "body": lines or b":\n\n", "more_body": True})
                silent = 0
            await asyncio.sleep(_SECOND)
            silent += 1
            lines = batch.taken()
            if (now := self._version()) != version:
                version = now
                lines += event("reloaded", {"version": version})


class Batch:
    """The events of one second."""

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self._kept: list[Happening] = []
        self._dropped = 0

    def add(self, happening: Happening) -> None:
        if len(self._kept) < MOST:
            self._kept.append(happening)
        else:
            self._dropped += 1

    def taken(self) -> bytes:
        """What was added since the last call, as it goes over the wire."""
        kept, self._kept = self._kept, []
        lines = b"".join(_line(each, self._currency) for each in kept)
        if self._dropped:
            lines += event("dropped", {"count": self._dropped})
            self._dropped = 0
        return lines


def _line(happening: Happening, currency: str) -> bytes:
    if isinstance(happening, Problem):
        return event("circuit" if happening.kind == "circuit_open" else "problem", problem_entry(happening))
    return event("request", request_entry(happening, currency))


def event(name: str, data: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode("ascii"), to_json(data))
