"""What a gateway is measured against: a bare ASGI app that only forwards, with httpx over its aiohttp transport."""

from __future__ import annotations

import os
from typing import Any

import httpx
from httpx_aiohttp import AiohttpTransport

_client: httpx.AsyncClient | None = None


def _shared_client() -> httpx.AsyncClient:
    global _client
    if _client is None:
        _client = httpx.AsyncClient(transport=AiohttpTransport(), timeout=60)
    return _client


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Forward the body, and the answer as it comes."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {"content-type": "application/json", "authorization": "Bearer x"}
    url = os.environ["BENCH_UPSTREAM"] + scope["path"]
    async with _shared_client().stream("POST", url, content=body, headers=headers) as answer:
        kind = answer.headers["content-type"].encode()
        await send({"type": "http.response.start", "status": answer.status_code, "headers": [(b"content-type", kind)]})
        async for data in answer.aiter_raw():
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body"})
