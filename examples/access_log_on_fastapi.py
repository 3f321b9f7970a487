"""One line for each request to a FastAPI app, and to the router that is mounted in it.

    uvicorn --app-dir examples access_log_on_fastapi:app --no-access-log

uvicorn's own log would write the query strings of URLs, and keys with them. `RequestEventsMiddleware` writes JSON to
standard output, or lines for the eye to a terminal.
"""

from __future__ import annotations

from fastapi import FastAPI

from xrouter_asgi import EchoProvider, LLMRouter, RequestEventsMiddleware

router = LLMRouter({"echo": EchoProvider()})
app = FastAPI(lifespan=router.lifespan)
app.add_middleware(RequestEventsMiddleware)
app.mount("/llm", router)


@app.get("/")
async def hello() -> dict[str, str]:
    return {"models": "/llm/v1/models"}
