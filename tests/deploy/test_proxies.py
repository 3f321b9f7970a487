"""nginx and Caddy in front of a real `xrouter serve`, with the configuration of the examples."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from tests.gateway import serving
from xrouter_asgi.testing.openai import FakeOpenAI, stream
from xrouter_asgi.testing.openai_answers import chunk

from .tools import DEPLOY, check, tool

SETTINGS = """
[server]
port = 0
trusted_proxies = ["127.0.0.1"]
[providers.up]
kind = "openai"
base_url = "{url}"
[models.m]
targets = ["up/chat"]
[responses]
store = "off"
"""
NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""


def _nginx(folder: Path, port: int, gateway: str) -> list[str]:
    servers = (DEPLOY / "proxies/nginx.conf").read_text("utf-8")
    servers = servers.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace("/etc/nginx/tls", str(folder))
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, servers=servers.replace("127.0.0.1:8000", gateway)))
    check("nginx", "-t", "-p", folder, "-c", file)
    return [tool("nginx"), "-p", str(folder), "-c", str(file)]


def _caddy(folder: Path, port: int, gateway: str) -> list[str]:
    example = DEPLOY / "proxies/Caddyfile"
    check("caddy", "validate", "--adapter", "caddyfile", "--config", example)
    site = f"https://127.0.0.1:{port} {{\n\ttls {folder}/fullchain.pem {folder}/privkey.pem\n"
    text = example.read_text("utf-8").replace("llm.example.com {", site, 1).replace("127.0.0.1:8000", gateway)
    file = folder / "Caddyfile"
    file.write_text(f"{{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n}}\n{text}")
    return [tool("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]


@asynccontextmanager
async def proxied(kind: str, folder: Path, gateway: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a proxy in front of a gateway."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(str(folder / "privkey.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "fullchain.pem"))
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = {"nginx": _nginx, "caddy": _caddy}[kind](folder, port, gateway)
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=DEVNULL, stderr=DEVNULL)
    url = f"https://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=url, verify=trusted, trust_env=False, timeout=20) as client:
            await _ready(client, process)
            yield client
    finally:
        process.terminate()
        await process.wait()


async def _ready(client: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(20):
        while process.returncode is None:
            try:
                assert (await client.get("/ready")).status_code == 200
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
            else:
                return
    raise AssertionError("the proxy does not start")


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
async def test_a_stream_arrives_event_by_event(kind: str, tmp_path: Path) -> None:
    """The upstream says the second thing only when the client has read the first one."""
    tool(kind)
    config = tmp_path / "xrouter.toml"
    async with FakeOpenAI() as fake:
        config.write_text(SETTINGS.format(url=fake.base_url))
        async with (
            serving(config, {}) as gateway,
            proxied(kind, tmp_path, gateway.url.removeprefix("http://")) as client,
        ):
            read = asyncio.Event()
            fake.next(stream(chunk({"content": "one"}), chunk({}, "stop"), hold=read))
            body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
            forged = {"x-forwarded-for": "203.0.113.9"}
            async with client.stream("POST", "/v1/chat/completions", json=body, headers=forged) as answer:
                lines = answer.aiter_lines()
                async for line in lines:
                    if '"one"' in line:
                        break
                read.set()
                assert [line async for line in lines if line][-1] == "data: [DONE]"
        (told,) = [line for line in gateway.lines if line["path"] == "/v1/chat/completions"]
    assert told["client"] == "127.0.0.1"  # what the client says of itself is not passed on


def test_a_body_may_be_as_large_as_the_gateway_takes() -> None:
    sizes = [
        re.search(pattern, (DEPLOY / "proxies" / name).read_text("utf-8"))
        for name, pattern in (("nginx.conf", r"client_max_body_size (\d+)m"), ("Caddyfile", r"max_size (\d+)MiB"))
    ]
    assert [int(found[1]) << 20 for found in sizes if found] == [32 << 20] * 2
