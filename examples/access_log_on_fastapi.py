"""One line for each request to a FastAPI app, and to the router that is mounted in it.

    uvicorn --app-dir examples access_log_on_fastapi:app --no-access-log

uvicorn's own log would write the query strings of URLs, and keys with them. `AccessLogMiddleware` writes JSON to the
standard output, or lines for the eye to a terminal.
"""

from __future__ import annotations

from fastapi import FastAPI

from xrouter_asgi import AccessLogMiddleware, EchoProvider, LLMRouter

router = LLMRouter({"echo": EchoProvider()})
app = FastAPI(lifespan=router.lifespan)
app.add_middleware(AccessLogMiddleware)
app.mount("/llm", router)


@app.get("/")
async def hello() -> dict[str, str]:
    return {"models": "/llm/v1/models"}
