"""APIKeyMiddleware: find out who is calling, or answer 401."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from inspect import isawaitable
from typing import TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

from ...asgi.excluded_paths import ExcludedPaths
from ...asgi.hooks import failure, mistake
from ...asgi.refusal import OnError, send_refusal
from ...asgi.responses import Headers
from ...context import Principal, RequestContext
from ...errors import InvalidRequest, PermissionDenied, XRouterError
from ...keys import CachedKeys, FindKey, KeyStore
from .credential import Failures, KeyCheck

Identify: TypeAlias = Callable[[Scope], Awaitable[Principal | None] | Principal | None]
"""Finds the caller by the scope of a request or WebSocket; None for nobody."""

logger = logging.getLogger("xrouter")


class APIKeyMiddleware:
    """Lets in callers with a key. Answers all others with 401, 403, 429 or 503 and an error envelope.

    The key comes in `Authorization: Bearer`, `x-api-key` or `api-key`. An unknown, a wrong, a revoked and an expired
    key get the same answer. The caller is `RequestContext.of(scope).principal`, and also `scope["state"]["principal"]`,
    `scope["user"]` and `scope["auth"]` where the host has not set these. WebSockets are covered. Scopes of other types
    pass untouched.

    Place it below CORS, which answers preflights itself, and below the observers of refusals; above limits, so that a
    limit belongs to a key. Litestar does not run the middleware of an app for what is mounted there: wrap what you
    mount. Whoever makes the store closes it. A principal that the host gave to `as_response` or `in_process` is let in
    without a key.

    Args:
        app: Any ASGI application.
        store: Where keys are looked up. One that is no `CachedKeys` is put into one, without a pepper.
        identify: Finds the caller in place of `store`, in a host that has users; may be async. An `HTTPException` of
            Starlette, FastAPI or Litestar refuses the request with its status, its `detail` and its headers.
        scopes: The scopes that a caller must have been given by name. A key without scopes has none of them, although
            it may use every endpoint of LLMRouter.
        exclude_paths: Paths below the mount that need no key: `/health`, or `/docs/*` for all below `/docs`.
        on_error: Turns a refusal into the host's own answer.

    An address that sends more than 5 wrong keys in a second gets 429 without a lookup. The address is the peer's, as
    the server says; no header changes it.

    Raises ValueError for neither or both of `store` and `identify`, or a path that cannot be excluded.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        store: CachedKeys | KeyStore | FindKey | None = None,
        identify: Identify | None = None,
        scopes: Iterable[str] = (),
        exclude_paths: Iterable[str] = (),
        on_error: OnError | None = None,
    ) -> None:
        if store is not None and identify is None:
            keys = store if isinstance(store, CachedKeys) else CachedKeys(store)
            identify = KeyCheck(keys, Failures())
        elif store is not None or identify is None:
            raise ValueError("APIKeyMiddleware needs a store of keys or a function identify, and not both.")
        self.app = app
        self._identify = identify
        self._scopes = tuple(scopes)
        self._excluded = ExcludedPaths(exclude_paths)
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] not in ("http", "websocket") or self._excluded.match(scope):
            await self.app(scope, receive, send)
            return
        scope = dict(scope)
        context = RequestContext.of(scope)
        try:
            principal = await self._admit(scope, context)
        except XRouterError as error:
            await send_refusal(scope, receive, send, error, on_error=self._on_error, headers=_challenge(error))
            return
        context.principal = principal
        _introduce(scope, principal)
        await self.app(scope, receive, send)

    async def _admit(self, scope: Scope, context: RequestContext) -> Principal:
        """The caller. Raises XRouterError for a caller who must stay outside, and nothing else."""
        try:
            found: object = context.principal if context.vouched else self._identify(scope)
            principal = found if isinstance(found, Principal) or not isawaitable(found) else await found
        except XRouterError:
            raise
        except Exception as error:
            raise failure("The caller could not be identified", error, context) from error
        if principal is None:
            raise InvalidRequest("This request does not say who is calling.", status=401)
        if not isinstance(principal, Principal):
            raise mistake("identify", "a Principal or None", principal, context)
        for needed in self._scopes:
            if needed not in principal.scopes:
                raise PermissionDenied(f"This key lacks the scope '{needed}'.", code="insufficient_scope")
        return principal


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal in the shape of Starlette's `request.user`, and of its `request.auth`."""

    principal: Principal

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def identity(self) -> str:
        return self.principal.id

    @property
    def display_name(self) -> str:
        return self.principal.owner or self.principal.id

    @property
    def scopes(self) -> tuple[str, ...]:
        """Those that the principal was given by name."""
        # None means all in LLMRouter, which must make nobody an administrator of the host.
        return ("authenticated", *sorted(self.principal.scopes))


def _introduce(scope: Scope, principal: Principal) -> None:
    """Put the caller into the host's places, unless the host has put something there."""
    caller = Caller(principal)
    scope.setdefault("state", {}).setdefault("principal", principal)
    scope.setdefault("user", caller)
    scope.setdefault("auth", caller)


def _challenge(error: XRouterError) -> Headers:
    """`www-authenticate`: the scheme on every 401, and why, unless the request carried no key (RFC 6750, 3)."""
    if any(name == b"www-authenticate" for name, _ in error.headers()):
        return ()
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
