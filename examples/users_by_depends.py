"""The users of a FastAPI app call its models: found by `Depends`, with limits of their own, in the traces of the app.

    pip install "xrouter-asgi[otlp-protobuf]"
    OTLP_URL=http://127.0.0.1:4318 uvicorn --app-dir examples users_by_depends:app

Then:

    curl -H "X-Session: 1234" http://127.0.0.1:8000/llm/v1/models
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from opentelemetry import trace

from xrouter_asgi import (
    EchoProvider,
    LLMRouter,
    Principal,
    RateLimitMiddleware,
    TracingMiddleware,
    as_response,
)
from xrouter_asgi.telemetry import otlp_tracer_provider

SESSIONS = {"1234": "alice", "5678": "bob"}


def current_user(x_session: Annotated[str, Header()] = "") -> str:
    """Whatever the app has already: a session, a token, a database."""
    if x_session not in SESSIONS:
        raise HTTPException(401, "Log in first.")
    return SESSIONS[x_session]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with router.lifespan():
        yield
    spans.shutdown()


spans = otlp_tracer_provider(os.environ["OTLP_URL"], service="site")
trace.set_tracer_provider(spans)
router = LLMRouter({"echo": EchoProvider()})
models = RateLimitMiddleware(router, limit="60/minute; 100000 tokens/day; 4 parallel")
app = FastAPI(lifespan=lifespan)
app.add_middleware(TracingMiddleware)  # its spans hang below the one that FastAPI makes, from 0.142 on


@app.api_route("/llm/{path:path}", methods=["GET", "POST", "DELETE"], include_in_schema=False)
async def llm(request: Request, user: Annotated[str, Depends(current_user)]) -> Response:
    limits = ("2/minute",) if user == "bob" else ()
    return as_response(models, request, principal=Principal(user, limits=limits))
