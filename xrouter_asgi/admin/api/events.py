"""What happens, as it happens: server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from pydantic_core import to_json
from starlette.types import Receive, Scope

from ...asgi.body import read_body
from ...asgi.disconnect import DisconnectGuard
from ...asgi.responses import id_headers, stream_head
from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import NotReady
from ...live import Seen
from ..watched import News
from .asking import Processes
from .operation import AdminOperation

MOST = 10
"""Events in a second. What comes beyond is dropped, and counted."""

LONGEST = 60.0
"""Seconds after which a stream ends. Browsers ask for the next one at once; so a key that was revoked ends with it."""

_SECOND = 1.0
_SILENCE = 15  # seconds after which a comment shows every hop that the stream is alive


class EventsAPI:
    """`/api/events`: `request`, `circuit`, `problem`, `reloaded`, and `dropped` with how many came beyond 10 a second.

    Args:
        version: Of the settings in force.
    """

    def __init__(self, processes: Processes, *, version: Callable[[], str | None]) -> None:
        self._processes = processes
        self._version = version

    def operations(self) -> list[AdminOperation]:
        summary = "Server-sent events: request, circuit, problem, reloaded, dropped. The stream ends after a minute."
        return [AdminOperation("/api/events", self._answer, summary, answer=str, media="text/event-stream")]

    async def _answer(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await read_body(scope, receive, limit=0)  # only behind it is seen that the client leaves
        async with DisconnectGuard(receive):
            reader = NewsReader(self._processes)
            await reader.read()
            await send(stream_head(id_headers(context)))
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST):
                    await self._tell(send, reader)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, send: Outgoing, reader: NewsReader) -> None:
        version, silent, lines = self._version(), 0, b": the first events may take a second\n\n"
        while True:
            if lines or silent >= _SILENCE:
                await send({"type": "http.response.body", "body": lines or b":\n\n", "more_body": True})
                silent = 0
            await asyncio.sleep(_SECOND)
            silent += 1
            lines = await reader.read()
            if (now := self._version()) != version:
                version = now
                lines += event("reloaded", {"version": version})


class NewsReader:
    """Asks all processes what is new."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._seen: dict[int, Seen] = {}

    async def read(self) -> bytes:
        """What has happened since the last call, as it goes over the wire. The first call tells nothing."""
        try:
            told = await self._processes.ask(lambda process: process.news(self._seen.get(process.number)))
        except NotReady:
            return b""
        self._seen.update((number, news["seen"]) for number, news in told)
        # Problems first: they must not be crowded out.
        events = [*_problems(told), *_requests(told)]
        dropped = sum(news["dropped"] for _, news in told) + max(0, len(events) - MOST)
        lines = b"".join(events[:MOST])
        return lines + event("dropped", {"count": dropped}) if dropped else lines


def _problems(told: Iterable[tuple[int, News]]) -> Iterator[bytes]:
    for number, news in told:
        for problem in news["problems"]:
            name = "circuit" if problem["kind"] == "circuit_open" else "problem"
            yield event(name, {**problem, "workers": [number]})


def _requests(told: Iterable[tuple[int, News]]) -> Iterator[bytes]:
    for number, news in told:
        for request in news["requests"]:
            yield event("request", {**request, "worker": number})


def event(name: str, data: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode("ascii"), to_json(data))
