"""AdmissionMiddleware: refuse what this process has no room for, before it costs anything."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..admission import BodyBudget, LoopLag, MemoryGate, Reason, Refusals
from ..admission.bodies import SMALL
from ..admission.memory import REQUESTS_UNTIL, STREAMS_UNTIL
from ..asgi.excluded_paths import ExcludedPaths
from ..asgi.refusal import OnError, send_refusal
from ..asgi.responses import CLOSE
from ..context import RequestContext

_Refuse: TypeAlias = Callable[[Scope, Receive, Send, Reason], Awaitable[None]]

logger = logging.getLogger("xrouter")

_LATER = 5.0  # seconds until memory may be free again


class AdmissionMiddleware:
    """Answers 503 with `retry-after` while the event loop is late, memory runs out, or bodies take up too much of it.

    Running requests go on. At 85 % of the memory `LLMRouter` begins no new stream, at 95 % no request is let in. While
    the event loop is late, a share of the requests is refused. A body counts from its first byte to the end of its
    request; the first 64 KiB of it are never refused. One whose Content-Length is no larger is not even counted.

    Place it above everything but CORS: a refusal should cost no look-up of a key, no line in the log and no span.

    Args:
        app: Any ASGI application.
        lag: Sheds requests while the event loop is late; None for never.
        memory: Tells how much memory is used; None for no look at it.
        bodies: The budget of the bodies of requests; None for no bound.
        refusals: Counts what is refused.
        exclude_paths: Paths below the mount that are never refused: `/health`, or `/docs/*` for all below `/docs`.
        on_error: Turns a refusal of this middleware into the host's own answer. `LLMRouter` renders those of streams.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        lag: LoopLag | None = None,
        memory: MemoryGate | None = None,
        bodies: BodyBudget | None = None,
        refusals: Refusals | None = None,
        exclude_paths: Iterable[str] = (),
        on_error: OnError | None = None,
    ) -> None:
        self.app = app
        self._lag = lag
        self._memory = memory
        self._bodies = bodies
        self._refusals = refusals or Refusals()
        self._excluded = ExcludedPaths(exclude_paths)
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] not in ("http", "websocket") or self._excluded.match(scope):
            await self.app(scope, receive, send)
            return
        if self._memory is not None and self._memory.share() >= REQUESTS_UNTIL:
            await self._refuse(scope, receive, send, "memory")
            return
        if self._lag is not None and not self._lag.admit():
            error = self._refusals.refuse("loop_lag", retry_after=self._lag.retry_after)
            await send_refusal(scope, receive, send, error, on_error=self._on_error)
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        scope, context = RequestContext.within(scope)
        context.admit_stream = self._admit_stream
        if self._bodies is None or _is_small(scope):
            await self.app(scope, receive, send)
            return
        request = _CountedRequest(self._bodies, self._refuse, scope, receive, send)
        try:
            await self.app(scope, request.receive, request.send)
        except Exception:
            if not request.refused:
                raise
            logger.debug("An application failed because its client was refused", exc_info=True)
        finally:
            request.give_back()

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, reason: Reason) -> None:
        """Refuse for want of memory, and close the connection: it takes up memory, and the request may go on."""
        error = self._refusals.refuse(reason, retry_after=_LATER)
        await send_refusal(scope, receive, send, error, on_error=self._on_error, headers=[CLOSE])

    def _admit_stream(self) -> None:
        """Raise NotReady if no stream may begin."""
        if self._memory is not None and self._memory.share() >= STREAMS_UNTIL:
            raise self._refusals.refuse("memory", retry_after=_LATER)


def _is_small(scope: Scope) -> bool:
    """Whether the body says that it is small. Nearly all are, and cost nothing here."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return len(value) <= 5 and value.isdigit() and int(value) <= SMALL
    return False


class _CountedRequest:
    """Counts the body of one request.

    Over the budget it answers in the application's place, and tells the application that the client has left: no host
    turns that into an error of its own.
    """

    def __init__(self, budget: BodyBudget, refuse: _Refuse, scope: Scope, receive: Receive, send: Send) -> None:
        self._budget = budget
        self._refuse = refuse
        self._scope = scope
        self._receive = receive
        self._send = send
        self._key = ""
        self._size = 0
        self.refused = False
        self._started = False

    async def receive(self) -> Message:
        if self.refused:
            return {"type": "http.disconnect"}
        message = await self._receive()
        body = message.get("body", b"")
        if not body or self._started:
            return message
        if not self._size:
            self._key = RequestContext.of(self._scope).caller  # known by now: keys are checked before bodies
        reason = self._budget.take(len(body), self._key, before=self._size)
        if reason is None:
            self._size += len(body)
            return message
        self.refused = True
        self.give_back()
        await self._refuse(self._scope, self._receive, self._send, reason)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if not self.refused:
            self._started = True
            await self._send(message)

    def give_back(self) -> None:
        self._budget.give_back(self._size, self._key)
        self._size = 0
