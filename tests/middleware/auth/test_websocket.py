from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Scope

from tests.asgi_client import Headers
from tests.serving import hypercorn_here, uvicorn_here
from xrouter_asgi import APIKeyMiddleware, Principal, XRouterError
from xrouter_asgi.errors import PermissionDenied
from xrouter_asgi.keys import new_secret

from .guarded import BEARER, SECRET, CountingKeys, Inside, bearer

SERVERS: dict[str, Callable[[ASGIApp], AbstractAsyncContextManager[str]]] = {
    "uvicorn": lambda app: uvicorn_here(app, ws="wsproto"),
    "hypercorn": hypercorn_here,
}


async def handshake(url: str, *headers: str) -> tuple[int, bytes, bytes]:
    """Ask for a WebSocket; status, head and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    lines = [
        "GET /socket HTTP/1.1",
        "Host: x",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *headers,
    ]
    try:
        async with asyncio.timeout(10):
            writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            status = int(head.split()[1])
            body = b"" if status == 101 else await reader.read()
    finally:
        writer.close()
    return status, head, body


@pytest.mark.parametrize("server", SERVERS)
async def test_a_websocket_without_a_key_is_answered_with_401(server: str) -> None:
    inside = Inside()
    async with SERVERS[server](APIKeyMiddleware(inside, store=CountingKeys())) as url:
        status, head, body = await handshake(url)
        assert status == 401
        assert b'\r\nwww-authenticate: bearer realm="xrouter"\r\n' in head
        assert json.loads(body)["error"]["code"] is None
        status, head, body = await handshake(url, f"Authorization: Bearer {new_secret()}")
        assert status == 401
        assert b'error="invalid_token"' in head
        assert json.loads(body)["error"]["code"] == "invalid_api_key"
    assert [scope["type"] for scope in inside.scopes if scope["type"] != "lifespan"] == []


@pytest.mark.parametrize("server", SERVERS)
async def test_a_websocket_with_a_key_is_accepted(server: str) -> None:
    inside = Inside()
    async with SERVERS[server](APIKeyMiddleware(inside, store=CountingKeys())) as url:
        assert (await handshake(url, f"Authorization: Bearer {SECRET}"))[0] == 101
    (scope,) = [scope for scope in inside.scopes if scope["type"] == "websocket"]
    assert scope["user"].identity == "key_00000001"


async def asked_by_hand(app: ASGIApp, *, headers: Headers = (), **more: Any) -> list[Message]:
    """What a server without the extension, or with the members in `more`, is sent."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": headers, "client": None, **more}
    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize("more", [{}, {"extensions": None}, {"extensions": {"other": {}}}], ids=str)
async def test_it_is_closed_where_the_server_cannot_answer(more: dict[str, Any]) -> None:
    inside = Inside()
    app = APIKeyMiddleware(inside, store=CountingKeys(), on_error=lambda scope, error: Inside())
    (message,) = await asked_by_hand(app, headers=bearer(new_secret()), **more)
    assert (message["type"], message["code"]) == ("websocket.close", 1008)
    assert message["reason"] == "Incorrect API key provided. It is unknown, expired or revoked."
    assert inside.scopes == []
    assert (await asked_by_hand(app, headers=BEARER, **more))[0]["type"] == "websocket.accept"


async def test_the_reason_for_closing_fits_into_its_frame() -> None:
    def identify(scope: Scope) -> Principal | None:
        raise PermissionDenied("Сюда нельзя. " * 20)

    (message,) = await asked_by_hand(APIKeyMiddleware(Inside(), identify=identify))
    assert 119 < len(message["reason"].encode()) <= 123
    assert message["reason"].startswith("Сюда нельзя. Сюда")


async def test_what_the_host_renders_reaches_a_websocket_too() -> None:
    """Starlette's responses know of WebSockets, other applications may not."""

    def by_starlette(scope: Scope, error: XRouterError) -> ASGIApp:
        return PlainTextResponse("inside", 403)

    for on_error in (by_starlette, lambda scope, error: _Plain()):
        app = APIKeyMiddleware(Inside(), store=CountingKeys(), on_error=on_error)
        start, body = await asked_by_hand(app, extensions={"websocket.http.response": {}})
        assert (start["type"], body["type"]) == ("websocket.http.response.start", "websocket.http.response.body")
        assert (start["status"], body["body"]) == (403, b"inside")
        assert (b"www-authenticate", b'Bearer realm="xrouter"') in list(start["headers"])


class _Plain:
    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})
