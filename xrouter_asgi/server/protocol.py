"""The protocol of one client's connection: uvicorn's, with bounds on time and on the size of a request's head.

uvicorn has neither: httptools has no limits, and uvicorn measures only the time between two requests. An application
cannot see these things, because they happen below ASGI. The tests in tests/server/ pin over sockets what is used of
uvicorn's private parts.

Each connection has one timer. It fires every few seconds, however many requests come, and looks at what happened since.
A request that arrives in one piece touches no timer and asks for the time once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ..asgi.body import RequestTimeout
from ..context import RequestContext
from ..errors import InvalidRequest, XRouterError
from .answers import Cycle, CycleUntilClosed, refusal
from .bounds import BODY, ENDED, FIRST, HEAD, IDLE, ClientBounds, fault_of, head_too_large, scope_of, without_upgrade
from .client_transport import ClientTransport
from .flow import Flow, LeanEvent

_EARLY = 0.001  # seconds: event loops fire a timer up to one tick of their clock early
_NOWHERE = cast("list[tuple[bytes, bytes]]", deque(maxlen=0))


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds. It refuses malformed requests with the error envelope."""

    # Beside these, as many attributes of uvicorn's as all instances can share the names of: a kilobyte less for each.
    __slots__ = (
        "_ahead",
        "_body",
        "_bounds",
        "_came",
        "_client_transport",
        "_credited",
        "_fault",
        "_lost",
        "_ours_before",
        "_phase",
        "_since",
        "_taken",
        "_taken_at",
        "_timer",
        "_unasked",
        "_waiting",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        bounds: ClientBounds,
        lost: Callable[[], None] | None = None,
        unasked: Callable[[], XRouterError] | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds = bounds
        self._lost, self._unasked = lost, unasked  # `unasked` makes what a client is told that says nothing
        self._phase, self._since = FIRST, 0.0  # and when the time of this phase began
        self._came = 0  # bytes that came in this phase, without those in the same read as the end of the phase before
        self._body = 0  # bytes of the body, without its framing
        self._credited = 0  # those of them that have prolonged the time of the body
        self._fault: XRouterError | None = None
        self._ahead: list[RequestResponseCycle] = []  # requests that had no whole answer when the newest one came
        self._waiting: list[RequestResponseCycle] = []  # those of them that have not begun
        del self.pipeline  # the same of uvicorn's, a block of 64 places
        self._ours_before = False  # whether it was the server's turn when the timer last fired
        self._taken = 0  # bytes that the client's machine had taken when the timer last fired
        self._taken_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client_transport = ClientTransport(cast("asyncio.Transport", transport), closing=self._closing)
        super().connection_made(self._client_transport)
        self.flow = Flow(self._client_transport)
        self._since = self._taken_at = self.loop.time()
        self._timer = self.loop.call_later(self._bounds.shortest, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._client_transport.connection_lost()
        for cycle in self._ahead:  # uvicorn tells only the newest one
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)
        if self._lost is not None:
            self._lost()

    def data_received(self, data: bytes) -> None:
        """Replaces uvicorn's, which answers in plain text and stops reading at an upgrade that it does not make."""
        if self._phase is ENDED:
            return
        before = self._phase
        self._came += len(data)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._ignore_upgrade(upgrade, data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            malformed = InvalidRequest("This is no request of HTTP/1.1, or one with an unknown method.")
            self._refuse(self._fault or malformed)
            return
        if self._phase is BODY:
            if before is not BODY:
                self._since = self.loop.time()
            elif self._came > self._bounds.head_size + 8 * self._body:
                self._refuse(InvalidRequest("The request body has more framing than content."))
        elif self._phase is HEAD and self._came > self._bounds.head_size:
            self._refuse(head_too_large(self._bounds))

    def _ignore_upgrade(self, upgrade: httptools.HttpParserUpgrade, data: bytes) -> None:
        # A server may ignore an upgrade (RFC 9110, 7.8), and Java's HttpClient asks for h2c with each POST. But
        # httptools takes the rest for the other protocol, so this feeds the head again without the upgrade. To a new
        # parser, because the old one reads nothing more of a connection that is to close after the answer.
        head = without_upgrade(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(head + data[upgrade.args[0] :])

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Replaces uvicorn's, which begins a scope that lacks what the head says."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._phase, self._since = HEAD, self.loop.time()
        self._came = 0

    def on_headers_complete(self) -> None:
        """Replaces uvicorn's, which checks less and has one kind of cycle for all versions of HTTP."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self._fault = fault_of(method, self.url, version, self.headers, self._bounds)
        if self._fault is not None:
            raise ValueError  # stops the parser; raising the fault itself would keep this frame alive
        if self.parser.should_upgrade():
            return
        self._ahead = self._unanswered()
        self.scope = scope_of(self, method, version)
        self._phase = BODY
        self._context()  # created here, so that a later refusal has the same request id
        self.cycle = self._new_cycle(version)
        if self._ahead:
            self.flow.pause_reading()
            self._waiting.append(self.cycle)
        else:
            self._start(self.cycle)
        self._came = self._body = self._credited = 0
        # Trailers must not become headers (RFC 9110, 6.5.1), nor pile up.
        self.headers = _NOWHERE

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._phase is BODY:
            self._phase = IDLE
            super().on_message_complete()

    # Requests, one after another.

    def _new_cycle(self, version: str) -> RequestResponseCycle:
        kind = CycleUntilClosed if version == "1.0" else Cycle
        return kind(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=LeanEvent(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

    def _start(self, cycle: RequestResponseCycle) -> None:
        task = self.loop.create_task(cycle.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """Replaces uvicorn's, which starts a timer after each answer."""
        if self.transport.is_closing():
            return
        if self._phase is IDLE:
            self._since = self.loop.time()
        self.flow.resume_reading()
        if self._waiting:
            self._start(self._waiting.pop(0))

    # Time.

    def _look(self) -> None:
        """End the connection if the client is over its time, else look again later."""
        now = self.loop.time()
        wait = self._bounds.shortest
        if self._stalled(now):
            self.transport.abort()
            return
        before, self._ours_before = self._ours_before, self._ours()
        # Nothing records when a turn passed to the client, unless it passed to IDLE: so its time begins now.
        if self._ours_before or (before and self._phase is not IDLE):
            self._since = now
        else:
            if self._phase is BODY:
                self._prolong(now)
            left = self._since + self._bounds.of(self._phase) - now
            if left < _EARLY:
                self._time_out()
            else:
                wait = min(wait, left)
        self._timer = self.loop.call_later(wait, self._look)

    def _stalled(self, now: float) -> bool:
        """Whether the client's machine has taken nothing for too long, although there is something to take."""
        taken = self._client_transport.taken()
        if not self._client_transport.pending() or taken != self._taken:
            self._taken, self._taken_at = taken, now
        return now - self._taken_at > self._bounds.write - _EARLY

    def _ours(self) -> bool:
        """Whether it is the server's turn, so that no time runs against the client."""
        if self.transport.is_closing():
            return self._phase is not ENDED
        return (self._phase is BODY and self.flow.read_paused) or bool(self._unanswered())

    def _prolong(self, now: float) -> None:
        """Let what came of the body since the last look prolong its time, to no more than it had at first."""
        came, self._credited = self._body - self._credited, self._body
        self._since = min(self._since + came / self._bounds.body_rate, now)

    def _time_out(self) -> None:
        if self._phase in (HEAD, BODY):
            self._refuse(RequestTimeout("The request took too long to arrive."))
        elif self._phase is FIRST and self._unasked is not None:
            self._refuse(self._unasked())
        else:
            self.transport.close()

    # The end of a connection.

    def _unanswered(self) -> list[RequestResponseCycle]:
        """The requests that came before the one that is arriving, and have no whole answer yet."""
        cycles = self._ahead if self._phase is BODY or self.cycle is None else [*self._ahead, self.cycle]
        return [cycle for cycle in cycles if not (cycle.response_complete or cycle.disconnected)]

    def _refuse(self, error: XRouterError) -> None:
        """End the connection. Answer with the error unless earlier requests still wait for their answers."""
        if earlier := self._unanswered():
            earlier[-1].keep_alive = False
            self._phase = ENDED
            return
        own = self.cycle if self._phase is BODY else None
        if own is None or not own.response_started:
            context = self._context() if self._phase in (HEAD, BODY) else RequestContext()
            self.transport.write(refusal(error, context, self.server_state.default_headers))
        if own is not None and not own.response_complete:
            own.disconnected = True
            own.message_event.set()
        self.transport.close()

    def _context(self) -> RequestContext:
        scope = self.scope if self._phase is BODY else {"headers": self.headers}
        return RequestContext.of(cast("MutableMapping[str, Any]", scope))

    def _closing(self) -> bool:
        """The connection is about to close. Returns whether the client is in the middle of a request."""
        midway = self._phase in (HEAD, BODY) or (self._phase is FIRST and self._unasked is not None)
        self._phase = ENDED
        self._since = self.loop.time()
        self.flow.resume_reading()  # to throw the rest away
        return midway
