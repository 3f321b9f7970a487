"""The router inside a Litestar app, at /llm.

uvicorn --app-dir examples mount_litestar:app
"""

from __future__ import annotations

from litestar import Litestar, get
from litestar.handlers import asgi

from xrouter_asgi import EchoProvider, LLMRouter

router = LLMRouter({"echo": EchoProvider()})


@get("/")
async def hello() -> dict[str, str]:
    return {"models": "/llm/v1/models"}


# `copy_scope`, since Litestar would otherwise change the scope that it shares with the router.
mounted = asgi("/llm", is_mount=True, copy_scope=True)(router)
app = Litestar([hello, mounted], lifespan=[router.lifespan])
