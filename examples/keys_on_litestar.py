"""API keys in front of a Litestar app, and of the router that is mounted in it.

    API_KEY=xr_live_… uvicorn --app-dir examples keys_on_litestar:app

Litestar does not run the app's middleware for what is mounted: the router has its own.
"""

from __future__ import annotations

import os
from typing import Any

from litestar import Litestar, Request, get
from litestar.handlers import asgi
from litestar.middleware import DefineMiddleware

from xrouter_asgi import APIKey, APIKeyMiddleware, EchoProvider, LLMRouter, StaticKeys
from xrouter_asgi.keys import CachedKeys

# One cache for both.
keys = CachedKeys(StaticKeys({os.environ["API_KEY"]: APIKey("key_alice", owner="alice")}))
router = LLMRouter({"echo": EchoProvider()})


@get("/", media_type="text/plain")
async def hello(request: Request[Any, Any, Any]) -> str:
    return f"Hello, {request.user.display_name}.\n"


guard: Any = APIKeyMiddleware  # Litestar has types of its own for ASGI
mounted = asgi("/llm", is_mount=True, copy_scope=True)(APIKeyMiddleware(router, store=keys))
app = Litestar([hello, mounted], middleware=[DefineMiddleware(guard, store=keys)], lifespan=[router.lifespan])
