"""The router inside every host, the way its documentation shows; each gives the base URL of the mount."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import blacksheep
import litestar
from django.conf import settings  # type: ignore[import-untyped]  # Django has no types
from django.core.asgi import get_asgi_application  # type: ignore[import-untyped]  # Django has no types
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]  # Django has no types
from django.urls import path  # type: ignore[import-untyped]  # Django has no types
from fastapi import FastAPI
from hypercorn.middleware import DispatcherMiddleware
from litestar.handlers import asgi
from quart import Quart
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.serving import hypercorn_here, uvicorn_here
from xrouter_asgi.router.router import LLMRouter

Host: TypeAlias = Callable[[LLMRouter, bool], AbstractAsyncContextManager[str]]
"""Serves a router, with or without its lifespan."""


@asynccontextmanager
async def bare(router: LLMRouter, lifespan: bool) -> AsyncIterator[str]:
    async with uvicorn_here(router, lifespan="on" if lifespan else "off") as url:
        yield url


@asynccontextmanager
async def bare_below_a_root_path(router: LLMRouter, lifespan: bool) -> AsyncIterator[str]:
    """`uvicorn --root-path /proxy`, behind a proxy that strips it."""
    async with uvicorn_here(router, lifespan="on" if lifespan else "off", root_path="/proxy") as url:
        yield url


@asynccontextmanager
async def starlette(router: LLMRouter, lifespan: bool) -> AsyncIterator[str]:
    app = Starlette(routes=[Mount("/llm", router)], lifespan=router.lifespan if lifespan else None)
    async with uvicorn_here(app) as url:
        yield url + "/llm"


@asynccontextmanager
async def starlette_nested(router: LLMRouter, lifespan: bool) -> AsyncIterator[str]:
    """Mounted in what is mounted, inside a lifespan of the host's own."""

    @asynccontextmanager
    async def own(app: Starlette) -> AsyncIterator[None]:
        async with router.lifespan():
            yield

    inner = Starlette(routes=[Mount("/b", router)])
    app = Starlette(routes=[Mount("/a", inner)], lifespan=own if lifespan else None)
    async with uvicorn_here(app, http="h11") as url:
        yield url + "/a/b"


def _fastapi(router: LLMRouter, lifespan: bool, root_path: str) -> FastAPI:
    with warnings.catch_warnings():
        # FastAPI would rather have it from the server; existing apps say it here, and the two scopes differ.
        warnings.filterwarnings("ignore", "The `root_path` parameter is deprecated")
        app = FastAPI(lifespan=router.lifespan if lifespan else None, root_path=root_path)
    app.mount("/llm", router)
    return app


@asynccontextmanager
async def fastapi(router: LLMRouter, lifespan: bool) -> AsyncIterator[str]:
    async with uvicorn_here(_fastapi(router, lifespan, "")) as url:
        yield url + "/llm"


@asynccontextmanager
async def fastapi_behind_a_stripping_proxy(router: LLMRouter, lifespan: bool) -> AsyncIterator[str]:
    async with uvicorn_here(_fastapi(router, lifespan, "/proxy")) as url:
        yield url + "/llm"


@asynccontextmanager
async def fastapi_behind_a_plain_proxy(router: LLMRouter, lifespan: bool) -> AsyncIterator[str]:
    async with uvicorn_here(_fastapi(router, lifespan, "/proxy")) as url:
        yield url + "/proxy/llm"


def _litestar(router: LLMRouter, lifespan: bool, mount: str) -> Any:
    handler = asgi(mount, is_mount=True, copy_scope=True)(router)
    return litestar.Litestar([handler], lifespan=[router.lifespan] if lifespan else [], logging_config=None)


@asynccontextmanager
async def litestar_mount(router: LLMRouter, lifespan: bool) -> AsyncIterator[str]:
    async with uvicorn_here(_litestar(router, lifespan, "/llm")) as url:
        yield url + "/llm"


@asynccontextmanager
async def litestar_root(router: LLMRouter, lifespan: bool) -> AsyncIterator[str]:
    async with uvicorn_here(_litestar(router, lifespan, "/")) as url:
        yield url


@asynccontextmanager
async def blacksheep_mount(router: LLMRouter, lifespan: bool) -> AsyncIterator[str]:
    app = blacksheep.Application()
    app.mount("/llm", router)

    async def own() -> AsyncIterator[None]:
        async with router.lifespan(app):
            yield

    if lifespan:
        app.lifespan(own)  # type: ignore[no-untyped-call]  # BlackSheep has no types here
    async with uvicorn_here(app) as url:
        yield url + "/llm"


@asynccontextmanager
async def quart(router: LLMRouter, lifespan: bool) -> AsyncIterator[str]:
    """Quart mounts nothing: hypercorn's dispatcher stands before it, and forwards the lifespan."""
    app = Quart(__name__)

    async def without_lifespan(scope: Any, receive: Any, send: Any) -> None:
        # A dispatcher waits for all it dispatches to: what has no lifespan must still say that it is done.
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
        else:
            await router(scope, receive, send)

    # hypercorn has types of its own for what ASGI frameworks call by Starlette's.
    mounts: Any = {"/llm": router if lifespan else without_lifespan, "/": app}
    dispatcher: Any = DispatcherMiddleware(mounts)
    async with hypercorn_here(dispatcher) as url:
        yield url + "/llm"


def _hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


urlpatterns = [path("hello", _hello)]


@asynccontextmanager
async def django(router: LLMRouter, lifespan: bool) -> AsyncIterator[str]:
    """Django mounts nothing: Starlette's routes stand before it."""
    if not settings.configured:
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="test", LOGGING_CONFIG=None)
    routes = [Mount("/llm", router), Mount("/", get_asgi_application())]
    app = Starlette(routes=routes, lifespan=router.lifespan if lifespan else None)
    async with uvicorn_here(app) as url:
        yield url + "/llm"


HOSTS: dict[str, Host] = {
    host.__name__: host
    for host in (
        bare,
        bare_below_a_root_path,
        starlette,
        starlette_nested,
        fastapi,
        fastapi_behind_a_stripping_proxy,
        fastapi_behind_a_plain_proxy,
        litestar_mount,
        litestar_root,
        blacksheep_mount,
        quart,
        django,
    )
}
