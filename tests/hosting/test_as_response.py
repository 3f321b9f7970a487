"""An app as the answer of a route of FastAPI or Starlette, which depends on what the host has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Header, HTTPException
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from tests.serving import uvicorn_here
from xrouter_asgi import (
    APIKeyMiddleware,
    LLMRouter,
    Principal,
    RateLimitMiddleware,
    RequestContext,
    RequestEventsMiddleware,
    StaticKeys,
    as_response,
)
from xrouter_asgi.events import RequestEnded
from xrouter_asgi.testing.scripted import ScriptedProvider, chat, chunk

METHODS = ["GET", "POST", "DELETE"]
CHAT = "/v1/chat/completions"
ANN = Principal("ann")


def client_of(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=10)


def user(x_user: Annotated[str | None, Header()] = None) -> str:
    if x_user is None:
        raise HTTPException(401, "Log in.", {"WWW-Authenticate": "Session"})
    return x_user


def site(app: ASGIApp, **options: Any) -> FastAPI:
    """A host whose users are found by a dependency of its own."""
    host = FastAPI(**options)

    @host.api_route("/llm/{path:path}", methods=METHODS)
    async def llm(request: Request, name: Annotated[str, Depends(user)]) -> Response:
        return as_response(app, request, principal=Principal(name, models=(f"{name}-*",), limits=("2/minute",)))

    return host


def keyed(app: ASGIApp) -> ASGIApp:
    """Asks for a key that nobody has."""
    return APIKeyMiddleware(RateLimitMiddleware(app, limit="100/minute"), store=StaticKeys({}))


async def test_the_dependency_of_the_host_decides_who_comes_in_and_what_they_may_do() -> None:
    provider = ScriptedProvider()
    host = site(keyed(LLMRouter({"ann-*": provider, "bob-*": provider})))
    async with uvicorn_here(host) as url, client_of(f"{url}/llm") as client:
        stranger = await client.post(CHAT, json=chat("ann-1"))
        assert (stranger.status_code, stranger.json()) == (401, {"detail": "Log in."})
        assert (await client.post(CHAT, json=chat("bob-1"), headers={"x-user": "ann"})).status_code == 403
        answer = await client.post(CHAT, json=chat("ann-1"), headers={"x-user": "ann"})
        assert answer.json()["choices"][0]["message"]["content"] == "hello"
        assert (await client.post(CHAT, json=chat("ann-1"), headers={"x-user": "ann"})).status_code == 429
        assert (await client.post(CHAT, json=chat("bob-1"), headers={"x-user": "bob"})).status_code == 200
    assert [call.context.caller for call in provider.calls] == ["ann", "bob"]


async def test_without_a_principal_the_app_asks_for_a_key() -> None:
    host = FastAPI()

    @host.api_route("/llm/{path:path}", methods=METHODS)
    async def llm(request: Request) -> Response:
        return as_response(keyed(LLMRouter({"scripted": ScriptedProvider()})), request)

    async with uvicorn_here(host) as url, client_of(f"{url}/llm") as client:
        answer = await client.post(CHAT, json=chat())
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, None)


def test_what_is_no_principal_is_told_where_it_is_made() -> None:
    name: Any = "ann"
    request = Request({"type": "http"})
    with pytest.raises(TypeError, match=r"'principal' is a str\. Write Principal\(id\)"):
        as_response(LLMRouter({}), request, principal=name)


class Passing(BaseHTTPMiddleware):
    """What most hosts have in front of their routes."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


@pytest.mark.parametrize("middleware", [[], [Middleware(Passing)]], ids=["bare", "BaseHTTPMiddleware"])
async def test_a_stream_arrives_as_it_is_made_and_a_client_that_leaves_closes_the_upstream(
    middleware: list[Middleware],
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider([chunk("one")], go_on, [chunk("two")], asyncio.Event())
    host = site(LLMRouter({"ann-1": provider}), middleware=middleware)
    async with uvicorn_here(host) as url, client_of(f"{url}/llm") as client, asyncio.timeout(10):
        body = chat("ann-1", stream=True)
        async with client.stream("POST", CHAT, json=body, headers={"x-user": "ann"}) as answer:
            lines = answer.aiter_lines()
            assert "one" in await anext(lines)
            go_on.set()
            assert [line async for line in _two(lines)] == [""]
        await provider.settled.wait()
    assert (provider.opened, provider.closed) == (1, 1)


async def _two(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The lines before the one that holds the second chunk."""
    async for line in lines:
        if "two" in line:
            return
        yield line


def fastapi_router(app: ASGIApp) -> ASGIApp:
    api = APIRouter(prefix="/api/{tenant}")

    @api.api_route("/llm/{rest:path}", methods=METHODS)
    async def llm(tenant: str, request: Request) -> Response:
        return as_response(app, request)

    host = FastAPI()
    host.include_router(api)
    return host


def fastapi_below_a_root_path(app: ASGIApp) -> ASGIApp:
    host = FastAPI()

    @host.api_route("/tenant/llm/{rest:path}", methods=METHODS)
    async def llm(request: Request) -> Response:
        return as_response(app, request)

    return Starlette(routes=[Mount("/api", host)])


def starlette_mount(app: ASGIApp) -> ASGIApp:
    async def llm(request: Request) -> Response:
        return as_response(app, request)

    routes = [Route("/llm/{rest:path}", llm, methods=METHODS)]
    return Starlette(routes=[Mount("/api/tenant", Starlette(routes=routes))])


@pytest.mark.parametrize("make", [fastapi_router, fastapi_below_a_root_path, starlette_mount])
async def test_the_app_sees_the_path_below_the_route_and_knows_its_mount(make: Callable[[ASGIApp], ASGIApp]) -> None:
    host = make(LLMRouter({"a/b": ScriptedProvider()}))
    async with uvicorn_here(host) as url, client_of(f"{url}/api/tenant/llm") as client:
        for path in ("/v1/models", "/models/", "/v1/models/a/b"):
            assert (await client.get(path)).status_code == 200, path
        document = (await client.get("/openapi.json")).json()
        assert document["servers"] == [{"url": "/api/tenant/llm"}]
        assert (await client.get("/nowhere")).status_code == 404
        assert (await client.get("/")).json()["error"]["message"].startswith("Unknown request URL: GET /.")


async def test_below_a_root_path_of_the_server_the_mount_is_the_same() -> None:
    host = site(LLMRouter({"scripted": ScriptedProvider()}))
    async with uvicorn_here(host, root_path="/proxy") as url, client_of(f"{url}/llm") as client:
        document = (await client.get("/openapi.json", headers={"x-user": "ann"})).json()
        assert document["servers"] == [{"url": "/proxy/llm"}]


async def test_a_route_without_a_rest_hands_on_its_path_as_it_is() -> None:
    provider = ScriptedProvider()
    app = LLMRouter({"scripted": provider})
    host = FastAPI()

    @host.post("/v1/chat/completions")
    async def llm(request: Request) -> Response:
        return as_response(app, request)

    @host.get("/tenants/{number:int}")
    async def listed(number: int, request: Request) -> Response:
        return as_response(app, request)

    async with uvicorn_here(host) as url, client_of(url) as client:
        assert (await client.post(CHAT, json=chat())).status_code == 200
        # A number is no rest of a path, so the router is asked for what the client asked for.
        assert "GET /tenants/7" in (await client.get("/tenants/7")).json()["error"]["message"]


async def asked_model(request: Request) -> str:
    model: str = (await request.json())["model"]
    return model


async def test_a_body_that_the_route_has_read_already_is_there_for_the_app() -> None:
    provider = ScriptedProvider()
    app = LLMRouter({"scripted": provider})
    host = FastAPI()
    read = []

    @host.api_route("/llm/{path:path}", methods=METHODS)
    async def llm(request: Request, model: Annotated[str, Depends(asked_model)]) -> Response:
        read.append(model)
        return as_response(app, request, principal=ANN)

    async with uvicorn_here(host) as url, client_of(f"{url}/llm") as client:
        assert (await client.post(CHAT, json=chat())).status_code == 200
        assert (await client.post(CHAT, json=chat(stream=True))).text.endswith("data: [DONE]\n\n")
    assert (read, len(provider.calls)) == (["scripted"] * 2, 2)


async def test_headers_cookies_and_tasks_of_the_route_go_with_the_answer() -> None:
    app = LLMRouter({"scripted": ScriptedProvider()})
    host = FastAPI()
    done: list[str] = []

    @host.api_route("/own/{path:path}", methods=METHODS)
    async def own(request: Request) -> Response:
        response = as_response(app, request)
        response.headers["x-site"] = "1"
        response.set_cookie("seen", "yes")
        response.background = BackgroundTask(done.append, "own")
        return response

    @host.api_route("/injected/{path:path}", methods=METHODS)
    async def injected(request: Request, tasks: BackgroundTasks) -> Response:
        tasks.add_task(done.append, "injected")
        return as_response(app, request)

    async with uvicorn_here(host) as url, client_of(url) as client:
        answer = await client.get("/own/v1/models")
        assert (answer.status_code, answer.headers["x-site"]) == (200, "1")
        assert answer.headers["set-cookie"].startswith("seen=yes")
        assert answer.headers["content-length"] == str(len(answer.content))
        await client.get("/injected/v1/models")
    assert done == ["own", "injected"]


async def test_a_body_beyond_the_bound_of_the_host_is_a_413() -> None:
    provider = ScriptedProvider()
    app = LLMRouter({"scripted": provider})

    async def llm(request: Request) -> Response:
        return as_response(app, request)

    options: dict[str, Any] = {"max_body_size": 100}
    try:
        host = Starlette(routes=[Route("/llm/{path:path}", llm, methods=METHODS)], **options)
    except TypeError:
        pytest.skip("This Starlette has no bound of its own.")

    async def parts() -> AsyncIterator[bytes]:
        yield b" " * 200

    async with uvicorn_here(host) as url, client_of(f"{url}/llm") as client:
        assert (await client.post(CHAT, content=parts())).status_code == 413
    assert provider.calls == []


async def test_observers_around_the_host_hear_who_asked_what() -> None:
    heard: list[RequestContext] = []

    def hear(event: object) -> None:
        if isinstance(event, RequestEnded):
            heard.append(event.context)

    host = RequestEventsMiddleware(site(LLMRouter({"ann-1": ScriptedProvider()})), observers=[hear])
    async with uvicorn_here(host) as url, client_of(f"{url}/llm") as client:
        await client.post(CHAT, json=chat("ann-1"), headers={"x-user": "ann"})
    (context,) = heard
    assert (context.caller, context.model, len(context.attempts)) == ("ann", "ann-1", 1)


async def test_an_answer_that_the_app_cannot_give_is_the_hosts_own_500() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("a defect")

    host = site(broken)
    transport = httpx.ASGITransport(host, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
        assert (await client.get("/llm/x", headers={"x-user": "ann"})).status_code == 500
