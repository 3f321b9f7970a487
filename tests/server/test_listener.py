"""A socket that a service manager passes: how systemd does it, without systemd."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.gateway import PROGRAM
from xrouter_asgi.server.listener import address_of, host_of, passed_listener

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd is Linux's")

SETTINGS = '[providers.echo]\nkind = "echo"\n[models.echo]\ntargets = ["echo/echo"]\n[responses]\nstore = "off"\n'
PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), "1"
os.execv(sys.argv[2], sys.argv[2:])
"""


@asynccontextmanager
async def activated(listener: socket.socket, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`xrouter serve` with a socket as its descriptor 3; ended by SIGTERM."""
    number = str(listener.fileno())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PASS, number, PROGRAM, "serve", *arguments, pass_fds=[listener.fileno()], stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "xrouter.toml"
    file.write_text(SETTINGS)
    return file


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_request_that_came_before_the_process_is_answered(config: Path, workers: str) -> None:
    """The socket outlives the process, so that a restart refuses no connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/health"
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            asking = asyncio.create_task(client.get(url))
            await asyncio.sleep(0)
            for _ in range(2 if workers == "1" else 1):
                async with activated(listener, "--config", str(config), "--workers", workers):
                    assert (await asking).status_code == 200
                asking = asyncio.create_task(client.get(url))
            asking.cancel()


async def test_a_unix_socket_is_served(config: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "http.sock"))
        listener.listen()
        async with activated(listener, "--config", str(config)) as process:
            assert process.stderr is not None
            said = b"".join([await process.stderr.readline() for _ in range(2)])
            assert f"serves at unix:{tmp_path}/http.sock" in said.decode()
            transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "http.sock"))
            async with httpx.AsyncClient(transport=transport) as client:
                assert (await client.get("http://gateway/health")).status_code == 200


async def test_a_socket_that_everybody_reaches_needs_keys_like_an_address(config: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        async with activated(listener, "--config", str(config)) as process:
            _, said = await process.communicate()
    assert "everybody who reaches 0.0.0.0 would be let in" in said.decode()


def test_a_socket_for_another_process_is_left_alone() -> None:
    assert passed_listener({"LISTEN_PID": str(os.getppid()), "LISTEN_FDS": "1"}) is None


def test_several_sockets_are_refused() -> None:
    with pytest.raises(ValueError, match="passes 2 sockets"):
        passed_listener({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})


async def test_a_socket_that_is_no_stream_is_refused(config: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        async with activated(datagrams, "--config", str(config)) as process:
            _, said = await process.communicate()
    assert "a socket that is no stream" in said.decode()


def test_an_address_is_written_as_in_urls(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert (host_of(listener), address_of(listener, scheme="https")) == ("127.0.0.1", f"https://127.0.0.1:{port}")
