"""A refusal: an error of ours as the answer to a request, or to a WebSocket that is not accepted yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..context import RequestContext
from ..errors import XRouterError
from .body import ends_twice
from .responses import CLOSE, Headers, id_headers, send_error, with_headers

OnError: TypeAlias = Callable[[Scope, XRouterError], ASGIApp]
"""What `on_error` is everywhere: turns an error of ours into the host's own answer, such as a response of Starlette."""

_PREFIX = "websocket."
_REASON = 123  # bytes of a close frame's reason (RFC 6455, 5.5)


async def send_refusal(
    scope: Scope,
    receive: Receive,
    send: Send,
    error: XRouterError,
    *,
    on_error: OnError | None = None,
    headers: Headers = (),
) -> None:
    """Answer with the error, and note it in the context of the request.

    A WebSocket gets the same answer if the server can send one (the `websocket.http.response` extension of ASGI).
    Otherwise it is closed with 1008, which servers turn into a bare 403. A request that ends in two places ends its
    connection, too: what follows on it may be smuggled (RFC 9112, 6.1).

    Args:
        on_error: Renders the answer in place of our envelope. The error's own headers, `headers` and `x-request-id`
            are added to it, except those that it sets itself.
        headers: To send besides the error's own.
    """
    context = RequestContext.of(scope)
    context.fail(error)
    if scope["type"] == "http":
        await _answer(scope, receive, send, error, on_error, headers)
    elif f"{_PREFIX}http.response" in (scope.get("extensions") or {}):

        async def send_to_websocket(message: Message) -> None:
            await send({**message, "type": _PREFIX + message["type"].removeprefix(_PREFIX)})

        await _answer(scope, receive, send_to_websocket, error, on_error, headers)
    else:
        reason = error.message.encode()[:_REASON].decode(errors="ignore")
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
    context.release()


async def _answer(
    scope: Scope, receive: Receive, send: Send, error: XRouterError, on_error: OnError | None, headers: Headers
) -> None:
    context = RequestContext.of(scope)
    ours = [*error.headers(), *headers, *id_headers(context)]
    if ends_twice(scope):
        ours.append(CLOSE)

    async def send_with_headers(message: Message) -> None:
        await send(with_headers(message, ours))

    if on_error is None:
        await send_error(send_with_headers, error, context=context)
    else:
        await on_error(scope, error)(scope, receive, send_with_headers)
