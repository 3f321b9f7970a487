"""What passes between a server and an application for one request, counted once however many want to know."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import MethodType

from starlette.types import Message, Receive, Send

from ..context import RequestContext
from .responses import status_of, with_request_id

_GOOD_CODES = (1000, 1001, 1005)  # RFC 6455, 7.4.1: normal, going away, no code sent


class Exchange:
    """The one `receive` and the one `send` of a request or WebSocket, for all middlewares that look at what passes.

    The first of them puts it around the functions of the server, and passes `receive` and `send` of the exchange on.
    The next one finds it there. If something else has wrapped these functions in between, the next one makes its own.

    Every answer gets an `x-request-id`, unless the application sends one.

    Attributes:
        context: The request's.
        started: When it was made, in seconds of `time.perf_counter()`.
        status: Of the answer, or of a WebSocket's handshake; None while there is none.
        first_byte: Seconds from then to the head of the answer.
        received: Bytes of the bodies, as `sent`.
        complete: The answer ended as it should, and the client was there to take it.
        left: The client has gone.
        before_last: Called before the last message of an answer goes out.
    """

    __slots__ = (
        "_receive",
        "_send",
        "before_last",
        "complete",
        "context",
        "first_byte",
        "left",
        "received",
        "sent",
        "started",
        "status",
    )

    def __init__(self, context: RequestContext, receive: Receive, send: Send) -> None:
        self.context = context
        self.started = time.perf_counter()
        self.status: int | None = None
        self.first_byte: float | None = None
        self.received = 0
        self.sent = 0
        self.complete = False
        self.left = False
        self.before_last: list[Callable[[], None]] = []
        self._receive = receive
        self._send = send

    @classmethod
    def of(cls, context: RequestContext, receive: Receive, send: Send) -> Exchange:
        """The exchange that both functions belong to; a new one around them if there is none."""
        if isinstance(send, MethodType) and isinstance(exchange := send.__self__, cls) and receive == exchange.receive:
            return exchange
        return cls(context, receive, send)

    async def receive(self) -> Message:
        """Receive a message, and count it."""
        message = await self._receive()
        match message["type"]:
            case "http.request":
                self.received += len(message.get("body", b""))
            case "http.disconnect":
                self.left = True
            case "websocket.receive":
                self.received += _size(message)
            case "websocket.disconnect":
                self.complete = self.complete or message.get("code", 1005) in _GOOD_CODES
                self.left = True
        return message

    async def send(self, message: Message) -> None:
        """Send a message, and count it once the server has taken it and the client is there."""
        try:
            if message["type"] == "http.response.body":
                last = not message.get("more_body", False)
                if last and self.before_last:
                    self._tell_last()
                await self._send(message)
                if not self.left:
                    self.sent += len(message.get("body", b""))
                    self.complete = last
                return
            await self._send(with_request_id(message, self.context.request_id))
        except OSError:
            self.left = True
            raise
        if not self.left:
            self._note(message)

    def _tell_last(self) -> None:
        told, self.before_last = self.before_last, []
        for tell in told:
            tell()

    def _note(self, message: Message) -> None:
        if self.status is None and (status := status_of(message)):
            self.status = status
            self.first_byte = time.perf_counter() - self.started
        match message["type"]:
            case "websocket.http.response.body" | "http.response.zerocopysend":
                self.sent += len(message.get("body", b""))
                self.complete = not message.get("more_body", False)
            case "http.response.pathsend" | "websocket.close":
                self.complete = True
            case "websocket.send":
                self.sent += _size(message)


def _size(message: Message) -> int:
    text = message.get("text")
    return len(text.encode("utf-8", "replace")) if text is not None else len(message.get("bytes") or b"")
