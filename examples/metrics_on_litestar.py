"""Metrics of a Litestar app, and of the router that is mounted in it, for Prometheus at /metrics.

    uvicorn --app-dir examples metrics_on_litestar:app

Whoever reaches /metrics sees them: `MetricsApp(metrics, token=…)` demands a bearer token.
"""

from __future__ import annotations

from typing import Any

from litestar import Litestar, get
from litestar.handlers import asgi
from litestar.middleware import DefineMiddleware

from xrouter_asgi import EchoProvider, LLMRouter, Metrics, MetricsApp, RequestEventsMiddleware

router = LLMRouter({"echo": EchoProvider()})
metrics = Metrics(models=router.models)


@get("/", media_type="text/plain")
async def hello() -> str:
    return "Hello.\n"


measured: Any = RequestEventsMiddleware  # Litestar has types of its own for ASGI
app = Litestar(
    [
        hello,
        # Litestar does not run the app's middleware for what is mounted: the router has its own.
        asgi("/llm", is_mount=True, copy_scope=True)(RequestEventsMiddleware(router, observers=[metrics])),
        asgi("/metrics", copy_scope=True)(MetricsApp(metrics)),
    ],
    middleware=[DefineMiddleware(measured, observers=[metrics])],
    lifespan=[router.lifespan],
)
