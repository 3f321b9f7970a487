"""The users of a FastAPI app call its models: no keys but the sessions that the app has already.

    uvicorn --app-dir examples users_on_fastapi:app

Then:

    curl -H "X-Session: 1234" http://127.0.0.1:8000/llm/v1/models
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.types import Scope

from xrouter_asgi import APIKeyMiddleware, EchoProvider, LLMRouter, Principal

SESSIONS = {"1234": "alice"}


async def identify(scope: Scope) -> Principal | None:
    """Who is calling, from wherever the app keeps that: a session, a token, a database. None is answered with 401."""
    user = SESSIONS.get(HTTPConnection(scope).headers.get("x-session", ""))
    return Principal(user, models=("echo",)) if user else None


router = LLMRouter({"echo": EchoProvider(), "secret": EchoProvider(models=["secret"])})
app = FastAPI(lifespan=router.lifespan)
app.mount("/llm", APIKeyMiddleware(router, identify=identify))
