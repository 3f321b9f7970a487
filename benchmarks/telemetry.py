"""What tracing, the access log and metrics add to a request, one by one: `python -m benchmarks.telemetry`.

Microseconds of CPU for a chat through the router to a provider that answers at once, in process. All kinds take turns,
so that whatever else the machine does falls on all of them; the quickest round of each counts. Spans go to an exporter
that drops them.
"""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Sequence

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler
from starlette.types import ASGIApp, Message

from tests.asgi_client import http_scope
from xrouter_asgi import (
    AccessLog,
    EchoProvider,
    LLMRouter,
    Metrics,
    OTLPTracer,
    RequestEventsMiddleware,
    Target,
    TracingMiddleware,
)
from xrouter_asgi.telemetry import Collector, LineBuffer

ROUNDS = 40
REQUESTS = 100


class _Dropped(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class _DroppingCollector(Collector):
    async def post(self, path: str, document: bytes, *, within: float = 0) -> int:
        return 0


def _dropping(share: float = 1.0) -> OTLPTracer:
    return OTLPTracer(_DroppingCollector(), share=share)


def _tracer_provider(sampler: Sampler | None = None) -> TracerProvider:
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(BatchSpanProcessor(_Dropped()))
    return provider


def _apps() -> dict[str, ASGIApp]:
    router = LLMRouter({"echo": Target(EchoProvider(), model="echo")})
    log = AccessLog(LineBuffer(io.StringIO()))
    metrics = Metrics(models=router.models)
    sdk_metrics = Metrics(MeterProvider([InMemoryMetricReader()]), models=router.models)
    return {
        "router alone": router,
        "tracing, no provider": TracingMiddleware(router),
        "tracing, not sampled": TracingMiddleware(router, tracer=_dropping(share=0.0)),
        "by the SDK, not sampled": TracingMiddleware(router, tracer_provider=_tracer_provider(ALWAYS_OFF)),
        "tracing": TracingMiddleware(router, tracer=_dropping()),
        "tracing by the SDK": TracingMiddleware(router, tracer_provider=_tracer_provider()),
        "measuring, no observer": RequestEventsMiddleware(router, observers=[]),
        "access log": RequestEventsMiddleware(router, observers=[log]),
        "metrics": RequestEventsMiddleware(router, observers=[metrics]),
        "metrics of a MeterProvider": RequestEventsMiddleware(router, observers=[sdk_metrics]),
        "all": TracingMiddleware(RequestEventsMiddleware(router, observers=[log, metrics]), tracer=_dropping()),
    }


async def _cpu(app: ASGIApp, body: bytes) -> float:
    """Microseconds for one request, the mean of many."""
    begin = time.process_time()
    for _ in range(REQUESTS):
        messages: list[Message] = [{"type": "http.request", "body": body}]

        async def receive(messages: list[Message] = messages) -> Message:
            if not messages:
                await asyncio.Event().wait()
            return messages.pop()

        await app(http_scope("POST", "/v1/chat/completions"), receive, _send)
    return (time.process_time() - begin) / REQUESTS * 1e6


async def _send(message: Message) -> None:
    pass


async def main() -> None:
    for stream in (False, True):
        request = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        body = json.dumps(request).encode()
        apps = _apps()
        taken: dict[str, list[float]] = {name: [] for name in apps}
        for _ in range(ROUNDS):
            for name, app in apps.items():
                taken[name].append(await _cpu(app, body))
        print("stream" if stream else "whole answer")
        floor = min(taken["router alone"])
        for name, each in taken.items():
            print(f"  {name:28}{min(each):8.1f} us  {min(each) - floor:+8.1f}")


if __name__ == "__main__":
    asyncio.run(main())
