"""`xrouter serve --workers 2`: a program of its own, with workers that are stopped, killed and reloaded."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.gateway import PROGRAM, Gateway, serving, xrouter
from tests.limits.servers import RedisServer, redis_server
from xrouter_asgi.settings import Settings, SettingsError
from xrouter_asgi.testing.openai import FakeOpenAI, endless, event
from xrouter_asgi.testing.openai_answers import chunk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the children of a process are told by Linux")

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
SETTINGS = """
[server]
port = 0
workers = 2
drain = 5
[providers.up]
kind = "openai"
base_url = "{url}"
[models.m]
targets = ["up/chat"]
[metrics]
port = 0
[responses]
store = "off"
{more}
"""


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as upstream:
        yield upstream


def config(folder: Path, fake: FakeOpenAI, more: str = "") -> Path:
    file = folder / "xrouter.toml"
    file.write_text(SETTINGS.format(url=fake.base_url, more=more))
    return file


def workers(gateway: Gateway) -> list[int]:
    """The processes that serve."""
    pid = gateway.process.pid
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


async def replaced(gateway: Gateway, gone: int) -> None:
    """Wait until another worker is there in place of one."""
    async with asyncio.timeout(20):
        while gone in workers(gateway) or len(workers(gateway)) < 2:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.05)


@asynccontextmanager
async def stream_of(url: str) -> AsyncIterator[httpx.Response]:
    async with (
        httpx.AsyncClient(timeout=20) as client,
        client.stream("POST", f"{url}/v1/chat/completions", json={**CHAT, "stream": True}) as answer,
    ):
        yield answer


async def ask(url: str, times: int = 1) -> list[int]:
    """The statuses of that many chats, each over a connection of its own."""
    statuses = []
    for _ in range(times):
        async with httpx.AsyncClient(timeout=20) as client:
            statuses.append((await client.post(f"{url}/v1/chat/completions", json=CHAT)).status_code)
    return statuses


async def counted(gateway: Gateway) -> int:
    """How many chats the metrics tell."""
    assert gateway.metrics is not None
    async with httpx.AsyncClient() as client:
        text = (await client.get(gateway.metrics)).text
    found = re.search(r'^xrouter_request_duration_seconds_count\{.*"chat"\} (\S+)$', text, re.MULTILINE)
    return 0 if found is None else int(float(found[1]))


async def test_metrics_are_sums_and_outlive_a_killed_worker_which_loses_only_its_own_streams(
    tmp_path: Path, fake: FakeOpenAI
) -> None:
    async with serving(config(tmp_path, fake), {}) as gateway:
        assert await ask(gateway.url, 20) == [200] * 20
        assert await counted(gateway) == 20
        fake.next(*[endless(event(chunk({"content": "a"})))] * 2)
        gone, other = workers(gateway)
        of_gone = await _stream_without(other, gateway, fake)
        of_other = await _stream_without(gone, gateway, fake)
        os.kill(gone, signal.SIGKILL)
        await replaced(gateway, gone)
        with pytest.raises(httpx.RemoteProtocolError):
            await of_gone
        assert not of_other.done()
        assert await ask(gateway.url, 5) == [200] * 5
        assert await counted(gateway) >= 25
        of_other.cancel()
        await asyncio.wait({of_other})
        assert other in workers(gateway)
    assert gateway.process.returncode == 0
    assert re.search(r"Worker \d ended by itself \(-9\)\. Another one takes its place\.", gateway.errors)


async def _stream_without(worker: int, gateway: Gateway, fake: FakeOpenAI) -> asyncio.Task[None]:
    """Begin a stream at another worker: this one is stopped meanwhile."""
    os.kill(worker, signal.SIGSTOP)
    try:
        stream = asyncio.create_task(_read_until_cut(gateway.url))
        await fake.arrived(len(fake.requests) + 1)
    finally:
        os.kill(worker, signal.SIGCONT)
    return stream


async def _read_until_cut(url: str) -> None:
    async with stream_of(url) as answer:
        async for _ in answer.aiter_raw():
            pass


async def test_sigterm_lets_streams_of_all_workers_finish(tmp_path: Path, fake: FakeOpenAI) -> None:
    hold = asyncio.Event()
    from xrouter_asgi.testing.openai import stream

    fake.next(*[stream(chunk({"content": "a"}), chunk({}, "stop"), hold=hold)] * 4)
    async with serving(config(tmp_path, fake), {}) as gateway:
        streams = [asyncio.create_task(_whole(gateway.url)) for _ in range(4)]
        await fake.arrived(4)
        gateway.process.terminate()
        await asyncio.sleep(0.3)
        assert gateway.process.returncode is None
        hold.set()
        assert all("[DONE]" in text for text in await asyncio.gather(*streams))
    assert gateway.process.returncode == 0


async def _whole(url: str) -> str:
    async with stream_of(url) as answer:
        return (await answer.aread()).decode()


async def test_a_reload_reaches_every_worker_and_bad_settings_reach_none(tmp_path: Path, fake: FakeOpenAI) -> None:
    file = config(tmp_path, fake)
    good = file.read_text()
    async with serving(file, {}) as gateway:
        file.write_text(good.replace("up/chat", "nobody/chat"))
        gateway.process.send_signal(signal.SIGHUP)
        await until(gateway, "The settings are not reloaded")
        assert await ask(gateway.url, 4) == [200] * 4
        file.write_text(good.replace("[models.m]", "[models.other]"))
        gateway.process.send_signal(signal.SIGHUP)
        for _ in range(3):  # the supervisor and its workers
            await until(gateway, "The settings are reloaded")
        assert await ask(gateway.url, 6) == [404] * 6


async def until(gateway: Gateway, words: str) -> None:
    assert gateway.process.stderr is not None
    async with asyncio.timeout(20):
        while words not in (line := (await gateway.process.stderr.readline()).decode()):
            assert line
            gateway.errors += line


async def test_workers_end_when_their_supervisor_is_gone(tmp_path: Path, fake: FakeOpenAI) -> None:
    async with serving(config(tmp_path, fake), {}) as gateway:
        running = workers(gateway)
        gateway.process.kill()
        await gateway.process.wait()
        async with asyncio.timeout(20):
            while any(_runs(pid) for pid in running):  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def test_workers_that_do_not_come_up_end_the_program(tmp_path: Path, fake: FakeOpenAI) -> None:
    """What a worker cannot have is told once, and nothing is tried for ever."""
    file = config(tmp_path, fake)
    broken = tmp_path / "sitecustomize.py"
    broken.write_text("import os, sys\nif '--worker' in sys.orig_argv: sys.exit('This worker is broken.')\n")
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        "serve",
        "--config",
        str(file),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert "The workers do not come up, as they say above." in errors.decode()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


async def test_limits_are_exact_over_all_workers(tmp_path: Path, fake: FakeOpenAI, redis: RedisServer) -> None:
    limits = f'[rate_limit]\nlimit = "50/minute"\nstorage = "{redis.url}"\n'
    async with serving(config(tmp_path, fake, limits), {}) as gateway, httpx.AsyncClient(timeout=20) as client:
        answers = await asyncio.gather(
            *(client.post(f"{gateway.url}/v1/chat/completions", json=CHAT) for _ in range(200))
        )
    assert sum(answer.status_code == 200 for answer in answers) == 50
    assert sum(answer.status_code == 429 for answer in answers) == 150


ADMIN = """
[admin]
port = 0
[keys]
url = "sqlite:///keys.db"
[rate_limit]
limit = "1000/minute"
storage = "{redis}"
"""


async def test_the_operator_sees_all_workers_and_reaches_them(
    tmp_path: Path, fake: FakeOpenAI, redis: RedisServer
) -> None:
    file = config(tmp_path, fake, ADMIN.format(redis=redis.url))
    await xrouter("keys", "migrate", "--config", str(file))
    operator = json.loads(await xrouter("admin", "key", "--config", str(file), "--json"))
    async with serving(file, {}) as gateway, _operator_at(gateway, operator["secret"]) as admin:
        made = (await admin.post("/api/keys", json={"owner": "ann"})).json()
        own = {"authorization": f"Bearer {made['secret']}"}
        asked = 0
        while {each["worker"] for each in await _requests(admin)} != {1, 2}:
            asked += 1
            assert await _chat(gateway.url, own) == 200
        overview = (await admin.get("/api/overview")).json()
        assert overview["workers"] == {"answering": 2, "of": 2}
        assert sum(minute["requests"] for minute in overview["minutes"]) == asked
        assert {each["owner"] for each in await _requests(admin)} == {"ann"}
        ((target,),) = [model["targets"] for model in (await admin.get("/api/models")).json()["models"]]
        assert (target["attempts"], target["workers"]) == (asked, [1, 2])
        (limit,) = (await admin.get(f"/api/keys/{made['id']}")).json()["limits_used"]
        assert (limit["limit"], limit["used"], limit["worker"]) == ("1000 per 1 minute", str(asked), None)
        assert (await admin.post("/api/providers/up/probe")).json()["failure"] is None
        assert (await admin.post(f"/api/keys/{made['id']}/revoke")).status_code == 200
        while await _chat(gateway.url, own) != 401:
            pass  # the news of it is under way to the workers
        file.write_text(file.read_text().replace("[models.m]", "[models.other]"))
        reloaded = (await admin.post("/api/reload")).json()
        assert reloaded["reloaded"]
        assert reloaded["version"] == (await admin.get("/api/settings")).json()["version"] != reloaded["before"]
        while [each["name"] for each in (await admin.get("/api/models")).json()["models"]] != ["other"]:
            pass  # the workers read them
    assert gateway.process.returncode == 0


@asynccontextmanager
async def _operator_at(gateway: Gateway, secret: str) -> AsyncIterator[httpx.AsyncClient]:
    found = re.search(r"operator's pages are at (http://[^\s\"/]+)/", gateway.errors)
    assert found is not None
    headers = {"authorization": f"Bearer {secret}"}
    async with asyncio.timeout(60), httpx.AsyncClient(base_url=found[1], headers=headers, timeout=20) as client:
        yield client


async def _requests(admin: httpx.AsyncClient) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await admin.get("/api/requests")).json()["requests"]
    return found


async def _chat(url: str, headers: dict[str, str]) -> int:
    """The status of a chat over a connection of its own."""
    async with httpx.AsyncClient(timeout=20) as client:
        return (await client.post(f"{url}/v1/chat/completions", json=CHAT, headers=headers)).status_code


ECHO = {"providers": {"e": {"kind": "echo"}}, "responses": {"store": "off"}}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"rate_limit": {"limit": "1/minute"}}, "rate_limit.storage counts in the memory of one process"),
        ({"keys": {"url": "sqlite:///k.db"}}, "rate_limit.storage counts in the memory of one process"),
        ({"metrics": {"token": "env:T"}}, "metrics.port is missing"),
        ({"responses": {"store": "memory"}}, "responses.store keeps responses in the memory of one process"),
    ],
)
def test_what_several_processes_would_each_do_for_themselves_is_refused(document: dict[str, object], said: str) -> None:
    environment = {"T": "t" * 32}
    Settings.parse({**ECHO, **document}, environment=environment)
    with pytest.raises(SettingsError) as caught:
        Settings.parse({**ECHO, **document, "server": {"workers": 2}}, environment=environment)
    assert said in caught.value.problems[0]
    with pytest.raises(SettingsError) as caught:
        Settings.parse({**ECHO, **document}, environment=environment).with_server(workers=2)
    assert said in caught.value.problems[0]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"rate_limit": {"limit": "1/minute", "allow_per_process": True}},
        {"rate_limit": {"limit": "1/minute", "storage": "redis://r"}},
        {"metrics": {"port": 9000}},
        {"responses": {"store": "redis://r"}},
    ],
)
def test_what_processes_share_is_taken(document: dict[str, object]) -> None:
    assert Settings.parse({**ECHO, **document}).with_server(workers=4).server.workers == 4


@pytest.mark.parametrize("number", ["0", "257", "many"])
async def test_an_odd_number_of_workers_is_told(number: str) -> None:
    process = await asyncio.create_subprocess_exec(PROGRAM, "serve", "--workers", number, stdout=PIPE, stderr=PIPE)
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert "is no number of processes. Write one from 1 to 256." in errors.decode()


async def test_check_tells_what_several_workers_would_do_wrong(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('server.workers = 2\nproviders.e.kind = "echo"\nrate_limit.limit = "1/minute"\n')
    with pytest.raises(AssertionError, match="2 workers would admit 2 times as much"):
        await xrouter("check", "--config", str(file))
