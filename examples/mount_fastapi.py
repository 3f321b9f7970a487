"""GigaChat inside a FastAPI app, at /llm.

    GIGACHAT_CREDENTIALS=KEY uvicorn --app-dir examples mount_fastapi:app

Then point any OpenAI client at http://127.0.0.1:8000/llm/v1.
"""

from __future__ import annotations

import os

from fastapi import FastAPI

from xrouter_asgi import EchoProvider, GigaChatProvider, LLMRouter

router = LLMRouter(
    {
        "GigaChat-2-Pro": GigaChatProvider(credentials=os.environ["GIGACHAT_CREDENTIALS"]),
        "echo": EchoProvider(),
    }
)
app = FastAPI(lifespan=router.lifespan)
app.mount("/llm", router)


@app.get("/")
async def hello() -> dict[str, str]:
    return {"models": "/llm/v1/models"}
