"""What is measured, for Prometheus to read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from starlette.types import Receive, Scope, Send

from ..asgi.responses import NOSNIFF
from ..asgi.routes import Routes
from ..asgi.sending import Outgoing
from ..context import RequestContext
from .exposition import Format, exposition, format_for
from .instruments import Measurements
from .otlp_json import SERVICE, resource_of

SHORTEST_TOKEN = 16
"""Characters. Nothing slows down who guesses."""


class MetricsApp:
    """An ASGI application that shows Prometheus what was measured, on whatever path it is mounted or on its own port.

        metrics = Metrics(models=router.models)
        shown = MetricsApp(metrics, token=os.environ["METRICS_TOKEN"])
        app = RequestEventsMiddleware(router, observers=[AccessLog(), metrics])

    It writes Prometheus' text, and OpenMetrics where that is accepted.

    Args:
        metrics: `Metrics` without a `MeterProvider`.
        token: The bearer token to demand, of 16 characters or more; None shows everything to whoever gets here.
        resource: OpenTelemetry's attributes of the process, for `target_info`. `service.name` is `xrouter` if absent.

    Raises ValueError for metrics that a `MeterProvider` has, and for a token that is too short.
    """

    def __init__(
        self,
        metrics: Measurements,
        *,
        token: str | None = None,
        resource: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        metrics.snapshot()  # raises now what it would raise when Prometheus asks
        if token is not None and len(token) < SHORTEST_TOKEN:
            raise ValueError(
                f"The token has {len(token)} characters. Take {SHORTEST_TOKEN} or more: openssl rand -hex 32"
            )
        self._metrics = metrics
        self._resource = resource_of(SERVICE, resource)
        methods = {"GET": self._show, "HEAD": self._show}
        self._routes = Routes({"/{path:path}": methods}, token=token, realm="metrics")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope: GET or HEAD on any path."""
        await self._routes(scope, receive, send)

    async def _show(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, path: str) -> None:
        accepted = next((value for name, value in scope["headers"] if name == b"accept"), b"").decode("latin-1")
        format = format_for(accepted)
        # In a thread: many series take longer than a stream should wait for its next chunk.
        body = await asyncio.to_thread(self._written, format)
        content_type = format.content_type.encode("ascii")
        fields = [(b"content-type", content_type), NOSNIFF, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    def _written(self, format: Format) -> bytes:
        return exposition(self._metrics.snapshot(), format, resource=self._resource)
