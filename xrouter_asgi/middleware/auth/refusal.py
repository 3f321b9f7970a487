"""Saying no, over HTTP and to a WebSocket that is not accepted yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...asgi.responses import Headers, id_header, send_error
from ...context import RequestContext
from ...errors import XRouterError

OnError: TypeAlias = Callable[[Scope, XRouterError], ASGIApp]
"""Renders a refusal as an ASGI application; any response of Starlette is one."""

_PREFIX = "websocket."


async def refuse(scope: Scope, receive: Receive, send: Send, error: XRouterError, on_error: OnError | None) -> None:
    """Answer with the error: as `on_error` renders it, else in the envelope.

    Headers that say why and when to come back are added to what `on_error` sends, where it has none of the same name.
    A WebSocket gets the same answer where the server can send one (the `websocket.http.response` extension of ASGI),
    else it is closed with 1008, which servers turn into a bare 403.
    """
    context = RequestContext.of(scope)
    context.error = error
    websocket = scope["type"] == "websocket"
    if websocket and f"{_PREFIX}http.response" not in (scope.get("extensions") or {}):
        # A frame of control has room for 123 bytes of reason (RFC 6455, 5.5).
        reason = error.message.encode()[:123].decode(errors="ignore")
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    ours = [*error.headers(), *_challenge(error), id_header(context.request_id)]

    async def send_to_either(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            message = {**message, "headers": _completed(message.get("headers", ()), ours)}
        if websocket:
            message = {**message, "type": _PREFIX + message["type"].removeprefix(_PREFIX)}
        await send(message)

    if on_error is not None:
        await on_error(scope, error)(scope, receive, send_to_either)
    else:
        await send_error(send_to_either, error)


def _challenge(error: XRouterError) -> Headers:
    """What RFC 6750, 3 wants: the scheme on every 401, and why, unless the request carried nothing."""
    match error.status:
        case 401 if error.code is None:
            value = b'Bearer realm="xrouter"'
        case 401:
            value = b'Bearer realm="xrouter", error="invalid_token"'
        case 403:
            value = b'Bearer realm="xrouter", error="insufficient_scope"'
        case _:
            return ()
    return ((b"www-authenticate", value),)


def _completed(headers: Headers, ours: Headers) -> Headers:
    names = {name.lower() for name, _ in headers}
    return [*headers, *(pair for pair in ours if pair[0] not in names)]
