"""A local upstream that speaks OpenAI, such as Ollama or vLLM, inside a Starlette app with a lifespan of its own.

    LOCAL_URL=http://127.0.0.1:11434/v1 uvicorn --app-dir examples mount_starlette:app

Clients name the upstream's models with "local-" before them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount

from xrouter_asgi import LLMRouter, OpenAIProvider, Target
from xrouter_asgi.providers import Timeouts

local = OpenAIProvider(os.environ["LOCAL_URL"], timeouts=Timeouts(first=300.0))
router = LLMRouter({"local-*": Target(local, model="*")})


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    async with router.lifespan():
        # Whatever else the app opens and closes stands here.
        yield


app = Starlette(routes=[Mount("/llm", router)], lifespan=lifespan)
