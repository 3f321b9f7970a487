"""Limits on a FastAPI app with models in it: of requests everywhere, of tokens where there are models.

    uvicorn --app-dir examples limits_on_fastapi:app

Several processes share their counts when LIMITS_URL is that of a Redis or Valkey, such as redis://127.0.0.1:6379.
"""

from __future__ import annotations

import os

from fastapi import FastAPI

from xrouter_asgi import EchoProvider, LLMRouter, RateLimitMiddleware

router = LLMRouter({"echo": EchoProvider(), "echo-small": EchoProvider()})
app = FastAPI(lifespan=router.lifespan)
app.mount("/llm", router)
app.add_middleware(
    RateLimitMiddleware,
    limit="60/minute per address; 100000 tokens/minute per address; 8 parallel per address",
    models={"*-small": "200 tokens/minute per address"},
    store=os.environ.get("LIMITS_URL", "memory://"),
    exclude_paths=("/health",),
)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
