"""RequestEventsMiddleware: measure each request, and tell observers when it starts and ends."""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import Iterable
from operator import attrgetter

from starlette.types import ASGIApp, Receive, Scope, Send

from ..asgi.exchange import Exchange
from ..asgi.excluded_paths import ExcludedPaths
from ..context import RequestContext, tell
from ..events import IncidentObserver, Observer, RequestEnded, RequestObserver, RequestStarted


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
        observers = tuple(observers)
        of_incidents = (each for each in observers if isinstance(each, IncidentObserver))
        of_all = (each for each in observers if not isinstance(each, (RequestObserver, IncidentObserver)))
        # Their methods: a call of an object that is no function takes twice the instructions.
        methods = [map(attrgetter("__call__"), each) for each in (observers, of_incidents, of_all)]
        self._observers, self._of_incidents, self._of_all = map(tuple[Observer, ...], methods)
        self._running = 0
        self._excluded = ExcludedPaths(exclude_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] not in ("http", "websocket") or self._excluded.match(scope):
            await self.app(scope, receive, send)
            return
        scope, context = RequestContext.within(scope)
        context.observers.extend(self._of_all)
        context.incident_observers += self._of_incidents
        exchange = Exchange.of(context, receive, send)
        if self._of_all:
            tell(self._of_all, RequestStarted(context))
        self._running += 1
        cancelled = False
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except CancelledError:
            cancelled = True
            raise
        finally:
            self._running -= 1
            # Not context.emit(): another middleware of this kind may stand further out, and tells its own observers.
            tell(self._observers, _ended(scope, exchange, cancelled=cancelled, running=self._running))


def _ended(scope: Scope, exchange: Exchange, *, cancelled: bool, running: int) -> RequestEnded:
    """What was measured. Status 500 if the application raised or said nothing, because the server answers so."""
    status = exchange.status
    if status is None and not exchange.left and not cancelled:
        status = 500
    client = scope.get("client")
    return RequestEnded(
        context=exchange.context,
        method=scope.get("method", "GET"),
        path=scope["path"],
        status=status,
        complete=exchange.complete,
        duration=time.perf_counter() - exchange.started,
        first_byte=exchange.first_byte,
        received=exchange.received,
        sent=exchange.sent,
        client=client[0] if client else None,
        running=running,
    )
