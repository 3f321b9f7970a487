"""APIKeyMiddleware: who is calling, or 401."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from inspect import isawaitable
from typing import TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

from ...asgi.scope import local_path
from ...context import Principal, RequestContext
from ...errors import InvalidRequest, PermissionDenied, XRouterError
from ...keys import CachedKeys, FindKey, Hasher, KeyStore
from .caller import introduce
from .check import KeyCheck
from .exclusions import Exclusions
from .refusal import OnError, refuse
from .throttle import Failures

Identify: TypeAlias = Callable[[Scope], Awaitable[Principal | None] | Principal | None]
"""Tells who is calling from the scope of a request or WebSocket; None for nobody."""

logger = logging.getLogger("xrouter")


class APIKeyMiddleware:
    """Lets in whoever has a key, and answers everybody else: 401, 403, 429 or 503, with an error envelope.

    The key comes in `Authorization: Bearer`, `x-api-key` or `api-key`. An unknown, a wrong, a revoked and an expired
    key are one case. Whoever is let in is `RequestContext.of(scope).principal`, and also `scope["state"]["principal"]`,
    `scope["user"]` and `scope["auth"]` where these are free. WebSockets are covered; what is neither a request nor a
    WebSocket passes untouched.

    Place it below CORS, which answers preflights itself, and below whatever logs refusals; above limits, so that they
    belong to a key. Litestar does not run the middleware of an app for what is mounted there: wrap what you mount. The
    store is closed by whoever made it.

    Args:
        store: Where keys are looked up, through a `CachedKeys` unless it is one.
        hasher: The one that the keys were stored with. Not beside a `CachedKeys`, which has its own.
        identify: Takes the place of `store` in a host with users of its own; may be async.
        scopes: What the caller must have been given, each of them by name. A key without scopes has none of them,
            although it may use every endpoint of LLMRouter.
        exclude_paths: What needs no key: paths below the mount, exact (`/health`), or everything below one (`/docs/*`).
        wrong_per_second: How many wrong keys an address may send; then it gets 429 without any lookup. The address is
            the peer's, as the server tells it; no header moves it.
        on_error: Renders refusals in the manner of the host.
        clock: Monotonic seconds.

    Raises:
        ValueError: For neither or both of `store` and `identify`, a rate that is not above 0, or a path that cannot be
            excluded.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        store: CachedKeys | KeyStore | FindKey | None = None,
        hasher: Hasher | None = None,
        identify: Identify | None = None,
        scopes: Iterable[str] = (),
        exclude_paths: Iterable[str] = (),
        wrong_per_second: float = 5.0,
        on_error: OnError | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if hasher is not None and (store is None or isinstance(store, CachedKeys)):
            raise ValueError("The hasher belongs to a store of keys. Give it to CachedKeys, or leave it out.")
        if store is not None and identify is None:
            keys = store if isinstance(store, CachedKeys) else CachedKeys(store, hasher=hasher)
            identify = KeyCheck(keys, Failures(wrong_per_second, clock=clock))
        elif store is not None or identify is None:
            raise ValueError("APIKeyMiddleware needs a store of keys or a function identify, and not both.")
        self._app = app
        self._scopes = tuple(scopes)
        self._excluded = Exclusions(exclude_paths)
        self._on_error = on_error
        self._identify = identify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] not in ("http", "websocket") or local_path(scope) in self._excluded:
            await self._app(scope, receive, send)
            return
        scope = dict(scope)
        try:
            introduce(scope, await self._admitted(scope))
        except XRouterError as error:
            await refuse(scope, receive, send, error, self._on_error)
            RequestContext.of(scope).release()
            return
        await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope) -> Principal:
        """Who is calling. Raises an XRouterError for whoever stays outside, and nothing else."""
        try:
            found = self._identify(scope)
            principal = await found if isawaitable(found) else found
        except XRouterError:
            raise
        except Exception as error:
            # Whoever cannot be told stays outside, and the host's error pages may show more than a stranger may see.
            request_id = RequestContext.of(scope).request_id
            logger.exception("Who is calling could not be told", extra={"request_id": request_id})
            message = f"An internal error happened. Tell the operator the id {request_id}."
            raise XRouterError(message) from error
        if principal is None:
            raise InvalidRequest("This request does not say who is calling.", status=401)
        for needed in self._scopes:
            if needed not in principal.scopes:
                raise PermissionDenied(f"This key lacks the scope '{needed}'.", code="insufficient_scope")
        return principal
