"""What each request took, told to observers: the access log, metrics."""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..asgi.responses import status_of, with_request_id
from ..context import RequestContext, tell
from ..events import Observer, RequestEnded, RequestStarted
from ..telemetry.access_log import AccessLog

_GOOD_CODES = (1000, 1001, 1005)  # RFC 6455, 7.4.1: normal, going away, none given


class RequestEventsMiddleware:
    """Measure each request, or each WebSocket, and tell observers when it has ended, also when it was cut off.

    Answers get an `x-request-id` if the inside sets none, so that a line and a complaint can be brought together.

    Args:
        app: What to measure; any ASGI application.
        observers: Called with `RequestStarted`, the `AttemptStarted` and `AttemptEnded` of a router inside, and
            `RequestEnded`; None is an `AccessLog`.

    Place it below tracing, so that a line bears the trace, and above whatever refuses, so that refusals have a line.
    """

    def __init__(self, app: ASGIApp, *, observers: Iterable[Observer] | None = None) -> None:
        self.app = app
        self._observers = [AccessLog()] if observers is None else list(observers)
        # A line tells what all attempts came to, not of each.
        self._watching_attempts = [each for each in self._observers if not isinstance(each, AccessLog)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope = dict(scope)
        context = RequestContext.of(scope)
        context.observers.extend(self._watching_attempts)
        exchange = _Exchange(context, receive, send)
        tell(self._observers, RequestStarted(context))
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.raised = error
            raise
        finally:
            # Not to all observers of the request: another one of these middlewares further out has its own.
            tell(self._observers, exchange.ended(scope))


class _Exchange:
    """Counts what goes through `receive` and `send`, of HTTP or of a WebSocket."""

    def __init__(self, context: RequestContext, receive: Receive, send: Send) -> None:
        self.raised: BaseException | None = None
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
        """Counts on the way in."""
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
        """Counts on the way out, after the server took it: nothing is counted that went to nobody."""
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
            case "websocket.http.response.body":
                self._sent += len(message.get("body", b""))
                self._finished = not message.get("more_body", False)
            case "http.response.zerocopysend":
                self._finished = not message.get("more_body", False)
            case "http.response.pathsend" | "websocket.close":
                self._finished = True
            case "websocket.send":
                self._sent += _size(message)

    def ended(self, scope: Scope) -> RequestEnded:
        """What there is to tell. What the application raises, or its silence, the server answers with 500."""
        status = self._status
        if status is None and not self._left and not isinstance(self.raised, CancelledError):
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
