"""New settings for a server that runs: `xrouter serve` as a program of its own, and the parts by themselves."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakSet

import httpx
import pytest
from starlette.types import Message

from xrouter_asgi import LLMRouter
from xrouter_asgi.events import ProviderReplaced
from xrouter_asgi.reloading import FileWatch, Reload, ReloadableRouter
from xrouter_asgi.settings import Settings
from xrouter_asgi.testing.openai import FakeOpenAI, stream
from xrouter_asgi.testing.openai_answers import chunks
from xrouter_asgi.testing.scripted import ANSWER, ScriptedProvider, Step, chat

from .asgi_client import Answer, Exchange, body_messages, get, http_scope

PROGRAM = Path(sys.executable).with_name("xrouter")
STREAM = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "one two"}]}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")


class Gateway:
    """A running `xrouter serve`, and the file that it reads."""

    def __init__(self, file: Path, process: Process, client: httpx.AsyncClient) -> None:
        self.file = file
        self.process = process
        self.client = client

    async def says(self, pattern: str) -> str:
        """What it logs, as `LEVEL logger: message`, up to the first line that has the pattern."""
        assert self.process.stderr is not None
        said = ""
        async with asyncio.timeout(60):
            while not re.search(pattern, said):
                line = await self.process.stderr.readline()
                assert line, f"it said only: {said}"
                record = json.loads(line)
                said += f"{record['level'].upper()} {record['logger']}: {record['message']}\n"
        return said

    async def reload(self, text: str, says: str = "are reloaded") -> str:
        """Write the file, send SIGHUP and wait until it says so."""
        self.file.write_text(text)
        self.process.send_signal(signal.SIGHUP)
        return await self.says(says)

    async def models(self) -> list[str]:
        return [model["id"] for model in (await self.client.get("/v1/models")).json()["data"]]

    async def ask(self, model: str) -> httpx.Response:
        return await self.client.post("/v1/chat/completions", json={**STREAM, "stream": False, "model": model})


@asynccontextmanager
async def serving(folder: Path, text: str) -> AsyncIterator[Gateway]:
    file = folder / "xrouter.toml"
    file.write_text(text)
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "serve", "--port", "0", "--config", file, stdout=PIPE, stderr=PIPE
    )
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            gateway = Gateway(file, process, client)
            client.base_url = re.findall(r"http://[^/]+", await gateway.says("serves at .*\n"))[0]
            yield gateway
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


def settings(fake: FakeOpenAI, model: str, *, drain: float = 60, more: str = "") -> str:
    """One model at an upstream. Only SIGHUP reloads it."""
    return f"""
        providers.up = {{ kind = "openai", base_url = "{fake.base_url}" }}
        models.{model}.targets = ["up/gpt-4o"]
        server = {{ drain = {drain}, reload = false, explain = true }}
        access_log.format = "off"
        {more}
    """


# The program.


async def test_a_stream_runs_to_its_end_on_the_settings_that_it_met(tmp_path: Path) -> None:
    hold = asyncio.Event()
    async with FakeOpenAI() as fake, serving(tmp_path, settings(fake, "slow")) as gateway:
        fake.next(stream(*chunks(STREAM), hold=hold))
        async with gateway.client.stream("POST", "/v1/chat/completions", json=STREAM) as response:
            lines = response.aiter_lines()
            assert (await anext(lines)).startswith("data: ")
            await gateway.reload(settings(fake, "renamed"))
            assert await gateway.models() == ["renamed"]
            assert (await gateway.ask("slow")).status_code == 404
            assert (await gateway.ask("renamed")).status_code == 200
            hold.set()
            assert [line async for line in lines if line][-1] == "data: [DONE]"


async def test_what_outlasts_the_drain_on_old_settings_ends_with_an_error(tmp_path: Path) -> None:
    async with FakeOpenAI() as fake, serving(tmp_path, settings(fake, "slow", drain=0)) as gateway:
        fake.next(stream(*chunks(STREAM), hold=asyncio.Event()))
        async with gateway.client.stream("POST", "/v1/chat/completions", json=STREAM) as response:
            lines = response.aiter_lines()
            await anext(lines)
            await gateway.reload(settings(fake, "renamed", drain=0))
            *_, last = [line async for line in lines if line]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "not_ready"
        await fake.settled()
        assert (await gateway.ask("renamed")).status_code == 200


async def test_bad_settings_are_refused_with_every_problem_and_the_old_ones_stay(tmp_path: Path) -> None:
    async with FakeOpenAI() as fake, serving(tmp_path, settings(fake, "kept")) as gateway:
        version = Settings.load(gateway.file).version
        bad = settings(fake, "bad", more='providers.one = { kind = "ecko" }\ncors.origins = []')
        said = await gateway.reload(bad, says="stays in force")
        assert [line.split()[:4:3] for line in said.splitlines()[-3:-1]] == [
            ["ERROR", "providers.one"],
            ["ERROR", "cors.origins"],
        ]
        assert said.splitlines()[-1] == (
            f"ERROR xrouter.settings: The settings are not reloaded. Version {version} stays in force."
        )
        assert await gateway.models() == ["kept"]
        assert (await gateway.ask("kept")).status_code == 200


async def test_the_version_in_force_is_told_and_stands_on_every_decision(tmp_path: Path) -> None:
    async with FakeOpenAI() as fake, serving(tmp_path, settings(fake, "one")) as gateway:
        before = Settings.load(gateway.file).version
        said = await gateway.reload(settings(fake, "two"))
        after = Settings.load(gateway.file).version
        assert f"version {after}, before it {before}." in said
        body = {**STREAM, "stream": False, "model": "two"}
        answer = await gateway.client.post("/v1/chat/completions", json=body, headers={"x-xrouter-explain": "1"})
        assert json.loads(answer.headers["x-xrouter-explain"])["version"] == after


async def test_tables_that_need_a_restart_are_named(tmp_path: Path) -> None:
    async with FakeOpenAI() as fake, serving(tmp_path, settings(fake, "one")) as gateway:
        more = 'cors.origins = ["https://a.example"]'
        said = await gateway.reload(settings(fake, "two", drain=5, more=more), says="WARNING")
        assert said.splitlines()[-1] == (
            "WARNING xrouter.settings: Restart to change [server], [cors]. Until then the old values stay."
        )
        assert await gateway.models() == ["two"]
        assert (
            "access-control-allow-origin" not in (await gateway.client.get("/ready", headers={"origin": "x"})).headers
        )


async def test_a_change_of_the_file_is_noticed(tmp_path: Path) -> None:
    def text(model: str) -> str:
        return f'providers.echo = {{ kind = "echo" }}\nmodels.{model}.targets = ["echo/echo"]\n'

    async with serving(tmp_path, text("first")) as gateway:
        new = tmp_path / "new.toml"
        new.write_text(text("second"))
        new.replace(gateway.file)
        await gateway.says("are reloaded")
        assert await gateway.models() == ["second"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted where Linux shows them")
async def test_no_request_fails_and_no_descriptor_is_left_behind_while_settings_change(tmp_path: Path) -> None:
    async with FakeOpenAI() as fake, serving(tmp_path, settings(fake, "same")) as gateway:
        descriptors = Path(f"/proc/{gateway.process.pid}/fd")
        async with httpx.AsyncClient(base_url=gateway.client.base_url) as first:
            await first.get("/health")  # the event loop opens something of its own for the first connection
        before = len(os.listdir(descriptors))

        async def reload_often() -> None:
            for number in range(20):
                await gateway.reload(settings(fake, "same", more=f"models.n{number}.targets = ['up/a']"))

        async def ask_meanwhile() -> list[int]:
            statuses: list[int] = []
            while len(statuses) < 100 or not reloads.done():
                statuses.append((await gateway.ask("same")).status_code)
            return statuses

        reloads = asyncio.create_task(reload_often())
        one, other = await asyncio.gather(ask_meanwhile(), ask_meanwhile())
        await reloads
        assert set(one + other) == {200}
        await gateway.reload(settings(fake, "same"))
        await gateway.client.aclose()
        async with asyncio.timeout(20):
            while len(os.listdir(descriptors)) > before:  # noqa: ASYNC110 -- no event tells what a process has closed
                await asyncio.sleep(0.02)


# The parts.


class Stage:
    """A reloadable router, whose every router has a scripted provider of its own."""

    def __init__(self, model: str = "m", *steps: Step, drain: float = 60) -> None:
        self.providers: list[ScriptedProvider] = []
        self.events: list[object] = []
        self._steps = steps
        self._drain = drain
        self.app = ReloadableRouter(self.settings(model), build=self._build, observers=[self.events.append])

    def settings(self, model: str) -> Settings:
        models = {model: {"targets": ["one/echo"]}}
        return Settings.parse(
            {"providers": {"one": {"kind": "echo"}}, "models": models, "server": {"drain": self._drain}}
        )

    @property
    def closings(self) -> list[int]:
        return [provider.closings for provider in self.providers]

    def _build(self, settings: Settings) -> LLMRouter:
        self.providers.append(ScriptedProvider(*self._steps))
        return LLMRouter(dict.fromkeys(settings.served, self.providers[-1]))

    def begin(self, model: str) -> tuple[Exchange, asyncio.Task[Answer]]:
        """A stream, as a task."""
        body = json.dumps(chat(model, stream=True)).encode()
        exchange = Exchange(self.app, http_scope("POST", "/v1/chat/completions"), script=body_messages(body))
        return exchange, asyncio.create_task(exchange.run())


async def settle() -> None:
    """Let what is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_replaced_router_is_closed_when_its_last_request_has_ended() -> None:
    hold = asyncio.Event()
    stage = Stage("m", *ANSWER[:1], hold, *ANSWER[1:])
    async with stage.app.lifespan():
        exchange, running = stage.begin("m")
        await exchange.sent(2)
        await stage.app.replace(stage.settings("m"))
        await settle()
        assert (stage.closings, stage.events, stage.app.in_flight) == ([0, 0], [], 1)
        hold.set()
        assert (await running).events[-1] == "[DONE]"
        await settle()
        assert (stage.closings, stage.events) == ([1, 0], [ProviderReplaced("one")])
    assert stage.closings == [1, 1]


async def test_a_router_without_requests_is_closed_when_it_is_replaced() -> None:
    stage = Stage()
    async with stage.app.lifespan():
        await stage.app.replace(stage.settings("m"))
        await settle()
        assert stage.closings == [1, 0]


async def test_nothing_of_a_replaced_router_stays_in_memory_when_its_last_request_has_ended() -> None:
    alive: WeakSet[object] = WeakSet()
    hold = asyncio.Event()

    def build(settings: Settings) -> LLMRouter:
        provider = ScriptedProvider(*ANSWER[:1], hold, *ANSWER[1:])
        router = LLMRouter({"m": provider})
        alive.update((provider, router))
        return router

    stage = Stage()
    stage.app = ReloadableRouter(stage.settings("m"), build=build)
    async with stage.app.lifespan():
        exchanges = []
        for _ in range(3):
            exchange, running = stage.begin("m")
            await exchange.sent(2)
            exchanges.append(running)
            await stage.app.replace(stage.settings("m"))
        gc.collect()
        assert len(alive) == 2 * 4
        hold.set()
        await asyncio.gather(*exchanges)
        del exchange, running, exchanges
        await settle()
        gc.collect()
        assert len(alive) == 2


async def test_a_call_that_outlasts_the_drain_is_told_why_it_ends() -> None:
    stage = Stage("m", *ANSWER[:1], asyncio.Event(), drain=0)
    async with stage.app.lifespan():
        exchange, running = stage.begin("m")
        await exchange.sent(2)
        await stage.app.replace(stage.settings("m"))
        error = (await running).events[-1]["error"]
        assert error["message"] == (
            "The settings of this gateway have changed since this request began. Send the request again."
        )
        await settle()
        assert stage.closings == [1, 0]


@pytest.mark.parametrize("later", [False, True])
async def test_the_end_of_the_lifespan_closes_a_replaced_router_on_which_a_call_runs(*, later: bool) -> None:
    stage = Stage("m", *ANSWER[:1], asyncio.Event())
    async with stage.app.lifespan():
        exchange, running = stage.begin("m")
        await exchange.sent(2)
        await stage.app.replace(stage.settings("m"))
        if later:
            await settle()
    assert stage.closings == [1, 1]
    running.cancel()


async def test_to_stop_ends_calls_on_replaced_routers_as_well() -> None:
    stage = Stage("m", *ANSWER[:1], asyncio.Event())
    async with stage.app.lifespan():
        exchange, running = stage.begin("m")
        await exchange.sent(2)
        await stage.app.replace(stage.settings("m"))
        stage.app.stop()
        assert (await running).events[-1]["error"]["message"].startswith("This process is shutting down.")


async def test_settings_that_come_while_it_drains_do_not_make_it_ready_again() -> None:
    stage = Stage()
    async with stage.app.lifespan():
        stage.app.drain()
        await stage.app.replace(stage.settings("m"))
        assert (await get(stage.app, "/ready")).status == 503


async def test_models_are_named_as_the_newest_table_names_them() -> None:
    stage = Stage("old")
    async with stage.app.lifespan():
        await stage.app.replace(stage.settings("new-*"))
        assert [stage.app.entry(name) for name in ("old", "new-1")] == [None, "new-*"]


async def test_it_answers_a_servers_lifespan_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    sent: list[str] = []
    served = asyncio.Event()

    async def receive() -> Message:
        if sent:
            await stage.app.replace(stage.settings("m"))
            assert (await get(stage.app, "/health")).status == 200
            served.set()
        return {"type": "lifespan.shutdown" if sent else "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await stage.app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert served.is_set()
    assert stage.closings == [1, 1]
    assert caplog.messages == []


async def test_a_defect_while_settings_are_read_leaves_the_old_ones(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> Settings:
        raise RuntimeError("a defect")

    stage = Stage("kept")
    await Reload(stage.app, load=load).run()
    assert [message[:34] for message in caplog.messages] == ["The settings cannot be reloaded. V"]
    assert list(stage.app.models) == ["kept"]


def test_without_a_watch_a_reload_is_never_due() -> None:
    assert not Reload(Stage().app, load=Settings).due()


class TestFileWatch:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "xrouter.toml"
        file.write_text("old")
        return file

    def test_a_file_that_is_left_alone_has_not_changed(self, file: Path) -> None:
        watch = FileWatch(file)
        assert [watch.changed() for _ in range(3)] == [False] * 3

    def test_a_change_is_noticed_once_the_file_is_the_same_twice(self, file: Path) -> None:
        watch = FileWatch(file)
        file.write_text("half of")
        assert not watch.changed()
        file.write_text("half of the new one")
        assert not watch.changed()
        assert watch.changed()

    def test_what_was_noted_is_no_change(self, file: Path) -> None:
        watch = FileWatch(file)
        file.write_text("another")
        watch.note()
        assert [watch.changed() for _ in range(3)] == [False] * 3

    def test_a_file_of_the_same_size_and_time_in_its_place_is_a_change(self, file: Path, tmp_path: Path) -> None:
        watch = FileWatch(file)
        other = tmp_path / "other"
        other.write_text("new")
        os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
        other.replace(file)
        assert [watch.changed() for _ in range(2)] == [False, True]

    def test_a_file_that_is_away_has_not_changed_until_another_is_there(self, file: Path) -> None:
        watch = FileWatch(file)
        file.unlink()
        assert [watch.changed() for _ in range(3)] == [False] * 3
        file.write_text("it is back")
        assert [watch.changed() for _ in range(2)] == [False, True]

    async def test_a_reload_takes_note_of_the_file(self, file: Path) -> None:
        stage = Stage()
        watch = FileWatch(file)
        reload = Reload(stage.app, load=lambda: stage.settings("new"), watch=watch)
        os.utime(file, ns=(0, 0))
        assert [reload.due() for _ in range(2)] == [False, True]
        async with stage.app.lifespan():
            await reload.run()
        assert not reload.due()
        assert list(stage.app.models) == ["new"]
