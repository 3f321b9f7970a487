"""Raw requests against every server: what its parser lets through reaches the router, and only that may decide."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import openai
import pytest
from starlette.types import ASGIApp

from tests.serving import Loop, Parser, hypercorn_here, uvicorn_here, uvicorn_in_thread
from xrouter_asgi import APIKeyMiddleware, MemoryKeyStore
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.scripted import ScriptedProvider, chat

SERVERS: dict[str, Callable[[ASGIApp], AbstractAsyncContextManager[str]]] = {
    "uvicorn with httptools": lambda router: uvicorn_here(router, http="httptools"),
    "uvicorn with h11": lambda router: uvicorn_here(router, http="h11"),
    "hypercorn": hypercorn_here,
}
LIMIT = 1 << 20


async def ask(url: str, request: bytes) -> tuple[int, bytes, bytes]:
    """Send bytes, read until the server closes; status, head and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        async with asyncio.timeout(10):
            writer.write(request)
            answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


def get(target: str, *, host: str = "x") -> bytes:
    return f"GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode("latin-1")


def post(body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode() + body


@pytest.mark.parametrize("server", SERVERS)
async def test_paths_are_exact_whatever_they_are_spelt_like(server: str) -> None:
    provider = ScriptedProvider()
    async with SERVERS[server](LLMRouter({"org/m": provider, "*": provider})) as url:
        for target in ("/v1/models", "/models/", "/v1/models?", "/v1/models?limit=5&x=/../", "/v1/models/org/m"):
            assert (await ask(url, get(target)))[0] == 200, target
        for target in ("/v1/models/org%2Fm", "/v1/models/org%2fm/"):
            status, _, body = await ask(url, get(target))
            assert status == 200, target
            assert json.loads(body)["id"] == "org/m"
        for target in (
            "//v1/models",
            "/v1/../v1/models",
            "/v1/%2e%2e/v1/models",
            "/v1/models/../../health",
            "/%2Fv1/models",
            "/v1%5Cmodels",
            "/v1/models%00",
            "/v1/models%3F",
            "/v1/models;a",
        ):
            status, _, body = await ask(url, get(target))
            assert status == 404, target
            assert json.loads(body)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("host", ["evil/v1/models", "evil?", "a:b:c", "/v1/models#", "127.0.0.1:1/../"])
async def test_the_host_header_moves_no_path(server: str, host: str) -> None:
    async with SERVERS[server](LLMRouter({"m": ScriptedProvider()})) as url:
        assert (await ask(url, get("/v1/secret", host=host)))[0] in {404, 400}
        assert (await ask(url, get("/v1/models", host=host)))[0] in {200, 400}


@pytest.mark.parametrize("server", SERVERS)
async def test_a_whole_url_as_the_target_is_its_path_or_nothing(server: str) -> None:
    """RFC 9112, 3.2.2 wants it accepted; h11 hands it on as it is, and then it is no path of ours."""
    async with SERVERS[server](LLMRouter({"m": ScriptedProvider()})) as url:
        assert (await ask(url, get("http://other/v1/models")))[0] in {200, 404}
        assert (await ask(url, get("http://other/v1/secret/v1/models")))[0] == 404


@pytest.mark.parametrize("server", SERVERS)
async def test_other_methods_are_refused_with_those_that_are_not(server: str) -> None:
    async with SERVERS[server](LLMRouter({"m": ScriptedProvider()})) as url:
        for method in ("HEAD", "OPTIONS", "TRACE", "PUT", "PROPFIND"):
            request = f"{method} /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            status, head, body = await ask(url, request.encode())
            assert status == 405, method
            assert b"\r\nallow: get" in head
            assert bool(body) == (method != "HEAD")


@pytest.mark.parametrize("server", SERVERS)
async def test_a_body_announced_too_large_is_refused_without_reading_it(server: str) -> None:
    """The client sends none of it, and the answer comes."""
    provider = ScriptedProvider()
    async with SERVERS[server](LLMRouter({"m": provider}, max_body=LIMIT)) as url:
        status, head, body = await ask(url, post(b"", f"content-length: {LIMIT + 1}"))
    assert status == 413
    assert b"connection: close" in head
    assert json.loads(body)["error"]["code"] == "payload_too_large"
    assert provider.calls == []


@pytest.mark.parametrize("server", SERVERS)
async def test_a_body_that_grows_too_large_is_refused_while_it_comes(server: str) -> None:
    """The last chunk never comes, and the answer does."""
    provider = ScriptedProvider()
    chunks = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    async with SERVERS[server](LLMRouter({"m": provider}, max_body=LIMIT)) as url:
        status, head, _ = await ask(url, post(chunks * 17, "transfer-encoding: chunked"))
    assert status == 413
    assert b"connection: close" in head
    assert provider.calls == []


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    "headers",
    [
        ("content-length: 2", "transfer-encoding: chunked"),
        ("transfer-encoding: chunked", "content-length: 2"),
        ("content-length: 2", "content-length: 3"),
    ],
)
async def test_a_request_that_ends_in_two_places_is_refused_and_nothing_follows_it(
    server: str, headers: tuple[str, ...]
) -> None:
    provider = ScriptedProvider()
    smuggled = post(b"0\r\n\r\n" + get("/v1/models"), *headers)
    async with SERVERS[server](LLMRouter({"m": provider})) as url:
        status, _, body = await ask(url, smuggled)
    assert status == 400
    assert len(re.findall(rb"HTTP/1\.1", body)) == 0
    assert provider.calls == []


@pytest.mark.parametrize("server", SERVERS)
async def test_a_request_that_ends_in_two_places_leaves_no_connection_open_when_a_middleware_refuses_it(
    server: str,
) -> None:
    guarded = APIKeyMiddleware(LLMRouter({"m": ScriptedProvider()}), store=MemoryKeyStore())
    smuggled = post(b"0\r\n\r\n" + get("/v1/models"), "content-length: 2", "transfer-encoding: chunked")
    async with SERVERS[server](guarded) as url:
        status, _, body = await ask(url, smuggled)
    assert status in (400, 401)  # httptools refuses it before
    assert len(re.findall(rb"HTTP/1\.1", body)) == 0


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("model", ["\0", "m\0", " m ", "\u2028", "é\r\nx: y"])
async def test_a_model_of_any_name_has_an_answer(server: str, model: str) -> None:
    """h11 sends no answer with a header that it does not like."""
    body = json.dumps(chat(model)).encode()
    async with SERVERS[server](LLMRouter({model: EchoProvider(models=[model])})) as url:
        status, _, _ = await ask(url, post(body, f"content-length: {len(body)}", "connection: close"))
    assert status in (200, 400)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(server: str) -> None:
    provider = ScriptedProvider()
    async with SERVERS[server](LLMRouter({"m": provider})) as url:
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(post(b"{", "content-length: 100"))
        await writer.drain()
        writer.transport.abort()
        body = json.dumps(chat("m")).encode()
        status, _, _ = await ask(url, post(body, f"content-length: {len(body)}", "connection: close"))
    assert status == 200
    assert len(provider.calls) == 1


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_asks_before_it_sends_is_told_to_go_on(server: str) -> None:
    """As curl does above a megabyte."""
    body = json.dumps(chat("m")).encode()
    head = post(b"", f"content-length: {len(body)}", "expect: 100-continue", "connection: close")
    async with SERVERS[server](LLMRouter({"m": ScriptedProvider()})) as url, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(head)
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(body)
        assert b" 200 " in await reader.readline()
        writer.close()


@pytest.mark.parametrize(("http", "loop"), [("httptools", "uvloop"), ("h11", "asyncio")])
def test_a_program_without_a_loop_chats_with_a_server_that_has_one(http: Parser, loop: Loop) -> None:
    router = LLMRouter({"m": EchoProvider(models=["m"])})
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "say this"}]}
    with (
        uvicorn_in_thread(router, http=http, loop=loop) as url,
        openai.OpenAI(base_url=url, api_key="any", max_retries=0) as client,
    ):
        answer = client.chat.completions.create(**asked)
        assert answer.choices[0].message.content == "say this"
        stream = client.chat.completions.create(**asked, stream=True)
        assert [chunk.choices[0].delta.content for chunk in stream] == ["", "say ", "this", None]
