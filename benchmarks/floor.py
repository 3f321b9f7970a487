"""What a gateway is measured against: bare ASGI apps that only forward, with httpx over aiohttp, or as it comes."""

from __future__ import annotations

import os
from collections.abc import Callable

import httpx
from httpx_aiohttp import AiohttpTransport
from starlette.types import ASGIApp, Receive, Scope, Send


def _forwarder(transport: Callable[[], httpx.AsyncBaseTransport | None]) -> ASGIApp:
    clients: list[httpx.AsyncClient] = []  # made by the first request, when there is an event loop

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the body, and the answer as it comes."""
        if scope["type"] != "http":
            return
        if not clients:
            clients.append(httpx.AsyncClient(transport=transport(), timeout=60))
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {"content-type": "application/json", "authorization": "Bearer x"}
        url = os.environ["BENCH_UPSTREAM"] + scope["path"]
        async with clients[0].stream("POST", url, content=body, headers=headers) as answer:
            kind = answer.headers["content-type"].encode()
            head = {"type": "http.response.start", "status": answer.status_code, "headers": [(b"content-type", kind)]}
            await send(head)
            async for data in answer.aiter_raw():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body"})

    return app


app = _forwarder(AiohttpTransport)
plain = _forwarder(lambda: None)
