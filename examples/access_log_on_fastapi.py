"""One line for each request to a FastAPI app, and to the router that is mounted in it.

    uvicorn --app-dir examples access_log_on_fastapi:app --no-access-log

uvicorn's own log would write the query strings of URLs, and keys with them. `AccessLog` writes JSON to standard output,
or readable lines to a terminal.
"""

from __future__ import annotations

from fastapi import FastAPI

from xrouter_asgi import AccessLog, EchoProvider, LLMRouter, RequestEventsMiddleware

router = LLMRouter({"echo": EchoProvider()})
app = FastAPI(lifespan=router.lifespan)
app.add_middleware(RequestEventsMiddleware, observers=[AccessLog()])
app.mount("/llm", router)


@app.get("/")
async def hello() -> dict[str, str]:
    return {"models": "/llm/v1/models"}
