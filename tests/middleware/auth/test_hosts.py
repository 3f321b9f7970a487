"""The middleware alone on apps that know nothing of models, and around a router that is mounted, over sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import litestar
import pytest
from fastapi import FastAPI
from litestar.handlers import asgi
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from tests.mounting.test_servers import SERVERS, ask, get
from tests.serving import uvicorn_here
from xrouter_asgi import APIKey, APIKeyMiddleware, LLMRouter, StaticKeys
from xrouter_asgi.keys import new_secret
from xrouter_asgi.testing.scripted import ScriptedProvider, chat

from .guarded import SECRET, CountingKeys

OTHER = new_secret()
STORE = StaticKeys(
    {SECRET: APIKey("key_1", owner="alice", scopes=frozenset({"read"})), OTHER: APIKey("key_2", owner="bob")}
)
HEADERS = {"authorization": f"Bearer {SECRET}"}
CHAT = "/v1/chat/completions"


def on_starlette() -> ASGIApp:
    async def hello(request: Request) -> Response:
        return PlainTextResponse(request.state.principal.owner)

    async def report(request: Request) -> Response:
        return PlainTextResponse(request.user.display_name)

    routes = [Route("/hello", hello), Route("/report", requires("read")(report)), Route("/health", hello)]
    return Starlette(routes=routes, middleware=[Middleware(APIKeyMiddleware, store=STORE)])


def on_fastapi() -> ASGIApp:
    app = FastAPI()
    app.add_middleware(APIKeyMiddleware, store=STORE)

    @app.get("/hello", response_class=PlainTextResponse)
    async def hello(request: Request) -> str:
        owner: str = request.state.principal.owner
        return owner

    @app.get("/report", response_class=PlainTextResponse)
    @requires("read")
    async def report(request: Request) -> str:
        name: str = request.user.display_name
        return name

    return app


def on_litestar() -> ASGIApp:
    @litestar.get("/hello", media_type="text/plain")
    async def hello(request: litestar.Request[Any, Any, Any]) -> str:
        owner: str = request.scope["state"]["principal"].owner
        return owner

    @litestar.get("/report", media_type="text/plain")
    async def report(request: litestar.Request[Any, Any, Any]) -> str:
        if "read" not in request.auth.scopes:
            raise litestar.exceptions.PermissionDeniedException
        name: str = request.user.display_name
        return name

    guard: Any = APIKeyMiddleware  # Litestar has types of its own for ASGI
    middleware = [DefineMiddleware(guard, store=STORE)]
    return litestar.Litestar([hello, report], middleware=middleware, logging_config=None)  # type: ignore[return-value]  # Litestar has types of its own for ASGI


HOSTS: dict[str, Callable[[], ASGIApp]] = {"starlette": on_starlette, "fastapi": on_fastapi, "litestar": on_litestar}


@pytest.mark.parametrize("host", HOSTS)
async def test_alone_it_guards_any_app_and_tells_it_who_is_calling(host: str) -> None:
    async with uvicorn_here(HOSTS[host]()) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.get("/hello")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, None)
        assert answer.headers["www-authenticate"] == 'Bearer realm="xrouter"'
        answer = await client.get("/hello", headers=HEADERS)
        assert (answer.status_code, answer.text) == (200, "alice")
        answer = await client.get("/report", headers=HEADERS)
        assert (answer.status_code, answer.text) == (200, "alice")
        assert (await client.get("/report", headers={"x-api-key": OTHER})).status_code == 403


def _guarded(provider: ScriptedProvider) -> tuple[LLMRouter, APIKeyMiddleware]:
    router = LLMRouter({"m": provider})
    return router, APIKeyMiddleware(router, store=CountingKeys(), exclude_paths=["/health"])


def mounted_in_starlette(provider: ScriptedProvider) -> ASGIApp:
    router, guarded = _guarded(provider)
    return Starlette(routes=[Mount("/llm", guarded)], lifespan=router.lifespan)


def mounted_in_fastapi(provider: ScriptedProvider) -> ASGIApp:
    router, guarded = _guarded(provider)
    app = FastAPI(lifespan=router.lifespan)
    app.mount("/llm", guarded)
    return app


def mounted_in_litestar(provider: ScriptedProvider) -> ASGIApp:
    router, guarded = _guarded(provider)
    handler = asgi("/llm", is_mount=True, copy_scope=True)(guarded)
    return litestar.Litestar([handler], lifespan=[router.lifespan], logging_config=None)  # type: ignore[return-value]  # Litestar has types of its own for ASGI


MOUNTS: dict[str, Callable[[ScriptedProvider], ASGIApp]] = {
    "starlette": mounted_in_starlette,
    "fastapi": mounted_in_fastapi,
    "litestar": mounted_in_litestar,
}


@pytest.mark.parametrize("mount", MOUNTS)
async def test_around_a_mounted_router_it_guards_all_but_what_is_excluded(mount: str) -> None:
    provider = ScriptedProvider()
    app = MOUNTS[mount](provider)
    async with uvicorn_here(app) as url, httpx.AsyncClient(base_url=url + "/llm", trust_env=False) as client:
        assert (await client.get("/health")).status_code == 200
        for path in ("/ready", "/v1/models", "/openapi.json", "/unknown"):
            assert (await client.get(path)).status_code == 401, path
        assert (await client.post(CHAT, json=chat("m"))).status_code == 401
        assert provider.calls == []
        answer = await client.post(CHAT, json=chat("m"), headers=HEADERS)
        assert (answer.status_code, len(provider.calls)) == (200, 1)
        (call,) = provider.calls
        assert call.context.principal is not None
        assert call.context.principal.id == "key_00000001"


SPELLINGS = [
    "/v1/models",
    "/v1/models/",
    "/models",
    "//v1/models",
    "/v1//models",
    "/v1/%6dodels",
    "/%76%31/models",
    "/v1%2Fmodels",
    "/v1/models%00",
    "/v1/models%20",
    "/v1/models?",
    "/v1/models?/health",
    "/v1/models;/health",
    "/v1/models%23/health",
    "/health/../v1/models",
    "/health/%2e%2e/v1/models",
    "/health%2f..%2fv1/models",
    "/health//v1/models",
    "/health/v1/models",
    "/v1/models/m",
    "/V1/MODELS",
    "/docs/../v1/models",
    "/docs/%2e%2e%2fv1%2fmodels",
    "/docs/..%5cv1/models",
    "*",
    "http://x/v1/models",
    "http://x/health/../v1/models",
    "http://health/v1/models",
]
HOSTILE = ["health", "x/health", "x/health?", "x/health#", "x:80/health", "/health", "127.0.0.1/../health", "a:b:c", ""]


@pytest.mark.parametrize("server", SERVERS)
async def test_no_spelling_of_a_path_goes_in_without_a_key(server: str) -> None:
    provider = ScriptedProvider()
    guarded: Any = APIKeyMiddleware(
        LLMRouter({"*": provider}), store=CountingKeys(), exclude_paths=["/health", "/docs/*"]
    )
    async with SERVERS[server](guarded) as url:
        for target in SPELLINGS:
            assert (await ask(url, get(target)))[0] >= 400, target
        assert (await ask(url, get("/health")))[0] == 200
    assert provider.calls == []


@pytest.mark.parametrize("server", SERVERS)
async def test_no_host_header_goes_in_without_a_key(server: str) -> None:
    provider = ScriptedProvider()
    guarded: Any = APIKeyMiddleware(LLMRouter({"*": provider}), store=CountingKeys(), exclude_paths=["/health"])
    async with SERVERS[server](guarded) as url:
        for host in HOSTILE:
            for target in ("/v1/models", "/v1/models/m", "/ready"):
                assert (await ask(url, get(target, host=host)))[0] in {400, 401}, (host, target)
    assert provider.calls == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "TRACE", "PROPFIND"])
async def test_no_method_goes_in_without_a_key(method: str) -> None:
    provider = ScriptedProvider()
    guarded = APIKeyMiddleware(LLMRouter({"*": provider}), store=CountingKeys())
    async with uvicorn_here(guarded) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.request(method, CHAT)).status_code == 401
    assert provider.calls == []
