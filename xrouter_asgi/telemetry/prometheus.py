"""What is measured, in Prometheus' text."""

from __future__ import annotations

import asyncio
from threading import Lock
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from ..asgi.responses import NOSNIFF
from ..asgi.routes import Routes
from ..asgi.sending import Outgoing
from ..context import RequestContext
from .summing import Families, SummedMetrics, families_of

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader

SHORTEST_TOKEN = 16
"""Characters. Nothing slows down who guesses."""


class MetricsApp:
    """An ASGI application that shows Prometheus what was measured, on whatever path it is mounted or on its own port.

        shown = MetricsApp(token=os.environ["METRICS_TOKEN"])
        metrics = Metrics(MeterProvider([shown.reader]), models=router.models)
        app = RequestEventsMiddleware(router, observers=[AccessLog(), metrics])

    Args:
        token: The bearer token to demand, of 16 characters or more; None shows everything to whoever gets here.
        sums: Show these in place of what `reader` reads.

    Attributes:
        reader: To be given to the `MeterProvider` whose metrics are to be shown.

    Raises ImportError without the extra `prometheus`, and ValueError for a token that is too short.
    """

    def __init__(self, *, token: str | None = None, sums: SummedMetrics | None = None) -> None:
        try:
            from opentelemetry.exporter.prometheus import PrometheusMetricReader
            from prometheus_client import CollectorRegistry
        except ImportError as error:
            raise ImportError(
                'MetricsApp needs OpenTelemetry\'s exporter for Prometheus: pip install "xrouter-asgi[prometheus]".'
            ) from error
        if token is not None and len(token) < SHORTEST_TOKEN:
            raise ValueError(
                f"The token has {len(token)} characters. Take {SHORTEST_TOKEN} or more: openssl rand -hex 32"
            )
        methods = {"GET": self._show, "HEAD": self._show}
        self._routes = Routes({"/{path:path}": methods}, token=token, realm="metrics")
        self._registry = CollectorRegistry()
        self._lock = Lock()
        self.reader: MetricReader = PrometheusMetricReader(
            registry=self._registry if sums is None else CollectorRegistry(), scope_info_enabled=False
        )
        if sums is not None:
            self._registry.register(sums)

    def families(self) -> Families:
        """What was measured so far, for a process that adds up what several measured."""
        with self._lock:
            return families_of(self._registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope: GET or HEAD on any path."""
        await self._routes(scope, receive, send)

    async def _show(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, path: str) -> None:
        accepted = next((value for name, value in scope["headers"] if name == b"accept"), b"").decode("latin-1")
        # In a thread: many series take longer than a stream should wait for its next chunk.
        body, content_type = await asyncio.to_thread(self._render, accepted)
        fields = [(b"content-type", content_type.encode("ascii")), NOSNIFF, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    def _render(self, accepted: str) -> tuple[bytes, str]:
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accepted)
        with self._lock:  # two collections at once would mix in the exporter
            return encode(self._registry), content_type
