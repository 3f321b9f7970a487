"""RateLimitMiddleware: reserve what a request may cost, or answer 429."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...asgi.excluded_paths import ExcludedPaths
from ...asgi.lifespan import ClosingAtShutdown
from ...asgi.refusal import OnError, send_refusal
from ...asgi.responses import with_headers
from ...context import RequestContext
from ...errors import XRouterError
from ...limits.base import LimitStore
from ...limits.redis import store_at
from ...limits.rules import FindSubject, LimitRules, Limits, Subject, principal_or_address
from .limited_request import LimitedRequest, Limiter


class RateLimitMiddleware:
    """Bounds the requests, tokens and parallel requests of each caller. Refuses with 429, which says when to retry.

    Works around any application for requests. Only `LLMRouter` knows tokens and models: it reserves them when it has
    read the body, and they are settled when the answer ends, however it ends. Around another application, limits of
    tokens and of models do nothing.

    Place it below `APIKeyMiddleware`, so that a limit belongs to a key and not to an address.

    Args:
        app: Any ASGI application.
        limit: `60/minute; 100000 tokens/minute; 8 parallel`, or an iterable of such. A principal's own limits replace
            those of the same kind.
        key: Names the caller that a limit per key belongs to; None for nobody. By default the principal's id, else the
            address.
        models: Limits by the name of a model, or by a pattern with one `*`. Those of tokens replace the general ones of
            the same kind; others come on top.
        store: Keeps the counts; or the URL of one, `memory://` or `redis://…`, which is closed with the lifespan.
        exclude_paths: Paths below the mount that are not counted: `/health`, or `/docs/*` for all below `/docs`.
        ietf: Send the `RateLimit` and `RateLimit-Policy` fields as well, which are still a draft.
        on_error: Turns a refusal of this middleware into the host's own answer. `LLMRouter` renders those for tokens.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: Limits,
        key: FindSubject = principal_or_address,
        models: Mapping[str, Limits] | None = None,
        store: LimitStore | str = "memory://",
        exclude_paths: Iterable[str] = (),
        ietf: bool = False,
        on_error: OnError | None = None,
    ) -> None:
        self.app = app
        opened = store_at(store) if isinstance(store, str) else store
        self._lifespan = ClosingAtShutdown(app, closing={"limits": opened.aclose} if isinstance(store, str) else {})
        self._limiter = Limiter(opened, LimitRules(limit, models or {}), ietf=ietf)
        self._key = key
        self._excluded = ExcludedPaths(exclude_paths)
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] != "http" or self._excluded.match(scope):
            await self.app(scope, receive, send)
            return
        scope = dict(scope)
        context = RequestContext.of(scope)
        request = LimitedRequest(self._limiter, Subject.of(scope, self._key, context.principal), context)

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = with_headers(message, request.headers())
            await send(message)

        try:
            await request.reserve_before_body()
        except XRouterError as error:
            await send_refusal(scope, receive, send_with_limits, error, on_error=self._on_error)
        else:
            await self.app(scope, receive, send_with_limits)
        finally:
            request.settle()
