"""An id and a trace for each request to a Starlette app that has nothing to do with models.

    pip install xrouter-asgi uvicorn
    OTLP_URL=http://127.0.0.1:4318 uvicorn --app-dir examples tracing_on_starlette:app

The spans go to a collector that takes OTLP over HTTP: OpenTelemetry's own, Jaeger, Tempo, …
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from xrouter_asgi import OTLPTracer, TracingMiddleware
from xrouter_asgi.telemetry import Collector

tracer = OTLPTracer(Collector(os.environ["OTLP_URL"]), service="hello")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    yield
    await tracer.aclose()  # sends the spans that wait


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Hello.\n")


# Around the whole app, so that also the answers of Starlette itself bear an id.
app = TracingMiddleware(Starlette(routes=[Route("/", hello)], lifespan=lifespan), tracer=tracer)
