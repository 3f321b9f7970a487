"""Limits on a Starlette app that has nothing to do with models: each tenant has three requests a minute.

uvicorn --app-dir examples limits_on_starlette:app
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Scope

from xrouter_asgi import RateLimitMiddleware


def tenant(scope: Scope) -> str:
    """The first part of the path; put here whatever tells your tenants apart."""
    return str(scope["path"]).split("/")[1]


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"Hello, {request.path_params['tenant']}.\n")


app = Starlette(
    routes=[Route("/{tenant}", hello)],
    middleware=[Middleware(RateLimitMiddleware, limit="3/minute", key=tenant, ietf=True)],
)
