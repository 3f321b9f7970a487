"""HTTP as uvicorn speaks it, with bounds: how long a client may take, and how large the head of a request may be.

uvicorn bounds neither (httptools has no limits, and only the time between two requests is measured). Everything here is
below ASGI, where an application cannot see it. What of uvicorn's private parts is relied on is pinned over sockets by
tests/test_server_framing.py and tests/test_server_slow_clients.py.

The timer is lazy: one for each connection, armed anew every few seconds, whatever requests come. A request that arrives
in one piece neither asks for the time nor touches a timer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import MutableMapping
from enum import Enum, auto
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ..asgi.responses import NOSNIFF, id_header
from ..context import RequestContext
from ..errors import InvalidRequest, XRouterError
from ..wire.codec import encode
from .bounds import ClientBounds, fault_of, head_too_large
from .corking import CorkedTransport
from .cycle import Cycle, CycleUntilClosed

_EARLY = 0.001  # seconds: loops fire up to one tick of their clock early
_NOWHERE: deque[tuple[bytes, bytes]] = deque(maxlen=0)


class Phase(Enum):
    """What a connection waits for, or is in the middle of."""

    FIRST = auto()
    HEAD = auto()
    BODY = auto()
    IDLE = auto()
    ENDED = auto()  # what still comes is thrown away


FIRST, HEAD, BODY, IDLE, ENDED = Phase  # a name of the module costs a tenth of an attribute of an Enum


class Protocol(HttpToolsProtocol):
    """uvicorn's, on a `CorkedTransport`, with bounds. What it refuses gets the error envelope, too."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        bounds: ClientBounds,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds = bounds
        self._phase = FIRST
        self._since = 0.0
        self._came = 0  # bytes of this phase, but for those that came together with the end of the one before
        self._body = 0  # bytes of the body, without what frames them
        self._fault: XRouterError | None = None
        self._ahead: list[RequestResponseCycle] = []  # pipelined requests that came before the newest one
        self._ours_before = False  # whether it was our turn at the last look
        self._taken = 0  # bytes that the client's machine had taken at the last look
        self._taken_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._corked = CorkedTransport(cast("asyncio.Transport", transport), self.loop, end=self._end)
        super().connection_made(self._corked)
        self._since = self._taken_at = self.loop.time()
        self._timer = self.loop.call_later(self._bounds.shortest, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._corked.let_go()
        for cycle in self._ahead:  # uvicorn thinks of the newest one only
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Not uvicorn's own, which answers in plain text and takes an upgrade that it does not make for the end."""
        if self._phase is ENDED:
            return
        before = self._phase
        self._came += len(data)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._pass_over(upgrade, data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(
                self._fault or InvalidRequest("This is no request of HTTP/1.1, or one with an unknown method.")
            )
            return
        if self._phase is BODY:
            if before is not BODY:
                self._since = self.loop.time()
            elif self._came > self._bounds.head_size + 8 * self._body:
                self._refuse(InvalidRequest("The request body has more framing than content."))
        elif self._phase is HEAD and self._came > self._bounds.head_size:
            self._refuse(head_too_large(self._bounds))

    def _pass_over(self, upgrade: httptools.HttpParserUpgrade, data: bytes) -> None:
        # A server may ignore an upgrade (RFC 9110, 7.8), and Java's HttpClient asks for h2c with each POST. But
        # httptools takes what follows for the other protocol's: so the head is read again without the wish.
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser.feed_data(b"\r\n".join([*lines, b"", data[upgrade.args[0] :]]))

    # What the parser calls.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._phase = HEAD
        self._since = self.loop.time()
        self._came = 0

    def on_headers_complete(self) -> None:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self._fault = fault_of(method, self.url, version, self.headers, self._bounds)
        if self._fault is not None:
            raise ValueError  # which the parser stops at; not the fault itself, which would hold this frame
        if self.parser.should_upgrade():
            return
        self._ahead = self._unanswered()
        self._context()  # made here, so that what is refused later bears the same id
        super().on_headers_complete()
        # uvicorn names its class in the middle of this method; the request itself begins in the loop's next turn.
        self.cycle.__class__ = CycleUntilClosed if version == "1.0" else Cycle
        self._phase = BODY
        self._came = self._body = 0
        # Trailers must not become headers (RFC 9110, 6.5.1), nor be collected for ever.
        self.headers = cast("list[tuple[bytes, bytes]]", _NOWHERE)

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._phase is BODY:
            self._phase = IDLE
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Not uvicorn's own, which arms a timer after each answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self._phase is IDLE:
            self._since = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    # Bounds.

    def _look(self) -> None:
        """Is anything over its time?"""
        now = self.loop.time()
        wait = self._bounds.shortest
        if self._stalled(now):
            self.transport.abort()
            return
        before, self._ours_before = self._ours_before, self._ours()
        if self._ours_before or (before and self._phase is not IDLE):  # in between nobody noted when it changed
            self._since = now
        else:
            left = self._since + self._allowance() - now
            if left < _EARLY:
                self._cut()
            else:
                wait = min(wait, left)
        self._timer = self.loop.call_later(wait, self._look)

    def _stalled(self, now: float) -> bool:
        written, pending = self._corked.progress()
        if not pending or written - pending != self._taken:
            self._taken = written - pending
            self._taken_at = now
        return now - self._taken_at > self._bounds.write - _EARLY

    def _ours(self) -> bool:
        """Whether it is our turn: then time does not run against the client."""
        if self.transport.is_closing():
            return self._phase is not ENDED
        return (self._phase is BODY and self.flow.read_paused) or bool(self._unanswered())

    def _allowance(self) -> float:
        bounds = self._bounds
        match self._phase:
            case Phase.FIRST:
                return bounds.first
            case Phase.HEAD:
                return bounds.head
            case Phase.BODY:
                return bounds.body + self._body / bounds.body_rate
            case Phase.IDLE:
                return bounds.idle
            case Phase.ENDED:
                return bounds.linger

    def _cut(self) -> None:
        if self._phase in (HEAD, BODY):
            self._refuse(InvalidRequest("The request took too long to arrive.", status=408, code="request_timeout"))
        else:
            self.transport.close()

    def _unanswered(self) -> list[RequestResponseCycle]:
        """The requests before the one that is arriving which have no whole answer yet."""
        cycles = self._ahead if self._phase is BODY or self.cycle is None else [*self._ahead, self.cycle]
        return [cycle for cycle in cycles if not (cycle.response_complete or cycle.disconnected)]

    def _refuse(self, error: XRouterError) -> None:
        """End the connection, and say why if nothing else is being said on it."""
        if earlier := self._unanswered():
            earlier[-1].keep_alive = False
            self._phase = ENDED
            return
        own = self.cycle if self._phase is BODY else None
        if own is None or not own.response_started:
            self.transport.write(self._answer(error))
        if own is not None and not own.response_complete:
            own.disconnected = True
            own.message_event.set()
        self.transport.close()

    def _answer(self, error: XRouterError) -> bytes:
        context = self._context() if self._phase in (HEAD, BODY) else RequestContext()
        context.fail(error)
        status, own, value = context.envelope(error, context.request_id)
        body = encode(value)
        headers = [
            *self.server_state.default_headers,
            *own,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            id_header(context.request_id),
            NOSNIFF,
        ]
        return STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % field for field in headers) + b"\r\n" + body

    def _context(self) -> RequestContext:
        return RequestContext.of(cast("MutableMapping[str, Any]", self.scope))

    def _end(self) -> bool:
        """The connection is about to close. Returns whether the client is in the middle of a request."""
        midway = self._phase in (HEAD, BODY)
        self._phase = ENDED
        self._since = self.loop.time()
        self.flow.resume_reading()  # to throw it away
        return midway
