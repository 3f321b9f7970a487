"""A refusal: an error of ours as the answer to a request, or to a WebSocket that is not accepted yet."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..context import RequestContext
from ..errors import XRouterError
from .body import ends_twice
from .hooks import mistake
from .responses import CLOSE, Headers, id_headers, send_error, with_headers

OnError: TypeAlias = Callable[[Scope, XRouterError], ASGIApp]
"""What `on_error` is everywhere: turns an error of ours into the host's own answer, such as a response of Starlette."""

logger = logging.getLogger("xrouter")

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
            are added to it, except those that it sets itself. If it fails, our envelope goes out.
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
    added = [*headers, *id_headers(context)]
    if ends_twice(scope):
        added.append(CLOSE)
    app = None if on_error is None else _rendered(on_error, scope, error, context)
    if app is None:
        await send_error(send, error, context=context, headers=added)
        return
    added = [*error.headers(), *added]

    async def send_with_headers(message: Message) -> None:
        await send(with_headers(message, added))

    await app(scope, receive, send_with_headers)


def _rendered(on_error: OnError, scope: Scope, error: XRouterError, context: RequestContext) -> ASGIApp | None:
    """The answer that the host makes of the error; None if it makes none, which the log is told."""
    try:
        app: object = on_error(scope, error)
    except Exception:
        logger.exception("The function 'on_error' failed", extra=context.facts)
        return None
    if callable(app):
        return cast(ASGIApp, app)
    mistake("on_error", "an ASGI application", app, context)
    return None
