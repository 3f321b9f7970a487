"""Limits on a Litestar app: two requests at once, and three a minute from each address.

uvicorn --app-dir examples limits_on_litestar:app
"""

from __future__ import annotations

from typing import Any

from litestar import Litestar, get
from litestar.middleware import DefineMiddleware

from xrouter_asgi import RateLimitMiddleware


@get("/", media_type="text/plain")
async def hello() -> str:
    return "Hello.\n"


limiter: Any = RateLimitMiddleware  # Litestar has types of its own for ASGI
app = Litestar([hello], middleware=[DefineMiddleware(limiter, limit="3/minute; 2 parallel")])
