"""More streams than descriptors: `xrouter serve` as a program of its own, which may have 1,024 of them."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from xrouter_asgi.admission import raise_descriptors
from xrouter_asgi.testing.scripted import chat

resource = pytest.importorskip("resource")

CLIENTS = 1500
LIMITED = """\
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
from xrouter_asgi.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
)


async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begins a stream, which goes on for ever."""
    await reader.readuntil(b"}]")
    writer.write(STREAM)
    await reader.read()
    writer.close()


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Enough of them for the clients and the upstream."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise_descriptors()
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 4 * CLIENTS:
        pytest.skip("This machine allows too few descriptors.")
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[int]:
    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    config = folder / "xrouter.toml"
    config.write_text(f'[providers.up]\nkind = "openai"\nbase_url = "{url}"\n[server]\ndrain = 0\n')
    process = await subprocess.create_subprocess_exec(
        *(sys.executable, "-c", LIMITED, "serve", "--config", str(config), "--port", "0"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            while not (found := re.search(rb" serves at http://127.0.0.1:(\d+)/", await process.stderr.readline())):
                pass
        yield int(found[1])
    finally:
        process.kill()
        await process.communicate()
        server.close()


async def status(port: int, request: bytes, held: list[asyncio.StreamWriter], *, host: str = "127.0.0.1") -> int:
    """The status of the answer to a request from that address of this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
    held.append(writer)
    writer.write(request)
    return int((await reader.readline()).split()[1])


@pytest.mark.usefixtures("descriptors")
async def test_each_of_1500_streams_is_served_or_refused_and_probes_are_answered_all_the_time(tmp_path: Path) -> None:
    body = str(chat("m", stream=True)).replace("'", '"').replace("True", "true").encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    probe = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    held: list[asyncio.StreamWriter] = []
    async with gateway(tmp_path) as port, asyncio.timeout(120):
        asking = [asyncio.create_task(status(port, head + body, held)) for _ in range(CLIENTS)]
        probed = []
        while not all(task.done() for task in asking):
            # As from another machine: the clients use up what is in reserve for their address.
            probed.append(await status(port, probe, held, host="127.0.0.2"))
            await asyncio.sleep(0.02)
        probed.append(await status(port, probe, held, host="127.0.0.2"))
        statuses = Counter(task.result() for task in asking)
        for writer in held:
            writer.transport.abort()
    assert statuses.keys() == {200, 503}
    assert 470 <= statuses[200] <= 480
    assert set(probed) == {200}
