"""One promise, every host: what a client sees does not tell where the router is mounted."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.mounting.hosts import HOSTS, django
from tests.serving import uvicorn_here
from xrouter_asgi.errors import UpstreamRateLimited
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.scripted import ScriptedProvider, chat


def router_of(provider: ScriptedProvider) -> LLMRouter:
    return LLMRouter({"scripted": provider, "broken": ScriptedProvider(UpstreamRateLimited("Slow down."))})


async def speak(*base_urls: str) -> None:
    """Chat and stream as the official SDK does."""
    async with openai.AsyncOpenAI(api_key="any", max_retries=0) as shared:
        for base_url in base_urls:
            await _speak(shared.with_options(base_url=base_url))


async def _speak(client: openai.AsyncOpenAI) -> None:
    listed = await client.models.list()
    assert [model.id for model in listed.data] == ["scripted", "broken"]
    answer = await client.chat.completions.create(**_asked())
    assert answer.choices[0].message.content == "hello"
    stream = await client.chat.completions.create(**_asked(), stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "hello"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 5


def _asked() -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}


async def stumble(base_url: str) -> None:
    """Errors are envelopes, whatever the host would answer by itself."""
    async with httpx.AsyncClient(base_url=base_url) as client:
        answers = {
            404: await client.get("/v1/nowhere"),
            405: await client.get("/v1/chat/completions"),
            400: await client.post("/v1/chat/completions", content=b"{"),
            429: await client.post("/v1/chat/completions", json=chat("broken", stream=True)),
        }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
        assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("lifespan", [True, False], ids=["with its lifespan", "without"])
@pytest.mark.parametrize("host", HOSTS)
async def test_a_mounted_router_serves_and_closes(host: str, lifespan: bool, caplog: pytest.LogCaptureFixture) -> None:
    provider = ScriptedProvider()
    async with HOSTS[host](router_of(provider), lifespan) as url:
        await speak(url, url + "/v1")
        await stumble(url)
    assert provider.closings == (1 if lifespan else 0)
    warnings = [record for record in caplog.records if "mounted without its lifespan" in record.message]
    assert len(warnings) == (0 if lifespan else 1)


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("bare", "/"),
        ("bare_below_a_root_path", "/proxy"),
        ("starlette", "/llm"),
        ("starlette_nested", "/a/b"),
        ("fastapi", "/llm"),
        ("fastapi_behind_a_stripping_proxy", "/proxy/llm"),
        ("fastapi_behind_a_plain_proxy", "/proxy/llm"),
        ("blacksheep_mount", "/llm"),
        ("litestar_mount", "/llm"),
        ("litestar_root", "/"),
        ("quart", "/llm"),
        ("django", "/llm"),
    ],
)
async def test_the_document_says_where_the_router_is_seen_from_outside(host: str, server: str) -> None:
    async with HOSTS[host](router_of(ScriptedProvider()), True) as url, httpx.AsyncClient() as client:
        document = (await client.get(url + "/openapi.json")).json()
    assert document["servers"] == [{"url": server}]


async def test_what_stands_beside_the_mount_is_still_served() -> None:
    async with django(router_of(ScriptedProvider()), True) as url, httpx.AsyncClient() as client:
        answer = await client.get(url.removesuffix("/llm") + "/hello")
    assert answer.text == "hello"


async def test_two_routers_in_one_process_know_nothing_of_each_other() -> None:
    one, other = ScriptedProvider(), ScriptedProvider()
    small = LLMRouter({"small": one}, max_body=100)
    large = LLMRouter({"large": other})
    app = Starlette(routes=[Mount("/small", small), Mount("/large", large)], lifespan=large.lifespan)
    async with uvicorn_here(app) as url, httpx.AsyncClient(base_url=url) as client:
        bodies = [chat(model, padding="x" * 100) for model in ("small", "large")]
        statuses = [
            (await client.post(f"/{mount}/v1/chat/completions", json=body)).status_code
            for mount in ("small", "large")
            for body in bodies
        ]
    assert statuses == [413, 413, 404, 200]
    assert (one.closings, other.closings) == (0, 1)
