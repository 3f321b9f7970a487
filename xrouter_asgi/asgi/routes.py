"""An ASGI application made of endpoints: which one serves a path, and what a client is told when none does."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Concatenate, TypeAlias

from starlette.types import Message, Receive, Scope, Send

from ..context import RequestContext
from ..errors import (
    InvalidAPIKey,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    UnsupportedMediaType,
    UpstreamError,
    XRouterError,
)
from .body import AmbiguousLength, RequestTimeout, check_framing
from .disconnect import ClientDisconnected, Interrupted
from .hooks import failure
from .refusal import OnError, send_refusal
from .responses import CLOSE, id_headers, send_error
from .scope import local_path
from .sending import Outgoing

Endpoint: TypeAlias = Callable[Concatenate[Scope, Receive, Outgoing, RequestContext, ...], Awaitable[None]]
"""Answers one request. The parts of the path that its pattern left open follow the context."""

_VARIABLE = re.compile(r"\{\w+(:path)?\}")
_UNREAD = (
    AmbiguousLength,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)  # the rest of the request stays on the connection

logger = logging.getLogger("xrouter")


class BearerRequired(InvalidAPIKey):
    """The application has one bearer token, and the request lacks it."""

    def __init__(self, realm: str) -> None:
        super().__init__("This needs the right bearer token.")
        self.realm = realm

    def headers(self) -> list[tuple[bytes, bytes]]:
        challenge = f'Bearer realm="{self.realm}"'  # RFC 6750, 3
        return [*super().headers(), (b"www-authenticate", challenge.encode("ascii"))]


class Routes:
    """Endpoints by path and method, as an ASGI application. Answers the errors that they raise.

    In a path `{name}` stands for one segment, and `{name:path}` at the end for any rest, slashes included. A path
    without these comes first, then the one with the most literal text.

    Args:
        paths: Endpoints by path, then by method. HEAD is a method like any other, but no answer to it has a body.
        token: The bearer token that every request needs; None lets everybody in.
        realm: The name of what the token protects.
        on_error: Renders errors in place of our envelope, unless the answer has begun; as for `send_refusal`.
        lifespan: Entered at the startup of the process and left at its shutdown.
    """

    def __init__(
        self,
        paths: Mapping[str, Mapping[str, Endpoint]],
        *,
        token: str | None = None,
        realm: str = "xrouter",
        on_error: OnError | None = None,
        lifespan: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self._literal = {path: methods for path, methods in paths.items() if "{" not in path}
        patterns = [(*_compiled(path), methods) for path, methods in paths.items() if "{" in path]
        self._patterns = sorted(patterns, key=lambda pattern: pattern[0], reverse=True)
        self._token = None if token is None else token.encode("utf-8")
        self._realm = realm
        self._on_error = on_error
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        context = RequestContext.of(scope)
        outgoing = Outgoing(send if scope["method"] != "HEAD" else _without_body(send))
        try:
            check_framing(scope)
            if self._token is not None and not _has_token(scope, self._token):
                raise BearerRequired(self._realm)
            endpoint, variables = self._find(scope["method"], local_path(scope))
            await endpoint(scope, receive, outgoing, context, *variables)
        except ClientDisconnected:
            pass
        except Interrupted as error:
            await self._fail(scope, receive, outgoing, error, context)
        except XRouterError as error:
            if outgoing.committed:
                raise
            _log(error, context)
            await self._fail(scope, receive, outgoing, error, context)
        except Exception as error:
            if outgoing.committed:
                raise
            # The host's `receive` may say no, too: Starlette's `max_body_size` does, by an HTTPException.
            defect = failure("A request failed by a defect of this program", error, context)
            await self._fail(scope, receive, outgoing, defect, context)
        context.release()

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "lifespan":
                await receive()
                async with self._lifespan():
                    await send({"type": "lifespan.startup.complete"})
                    await receive()
                await send({"type": "lifespan.shutdown.complete"})
            case "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": "There is no WebSocket here."})
            case kind:
                raise ValueError(f"An ASGI scope of type {kind!r} has no answer here.")

    async def _fail(
        self, scope: Scope, receive: Receive, outgoing: Outgoing, error: XRouterError, context: RequestContext
    ) -> None:
        if self._on_error is None or outgoing.started:
            await _fail(outgoing, error, context)
            return
        with suppress(ClientDisconnected):
            headers = (CLOSE,) if isinstance(error, _UNREAD) else ()
            await send_refusal(scope, receive, outgoing, error, on_error=self._on_error, headers=headers)

    def _find(self, method: str, path: str) -> tuple[Endpoint, tuple[str, ...]]:
        """The endpoint, and the parts of the path that its pattern left open. Raises NotFound, MethodNotAllowed."""
        variables: tuple[str, ...] = ()
        methods = self._literal.get(path)
        if methods is None:
            methods, variables = self._match(method, path)
        endpoint = methods.get(method)
        if endpoint is None:
            allow = ", ".join(methods)
            raise MethodNotAllowed(f"Not allowed to {method[:16]} on {path[:256]}. Use {allow}.", allow=allow)
        return endpoint, variables

    def _match(self, method: str, path: str) -> tuple[Mapping[str, Endpoint], tuple[str, ...]]:
        for _, pattern, methods in self._patterns:
            if match := pattern.fullmatch(path):
                return methods, match.groups()
        raise NotFound(f"Unknown request URL: {method[:16]} {path[:256]}. See /openapi.json for what is served.")


def _without_body(send: Send) -> Send:
    """Send the heads of answers, with the length of a body that stays here (RFC 9110, 9.3.2)."""

    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


def _compiled(path: str) -> tuple[int, re.Pattern[str]]:
    """How much literal text a path has, and the pattern that matches it."""
    parts = _VARIABLE.split(path)
    literals = parts[::2]
    variables = ["(.*)" if rest else "([^/]+)" for rest in parts[1::2]]
    text = "".join(re.escape(literal) + variable for literal, variable in zip(literals, [*variables, ""], strict=True))
    return sum(map(len, literals)), re.compile(text, re.DOTALL)


def _has_token(scope: Scope, token: bytes) -> bool:
    """Whether the request has the token, once: of two, a proxy may have read the other one."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, credential = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    return scheme.lower() == b"bearer" and hmac.compare_digest(credential.strip(), token)


async def _fail(outgoing: Outgoing, error: XRouterError, context: RequestContext) -> None:
    """Answer with an error: by its status, or as an event if the head of a stream is out."""
    context.fail(error)
    with suppress(ClientDisconnected):
        if not outgoing.started:
            headers = id_headers(context) if outgoing.error_headers is None else outgoing.error_headers()
            if isinstance(error, _UNREAD):
                headers.append(CLOSE)
            await send_error(outgoing, error, context=context, headers=headers)
        elif outgoing.open and outgoing.writer is not None:
            events = outgoing.writer.fail(error, context.request_id)
            await outgoing({"type": "http.response.body", "body": events})


def _log(error: XRouterError, context: RequestContext) -> None:
    # Only the caller is told what the caller did wrong: the upstream's words about it may quote the prompt.
    if error.status >= 500 or isinstance(error, UpstreamError):
        cause = error.detail or error.message
        logger.warning("%s %s: %s", error.status, error.code, cause, extra=context.facts)
