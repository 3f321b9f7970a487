"""Who mounts the router passes on its lifespan; what holds however hosts come and go."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from tests.serving import uvicorn_here
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.scripted import ScriptedProvider, chat


async def test_the_last_of_two_hosts_closes() -> None:
    provider = ScriptedProvider()
    router = LLMRouter({"scripted": provider})
    first = Starlette(routes=[Mount("/llm", router)], lifespan=router.lifespan)
    async with uvicorn_here(first), uvicorn_here(router):
        async with uvicorn_here(FastAPI(lifespan=router.lifespan)):
            pass
        assert provider.closings == 0
    assert provider.closings == 1


def test_a_host_may_start_twice() -> None:
    """As every test suite that uses a TestClient does."""
    provider = ScriptedProvider()
    router = LLMRouter({"scripted": provider})
    app = FastAPI(lifespan=router.lifespan)
    app.mount("/llm", router)
    for times in (1, 2):
        with TestClient(app) as client:
            assert client.post("/llm/v1/chat/completions", json=chat()).status_code == 200
        assert provider.closings == times
