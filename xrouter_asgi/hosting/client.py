"""A client of an app in the same process: no socket and no port."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from functools import cache
from types import ModuleType
from typing import Any, TypeVar, overload

import httpx
from starlette.types import ASGIApp, Scope

from ..context import Principal, RequestContext
from .exchange import AppExchange, AppFailed

PATIENCE = 5.0
"""Seconds that the end of a client waits for what the app still does."""

Client = TypeVar("Client")


@overload
def in_process(app: ASGIApp, *, principal: Principal | None = None) -> httpx.AsyncClient: ...


@overload
def in_process(app: ASGIApp, *, principal: Principal | None = None, client: type[Client]) -> Client: ...


def in_process(app: ASGIApp, *, principal: Principal | None = None, client: type[Any] = httpx.AsyncClient) -> Any:
    """A client whose requests go to an app, whatever their host: `openai.AsyncOpenAI(http_client=in_process(app), …)`.

    Answers stream. Whoever closes one before its end, or is cancelled, leaves as a client of a server does, so the app
    closes its upstream. An app that raises is answered for with 500. There is no time-out but that of a request: the
    app has its own. The lifespan of the app is its host's.

    Args:
        app: The outermost app that you have made: the limits, the log and the keys in front of a router apply.
        principal: Who is calling. `APIKeyMiddleware` asks for no key then. None: requests need a key, as from outside.
        client: The class to make. Anthropic's SDK, and OpenAI's from version 3 on, are typed with `httpx2.AsyncClient`.

    Raises:
        TypeError: `client` is no `AsyncClient` of httpx or httpx2, or `principal` no `Principal`.
    """
    if principal is not None and not isinstance(principal, Principal):
        raise TypeError(
            f"'principal' is a {type(principal).__name__}. Write Principal(id), with the name of your user."
        )
    transport = _AppTransport(app, principal, _library_of(client))
    return client(transport=transport, base_url="http://in-process", timeout=None, trust_env=False)


class _AppTransport:
    """What httpx and httpx2 ask of a transport, in the types of one of them."""

    def __init__(self, app: ASGIApp, principal: Principal | None, library: ModuleType) -> None:
        self._app = app
        self._principal = principal
        self._library = library
        self._body_type = _body_type(library)
        self._running: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: Any) -> Any:
        """The answer, as soon as its head is there. Raises `ReadTimeout`."""
        scope = _scope_of(request)
        if self._principal is not None:
            RequestContext.of(scope).vouch(self._principal)
        exchange = AppExchange(self._app, scope, aiter(request.stream))
        self._running.add(exchange.task)
        exchange.task.add_done_callback(self._running.discard)
        body = self._body_type(exchange, request, self._library)
        try:
            async with asyncio.timeout(_patience(request)):
                head = await exchange.head
        except BaseException as error:
            await exchange.leave()
            if isinstance(error, TimeoutError):
                raise self._library.ReadTimeout("The head of the answer took too long.", request=request) from error
            raise
        return self._library.Response(
            head["status"], headers=list(head.get("headers", ())), stream=body, request=request
        )

    async def aclose(self) -> None:
        """Give what still runs some time, and then end it."""
        if self._running:
            await asyncio.wait(self._running, timeout=PATIENCE)
        for task in self._running:
            task.cancel()

    async def __aenter__(self) -> _AppTransport:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


class _AppBody:
    """The body of an answer."""

    def __init__(self, exchange: AppExchange, request: Any, library: ModuleType) -> None:
        self._exchange = exchange
        self._request = request
        self._library = library

    async def __aiter__(self) -> AsyncIterator[bytes]:
        patience = _patience(self._request)
        try:
            while True:
                async with asyncio.timeout(patience):
                    part = await self._exchange.part()
                if part is None:
                    return
                yield part
        except TimeoutError as error:
            raise self._library.ReadTimeout("The answer paused for too long.", request=self._request) from error
        except AppFailed as error:
            raise self._library.RemoteProtocolError(str(error), request=self._request) from error
        finally:
            await self.aclose()  # who is cancelled here cannot read on

    async def aclose(self) -> None:
        await self._exchange.leave()


@cache
def _body_type(library: ModuleType) -> type[_AppBody]:
    """The body as an `AsyncByteStream`, which the client insists on."""
    return type("AppBody", (_AppBody, library.AsyncByteStream), {})


def _library_of(client: object) -> ModuleType:
    for name in ("httpx", "httpx2"):
        library = sys.modules.get(name)
        if library is not None and isinstance(client, type) and issubclass(client, library.AsyncClient):
            return library
    raise TypeError(f"'client' is {client!r}. Take httpx.AsyncClient, httpx2.AsyncClient or a class derived from one.")


def _patience(request: Any) -> float | None:
    seconds: float | None = request.extensions.get("timeout", {}).get("read")
    return seconds


def _scope_of(request: Any) -> Scope:
    url = request.url
    raw_path, _, query = url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": None,  # nobody has an address here
        "server": (url.host, url.port),
        "state": {},
        "extensions": {},
    }
