"""An app as the answer to a request that a route of the host has taken, by Starlette's public API alone."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..asgi.hooks import host_refusal
from ..asgi.scope import local_path
from ..context import Principal, RequestContext


def as_response(app: ASGIApp, request: Request, *, principal: Principal | None = None) -> Response:
    """The answer of an app to the request that a route of Starlette or FastAPI has taken. It streams as the app does.

    So the route can depend on whatever the host has: its users, its database, its settings.

        @site.api_route("/llm/{path:path}", methods=["GET", "POST", "DELETE"])
        async def llm(request: Request, user: User = Depends(current_user)) -> Response:
            return as_response(app, request, principal=Principal(user.name))

    Headers and cookies that the route sets on the response go out with it, and so do its background tasks. The body may
    have been read by `request.body()` or `request.json()`.

    Args:
        app: Any ASGI application. What the last parameter of the route's path stands for is the path that it sees; all
            before that is its mount.
        principal: Who is calling. `APIKeyMiddleware` asks this request for no key then. None leaves it to the app.

    Raises:
        TypeError: `principal` is something else.
    """
    if principal is not None and not isinstance(principal, Principal):
        raise TypeError(
            f"'principal' is a {type(principal).__name__}. Write Principal(id), with the name of your user."
        )
    return _AppResponse(app, request, principal)


class _AppResponse(Response):
    """Sends what the app sends."""

    def __init__(self, app: ASGIApp, request: Request, principal: Principal | None) -> None:
        # Not the base's: a body would come with its length, and the app says that itself.
        self.status_code = 200
        self.background = None
        self.init_headers()
        self._app = app
        self._request = request
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app."""
        scope = _below(scope)
        context = RequestContext.of(scope)
        if self._principal is not None:
            context.vouch(self._principal)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self.raw_headers]}
            await send(message)

        await self._app(scope, _RequestBody(self._request, receive), send_with_headers)
        if self.background is not None:
            await self.background()


class _RequestBody:
    """The `receive` of a request whose body the route may have read already."""

    def __init__(self, request: Request, receive: Receive) -> None:
        self._parts = request.stream()
        self._receive = receive
        self._complete = False

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            part = await anext(self._parts)
        except (ClientDisconnect, StopAsyncIteration):
            self._complete = True
            return {"type": "http.disconnect"}
        except Exception as error:
            if (refusal := host_refusal(error)) is not None:  # Starlette's `max_body_size`
                raise refusal from error
            raise
        self._complete = not part
        if self._complete:
            await self._parts.aclose()
        return {"type": "http.request", "body": part, "more_body": not self._complete}


def _below(scope: Scope) -> Scope:
    """The scope below what the route has matched before its last parameter, as Starlette's `Mount` makes it."""
    last = next(reversed(scope.get("path_params", {}).values()), None)
    path = local_path(scope)
    below = last.strip("/") if isinstance(last, str) else None
    if below is None or (below and not path.endswith("/" + below)):
        return dict(scope)
    root = scope.get("root_path", "")
    mount = path.removesuffix(below).rstrip("/")
    return {**scope, "root_path": root + mount, "app_root_path": scope.get("app_root_path", root)}
