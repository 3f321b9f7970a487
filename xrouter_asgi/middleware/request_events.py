"""RequestEventsMiddleware: measure each request, and tell observers when it starts and ends."""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..asgi.excluded_paths import ExcludedPaths
from ..asgi.responses import status_of, with_request_id
from ..context import RequestContext, tell
from ..events import Observer, RequestEnded, RequestStarted

_GOOD_CODES = (1000, 1001, 1005)  # RFC 6455, 7.4.1: normal, going away, no code sent


class RequestEventsMiddleware:
    """Measures each request or WebSocket, and tells observers when it has ended, also when it was cut off.

    Every answer gets an `x-request-id`, unless the application sends one, so that a complaint leads to its line in the
    log.

    Place it below tracing, so that events carry the trace, and above whatever refuses, so that refusals are told.

    Args:
        app: Any ASGI application.
        observers: Called with `RequestStarted`, with the events of a router inside, and with `RequestEnded`: an
            `AccessLog`, `Metrics`, `Alerts`, or a callable of your own.
        exclude_paths: Paths below the mount that observers are not told of: `/health`, or `/docs/*` for all below
            `/docs`.
    """

    def __init__(self, app: ASGIApp, *, observers: Iterable[Observer], exclude_paths: Iterable[str] = ()) -> None:
        self.app = app
        self._observers = tuple(observers)
        self._inside = [each for each in self._observers if not getattr(each, "requests_only", False)]
        self._excluded = ExcludedPaths(exclude_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] not in ("http", "websocket") or self._excluded.match(scope):
            await self.app(scope, receive, send)
            return
        scope, context = RequestContext.within(scope)
        context.observers.extend(self._inside)
        measured = _MeasuredRequest(context, receive, send)
        tell(self._observers, RequestStarted(context))
        try:
            await self.app(scope, measured.receive, measured.send)
        except CancelledError:
            measured.cancelled = True
            raise
        finally:
            # Not context.emit(): another middleware of this kind may stand further out, and tells its own observers.
            tell(self._observers, measured.ended(scope))


class _MeasuredRequest:
    """Counts what passes through `receive` and `send`, of HTTP or of a WebSocket."""

    def __init__(self, context: RequestContext, receive: Receive, send: Send) -> None:
        self.cancelled = False
        self._context = context
        self._receive = receive
        self._send = send
        self._started = time.perf_counter()
        self._status: int | None = None
        self._first_byte: float | None = None
        self._received = 0
        self._sent = 0
        self._finished = False
        self._left = False

    async def receive(self) -> Message:
        message = await self._receive()
        match message["type"]:
            case "http.request":
                self._received += len(message.get("body", b""))
            case "http.disconnect":
                self._left = True
            case "websocket.receive":
                self._received += _size(message)
            case "websocket.disconnect":
                self._finished = self._finished or message.get("code", 1005) in _GOOD_CODES
                self._left = True
        return message

    async def send(self, message: Message) -> None:
        """Send a message, and count it once the server has taken it and the client is there."""
        try:
            if message["type"] == "http.response.body":
                await self._send(message)
                if not self._left:
                    self._sent += len(message.get("body", b""))
                    self._finished = not message.get("more_body", False)
                return
            await self._send(with_request_id(message, self._context.request_id))
        except OSError:
            self._left = True
            raise
        if not self._left:
            self._note(message)

    def _note(self, message: Message) -> None:
        if self._status is None and (status := status_of(message)):
            self._status = status
            self._first_byte = time.perf_counter() - self._started
        match message["type"]:
            case "websocket.http.response.body" | "http.response.zerocopysend":
                self._sent += len(message.get("body", b""))
                self._finished = not message.get("more_body", False)
            case "http.response.pathsend" | "websocket.close":
                self._finished = True
            case "websocket.send":
                self._sent += _size(message)

    def ended(self, scope: Scope) -> RequestEnded:
        """The measurements. Status 500 if the application raised or said nothing, because the server answers so."""
        status = self._status
        if status is None and not self._left and not self.cancelled:
            status = 500
        client = scope.get("client")
        return RequestEnded(
            context=self._context,
            method=scope.get("method", "GET"),
            path=scope["path"],
            status=status,
            complete=self._finished,
            duration=time.perf_counter() - self._started,
            first_byte=self._first_byte,
            received=self._received,
            sent=self._sent,
            client=client[0] if client else None,
        )


def _size(message: Message) -> int:
    text = message.get("text")
    return len(text.encode("utf-8", "replace")) if text is not None else len(message.get("bytes") or b"")
