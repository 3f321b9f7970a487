"""API keys in front of a Starlette app that has nothing to do with models.

    API_KEY=xr_live_… uvicorn --app-dir examples keys_on_starlette:app

Make a key with `xrouter keys create`, or take any other secret that cannot be guessed. Then:

    curl -H "Authorization: Bearer $API_KEY" http://127.0.0.1:8000/
"""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from xrouter_asgi import APIKey, APIKeyMiddleware, StaticKeys, XRouterError

keys = StaticKeys({os.environ["API_KEY"]: APIKey("key_alice", owner="alice")})


def refused(scope: Scope, error: XRouterError) -> Response:
    """A refusal in this app's own manner, in place of the error envelope of OpenAI."""
    return PlainTextResponse(error.message + "\n", error.status)


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"Hello, {request.user.display_name}.\n")


async def health(request: Request) -> Response:
    return PlainTextResponse("ok\n")


app = Starlette(
    routes=[Route("/", hello), Route("/health", health)],
    middleware=[Middleware(APIKeyMiddleware, store=keys, exclude_paths=["/health"], on_error=refused)],
)
