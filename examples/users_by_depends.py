"""The users of a FastAPI app call its models: found by `Depends`, with limits and spend of their own, in its traces.

    pip install "xrouter-asgi[sql,otlp-protobuf]"
    OTLP_URL=http://127.0.0.1:4318 uvicorn --app-dir examples users_by_depends:app

Then:

    curl -H "X-Session: 1234" http://127.0.0.1:8000/llm/v1/models
    curl -H "X-Session: 1234" http://127.0.0.1:8000/llm/v1/usage
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
    Price,
    Prices,
    Principal,
    RateLimitMiddleware,
    RequestEventsMiddleware,
    TracingMiddleware,
    as_response,
)
from xrouter_asgi.bookkeeping import Ledger
from xrouter_asgi.ledger import SQLLedger
from xrouter_asgi.router.usage import OwnUsage
from xrouter_asgi.telemetry import otlp_tracer_provider

# What the app has already: users, and traces.
SESSIONS = {"1234": "alice", "5678": "bob"}
spans = otlp_tracer_provider(os.environ["OTLP_URL"], service="site")
trace.set_tracer_provider(spans)


def current_user(x_session: Annotated[str, Header()] = "") -> str:
    if x_session not in SESSIONS:
        raise HTTPException(401, "Log in first.")
    return SESSIONS[x_session]


# What models take.
spent = SQLLedger(os.environ.get("LEDGER_URL", "sqlite:///usage.db"))
prices = Prices({"echo/echo": Price(input="0.15", output="0.60")})
router = LLMRouter({"echo": EchoProvider()}, usage=OwnUsage(spent))
ledger = Ledger(spent, prices=prices, models=router.models.entry)
limited = RateLimitMiddleware(router, limit="60/minute; 4 parallel; 5 USD/calendar day", prices=prices)
models = RequestEventsMiddleware(limited, observers=[ledger])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with router.lifespan():
        yield
    await ledger.aclose()  # writes what the last requests have cost
    spans.shutdown()


app = FastAPI(lifespan=lifespan)
app.add_middleware(TracingMiddleware)  # its spans hang below the one that FastAPI makes, from 0.142 on


@app.api_route("/llm/{path:path}", methods=["GET", "POST", "DELETE"], include_in_schema=False)
async def llm(request: Request, user: Annotated[str, Depends(current_user)]) -> Response:
    own = ("2/minute",) if user == "bob" else ()
    return as_response(models, request, principal=Principal(user, limits=own))
