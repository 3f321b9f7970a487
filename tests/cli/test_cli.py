"""The command line. Signals and logging are tested on a program of its own, everything else in this process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import openai
import pytest

from xrouter_asgi.cli.main import main
from xrouter_asgi.settings import Settings
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.openai import FakeOpenAI, refuse, stream
from xrouter_asgi.testing.openai_answers import chunks

from .served import serve

SERVES = "serves at .*\n"
PROGRAM = Path(sys.executable).with_name("xrouter")
CHAT = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "one two"}]}

RULES = "error_share, circuit_open, credential_refused, model_gone"  # without quota_used_up


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("GIGACHAT_", "XROUTER_", "OPENAI_"))]:
        monkeypatch.delenv(name)


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[Process]:
    """`xrouter` with these arguments; ended by force if it is still there."""
    process = await asyncio.create_subprocess_exec(PROGRAM, *arguments, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(stream: asyncio.StreamReader | None, pattern: str) -> str:
    """What the program says up to the first line that has the pattern."""
    assert stream is not None
    said = ""
    while not re.search(pattern, said):
        line = await stream.readline()
        assert line, f"it said only: {said}"
        said += line.decode()
    return said


async def address(process: Process) -> str:
    """Where `xrouter serve` says that it serves."""
    return address_in(await until(process.stderr, SERVES))


def address_in(said: str) -> str:
    (url,) = re.findall(r"serves at (http://[^\s\"]+)", said)
    return str(url)


async def nothing(said: str) -> None:
    """Ask nothing."""


def settings(folder: Path, fake: FakeOpenAI, *, drain: float = 60, more: str = "") -> str:
    file = folder / "xrouter.toml"
    file.write_text(
        f"""
        [providers.up]
        kind = "openai"
        base_url = "{fake.base_url}"
        [models.slow]
        targets = ["up/gpt-4o", "up/other"]
        [server]
        port = 0
        drain = {drain}
        {more}
        """
    )
    return str(file)


def configure(text: str = "") -> None:
    """Write `./xrouter.toml` with a provider and this."""
    Path("xrouter.toml").write_text(f'providers.one = {{ kind = "echo" }}\n{text}')


@asynccontextmanager
async def held_stream(url: str) -> AsyncIterator[tuple[httpx.AsyncClient, AsyncIterator[str]]]:
    """A client, and the lines of a stream that it has begun to read."""
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
        client.stream("POST", "/chat/completions", json=CHAT) as response,
    ):
        lines = response.aiter_lines()
        assert (await anext(lines)).startswith("data: ")
        yield client, lines


async def drained(client: httpx.AsyncClient) -> None:
    """Wait until readiness says no."""
    while (await client.get("/../ready")).status_code != 503:
        pass


class TestDemo:
    async def test_it_prints_what_makes_openais_client_work(self) -> None:
        async with running("demo", "--port", "0") as process:
            said = await until(process.stdout, "Ctrl")
            url = re.findall(r"^export OPENAI_BASE_URL=(\S+)$", said, re.MULTILINE)[0]
            key = re.findall(r"^export OPENAI_API_KEY=(\S+)$", said, re.MULTILINE)[0]
            async with openai.AsyncOpenAI(base_url=url, api_key=key) as client:
                words = await client.chat.completions.create(
                    model="echo", messages=[{"role": "user", "content": "Hello from here"}], stream=True
                )
                heard = [word.choices[0].delta.content async for word in words]
            assert [word for word in heard if word] == ["Hello ", "from ", "here"]
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0

    @pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
    def test_its_curl_command_streams_when_it_is_pasted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def ask(said: str) -> None:
            command = said[said.index("curl") : said.index("Ctrl")]
            shell = await asyncio.create_subprocess_shell(command, stdout=PIPE, stderr=PIPE)
            heard, _ = await shell.communicate()
            assert heard.count(b"data: ") > 3
            assert heard.endswith(b"data: [DONE]\n\n")

        serve(monkeypatch, "demo", "--port", "0", ready="Ctrl", ask=ask)

    def test_the_printed_port_is_the_one_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        out, _ = serve(monkeypatch, "demo", "--port", str(port), ready="Ctrl", ask=nothing)
        assert f"export OPENAI_BASE_URL=http://127.0.0.1:{port}/v1\n" in out

    @pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6 on this machine")
    def test_an_address_of_ip_version_6_is_printed_in_brackets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def ask(said: str) -> None:
            url = re.findall(r"http://\[::1\]:\d+", said)[0]
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"{url}/health")).status_code == 200

        serve(monkeypatch, "demo", "--host", "::1", "--port", "0", ready="Ctrl", ask=ask)


class TestServe:
    async def test_it_says_what_it_serves_and_serves_it(self, tmp_path: Path) -> None:
        async with FakeOpenAI() as fake, running("serve", "--config", settings(tmp_path, fake)) as process:
            url = await address(process)
            async with openai.AsyncOpenAI(base_url=url, api_key="any") as client:
                answer = await client.chat.completions.with_raw_response.create(
                    model="slow", messages=[{"role": "user", "content": "hi there"}]
                )
            assert answer.parse().choices[0].message.content == "hi there"
            assert "server" not in answer.headers
            assert fake.last["model"] == "gpt-4o"
            process.terminate()
            out, said = await process.communicate()
            assert [json.loads(line)["status"] for line in out.splitlines()] == [200]
            assert said == b""
            assert process.returncode == 0

    async def test_the_id_that_a_client_was_given_leads_to_the_line_about_its_failure(self, tmp_path: Path) -> None:
        async with FakeOpenAI() as fake, running("serve", "--config", settings(tmp_path, fake)) as process:
            url = await address(process)
            fake.next(*[refuse(500)] * 9)
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.post(f"{url}/chat/completions", json={**CHAT, "stream": False})
            assert answer.status_code == 502
            line = json.loads((await until(process.stderr, '"warning"')).splitlines()[-1])
            assert (line["request_id"], line["provider"]) == (answer.headers["x-request-id"], "up")

    async def test_gigachats_environment_alone_serves_gigachat(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with FakeGigaChat() as fake:
            monkeypatch.setenv("GIGACHAT_CREDENTIALS", fake.key)
            monkeypatch.setenv("GIGACHAT_BASE_URL", fake.base_url)
            monkeypatch.setenv("GIGACHAT_AUTH_URL", fake.auth_url)
            monkeypatch.setenv("GIGACHAT_MODEL", "GigaChat-2-Max")
            monkeypatch.setenv("GIGACHAT_MAX_RETRIES", "3")
            async with running("serve", "--port", "0") as process:
                said = await until(process.stderr, SERVES)
                assert '"message": "GIGACHAT_MAX_RETRIES has no effect here."' in said.splitlines()[0]
                async with openai.AsyncOpenAI(base_url=address_in(said), api_key="any") as client:
                    listed = [model.id async for model in client.models.list()]
                    answers = [
                        await client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
                        for model in ("GigaChat-2-Pro", "default")
                    ]
        assert {"default", "GigaChat-2", "GigaChat-2-Pro", "Embeddings"} <= set(listed)
        assert [answer.choices[0].message.content for answer in answers] == ["You said: hi"] * 2
        asked = [json.loads(request.body)["model"] for request in fake.asked("/chat/completions")]
        assert asked == ["GigaChat-2-Pro", "GigaChat-2-Max"]

    async def test_after_sigterm_streams_finish_while_readiness_says_no(self, tmp_path: Path) -> None:
        hold = asyncio.Event()
        async with FakeOpenAI() as fake, running("serve", "--config", settings(tmp_path, fake)) as process:
            url = await address(process)
            fake.next(stream(*chunks(CHAT), hold=hold))
            async with held_stream(url) as (client, lines):
                process.terminate()
                await drained(client)
                assert process.returncode is None
                hold.set()
                assert [line async for line in lines if line][-1] == "data: [DONE]"
            assert await process.wait() == 0

    async def test_what_outlasts_the_drain_ends_with_an_error(self, tmp_path: Path) -> None:
        async with FakeOpenAI() as fake, running("serve", "--config", settings(tmp_path, fake, drain=0.3)) as process:
            url = await address(process)
            fake.next(stream(*chunks(CHAT), hold=asyncio.Event()))
            async with held_stream(url) as (_, lines):
                process.terminate()
                *_, last = [line async for line in lines if line]
            assert json.loads(last.removeprefix("data: "))["error"]["code"] == "not_ready"
            _, said = await process.communicate()
            assert b"Traceback" not in said
            assert process.returncode == 0
            await fake.settled()

    async def test_a_second_signal_ends_it_at_once(self, tmp_path: Path) -> None:
        async with FakeOpenAI() as fake, running("serve", "--config", settings(tmp_path, fake)) as process:
            url = await address(process)
            fake.next(stream(*chunks(CHAT), hold=asyncio.Event()))
            async with held_stream(url) as (client, _):
                process.terminate()
                await drained(client)
                assert "Requests that still run get up to 60 s to finish: 1." in await until(
                    process.stderr, "still run"
                )
                process.terminate()
                _, said = await process.communicate()
            assert b"Traceback" not in said
            assert process.returncode == 0

    def test_a_taken_address_is_told_in_one_sentence(self, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            assert main(["demo", "--port", str(port)]) == 1
        out, said = capsys.readouterr()
        assert said == (
            f"Cannot listen at 127.0.0.1:{port}: Address already in use. Choose another with --host and --port.\n"
        )
        assert out == ""

    def test_a_name_that_is_no_address_is_told_in_one_sentence(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["demo", "--host", "no.such.host.invalid", "--port", "0"]) == 1
        assert re.fullmatch(r"Cannot listen at no\.such\.host\.invalid:0: .+\n", capsys.readouterr().err)

    def test_without_uvicorn_it_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "xrouter_asgi.server.server", None)
        assert main(["demo"]) == 1
        assert capsys.readouterr().err == (
            'Serving needs uvicorn. Install it with: pip install "xrouter-asgi[server]"\n'
        )

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example"])
    def test_without_keys_it_serves_this_machine_alone(self, host: str, capsys: pytest.CaptureFixture[str]) -> None:
        configure()
        assert main(["serve", "--host", host, "--port", "0"]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"Without [keys] in the settings everybody who reaches {host} would be let in.")
        assert "--no-auth" in said

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
    def test_this_machine_may_be_served_without_keys(
        self, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure()
        monkeypatch.setitem(sys.modules, "xrouter_asgi.server.server", None)  # what comes next
        assert main(["serve", "--host", host]) == 1
        assert capsys.readouterr().err.startswith("Serving needs uvicorn.")

    def test_everybody_is_served_when_it_is_told_to(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def ask(said: str) -> None:
            url = address_in(said).replace("0.0.0.0", "127.0.0.1")
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"{url}/models")).status_code == 200

        configure()
        serve(monkeypatch, "serve", "--host", "0.0.0.0", "--port", "0", "--no-auth", ready=SERVES, ask=ask)
        assert caplog.messages == ["Everybody who reaches 0.0.0.0 is let in: the settings have no [keys]"]

    def test_keys_and_no_auth_contradict_each_other(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure('keys.url = "sqlite:///keys.db"')
        assert main(["serve", "--no-auth"]) == 1
        assert capsys.readouterr().err.startswith("The settings have [keys], and --no-auth says to ask for none.")

    def test_metrics_can_have_a_port_of_their_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def ask(said: str) -> None:
            (metrics,) = re.findall(r"shown at (http://[^\s\"]+)", said)
            url = address_in(said)
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"{url}/models")).status_code == 200
                assert 'xrouter_endpoint="models"' in (await client.get(metrics)).text
                assert (await client.get(url.replace("/v1", "/metrics"))).status_code == 404

        configure("metrics.port = 0")
        serve(monkeypatch, "serve", "--port", "0", ready=SERVES, ask=ask)

    def test_a_taken_port_of_metrics_is_told_in_one_sentence(self, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            configure(f"metrics.port = {port}")
            assert main(["serve", "--port", "0"]) == 1
        assert capsys.readouterr().err == (
            f"Cannot listen at 127.0.0.1:{port}: Address already in use. Write another port in [metrics].\n"
        )

    @pytest.mark.parametrize(("trusted", "client"), [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.7")])
    def test_only_a_proxy_that_is_trusted_says_who_is_calling(
        self, trusted: str, client: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def ask(said: str) -> None:
            async with httpx.AsyncClient(trust_env=False) as asking:
                forged = {"x-forwarded-for": "198.51.100.1, 203.0.113.7"}
                await asking.get(f"{address_in(said)}/models", headers=forged)

        configure(f"server.trusted_proxies = {[trusted] if trusted else []}")
        out, _ = serve(monkeypatch, "serve", "--port", "0", ready=SERVES, ask=ask)
        assert json.loads(out)["client"] == client

    async def test_the_access_log_may_go_to_logging(self) -> None:
        configure('access_log.format = "logging"')
        async with running("serve", "--port", "0") as process, httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"{await address(process)}/models")
            line = json.loads((await until(process.stderr, "xrouter.access")).splitlines()[-1])
            assert json.loads(line["message"])["status"] == 200

    def test_without_any_settings_it_tells_three_ways_to_start(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["serve"]) == 1
        said = capsys.readouterr().err
        assert [way in said for way in ("xrouter demo", "GIGACHAT_CREDENTIALS=", "xrouter init")] == [True] * 3


class TestCheck:
    def test_good_settings_are_told_resolved(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        Path("xrouter.toml").write_text(
            'providers.one = { kind = "echo" }\nproviders.two = { kind = "echo" }\n'
            'models.first.targets = ["one/echo"]\nmodels."second-*".targets = ["two/*"]\n'
        )
        assert main(["check"]) == 0
        source, models, providers, layers = capsys.readouterr().out.split("\n\n")
        assert source == f"settings: {tmp_path / 'xrouter.toml'}"
        assert models == "model     target\nfirst     one/echo\nsecond-*  two/*"
        assert providers.splitlines()[1] == "one       echo  chat    -        -"
        assert layers.startswith("keys        off: whoever reaches this server is let in\nlimits      off\n")

    def test_it_tells_which_layers_are_on(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SECRET", "s" * 32)
        monkeypatch.setenv("WEBHOOK", "https://hooks.example/hidden")
        Path("xrouter.toml").write_text(
            """
            providers.one = { kind = "echo" }
            keys = { url = "postgresql://me:hidden@db.example/keys?ssl=require", pepper = "env:SECRET" }
            rate_limit = { limit = "60/minute", storage = "redis://:hidden@cache.example/1" }
            tracing = { sampling = 0.1, endpoint = "http://collector.example:4318" }
            access_log = { format = "text" }
            metrics = { token = "env:SECRET" }
            alerts.off = ["quota_used_up"]
            alerts.slack = { url = "env:WEBHOOK" }
            alerts.telegram = { token = "env:SECRET", chat = "7" }
            cors = { origins = ["https://a.example", "https://b.example"] }
            """
        )
        assert main(["check"]) == 0
        assert capsys.readouterr().out.split("\n\n")[-1].splitlines() == [
            "keys        postgresql://db.example/keys, HMAC-SHA-256 with pepper 1",
            "limits      60 per 1 minute; counted in redis://cache.example/1, without it by each process for itself",
            "ledger      off",
            "responses   kept in memory, 3600 s after their last use; several workers need a Redis",
            "access log  text on the standard output",
            "log         JSON on the standard error, from the level info on",
            "tracing     10% to http://collector.example:4318",
            "metrics     /metrics, with a token",
            f"alerts      {RULES}, limiter_degraded, budget, ledger_behind; told to log, slack, telegram",
            "cors        for https://a.example, https://b.example",
            "admin       off",
            f"version     {Settings.load().version}",
        ]

    @pytest.mark.parametrize(
        ("table", "told"),
        [
            ('keys.url = "sqlite:///k.db"', "limits      only those that keys or models have; counted in memory"),
            ("tracing = {}", "tracing     100% to http://localhost:4318"),
            ('access_log.format = "logging"', "access log  JSON to the logger xrouter.access"),
            ('access_log.format = "off"', "access log  off"),
            ("metrics.port = 9100", "metrics     on port 9100 of 127.0.0.1, without a token"),
            (
                'alerts = { slow = 5, off = ["quota_used_up"], log = false, webhook.url = "https://h.example" }',
                f"alerts      {RULES}, limiter_degraded, budget, ledger_behind, slow; told to webhook",
            ),
        ],
    )
    def test_it_tells_how_a_layer_is_on(self, table: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
        configure(table)
        assert main(["check"]) == 0
        assert told in capsys.readouterr().out.splitlines()

    @pytest.mark.parametrize(
        ("limits", "warned"),
        [
            ('limit = "100 tokens/minute"', True),
            ('models.echo = "100 tokens/day"', True),
            ('limit = "100 tokens/minute; 8 parallel"', False),
            ('limit = "8 parallel"\nmodels.echo = "100 tokens/day"', False),
            ('limit = "60/minute"', False),
        ],
    )
    def test_it_warns_of_tokens_without_a_bound_of_parallel_requests(
        self, limits: str, warned: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure(f"[rate_limit]\n{limits}")
        assert main(["check"]) == 0
        assert ('Add a limit such as "8 parallel".' in capsys.readouterr().err) == warned

    def test_every_mistake_is_told_at_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("bad.toml").write_text('providers.one = { kind = "ecko" }\nserver.port = -1\n')
        assert main(["check", "--config", "bad.toml"]) == 1
        out, said = capsys.readouterr()
        assert out == ""
        assert [line.split(" ")[1] for line in said.splitlines()] == ["providers.one", "server.port"]

    def test_a_missing_file_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check", "--config", "none.toml"]) == 1
        assert capsys.readouterr().err == "none.toml cannot be read: No such file or directory.\n"

    async def test_live_asks_every_provider(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        async with FakeOpenAI() as fake, FakeOpenAI() as broken:
            broken.next(refuse(401, "sk-hidden is wrong."))
            settings(
                tmp_path,
                fake,
                more=f"""
                [providers.echo]
                kind = "echo"
                models = ["a", "b\\u001b[2J", "c", "d", "e", "f", "g"]
                [providers.broken]
                kind = "openai"
                base_url = "{broken.base_url}"
                """,
            )
            assert await asyncio.to_thread(main, ["check", "--live"]) == 1
        out, said = capsys.readouterr()
        assert said == ""
        heading, *rows = out.split("\n\n")[-1].splitlines()
        assert heading == "asked        status  answer"
        assert rows[0] == "up           ok      chat, vectors"
        assert rows[1] == "echo         ok      a, b?[2J, c, d, e and 2 more"
        assert re.fullmatch(r"broken       failed  \S.+", rows[2])
        assert "sk-hidden" not in rows[2]
        assert rows[3] == "models.slow  failed  up lists no 'gpt-4o'. Known: chat, vectors."
        assert rows[4] == "models.slow  failed  up lists no 'other'. Known: chat, vectors."

    @pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
    def test_a_terminal_gets_colours_unless_it_refuses_them(
        self,
        no_color: str,
        coloured: bool,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        configure()
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("NO_COLOR", no_color)
        assert main(["check", "--live"]) == 0
        assert ("\x1b[32mok" in capsys.readouterr().out) is coloured


@pytest.mark.parametrize("arguments", [[], ["serve"], ["demo"], ["check"]])
def test_help_has_examples(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--help"])
    assert "examples:\n  xrouter" in capsys.readouterr().out.replace("examples:\n  GIGACHAT", "")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert re.fullmatch(r"xrouter \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize("port", ["x", "65536", "-1"])
def test_a_wrong_port_is_a_mistake_of_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["demo", f"--port={port}"])
    assert f"'{port}' is not a port. Write a number from 0 to 65535." in capsys.readouterr().err


def test_keys_are_made_where_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("xrouter.toml").write_text('[keys]\nurl = "sqlite:///here.db"\npepper = "env:SECRET"')
    monkeypatch.setenv("SECRET", "s" * 32)
    assert main(["keys", "create", "--owner", "ann"]) == 0
    assert "xr_live_" in capsys.readouterr().out
    assert (tmp_path / "here.db").exists()
    monkeypatch.delenv("SECRET")
    assert main(["keys", "list"]) == 1
    assert "SECRET" in capsys.readouterr().err


def test_keys_without_a_database_are_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "list"]) == 1
    assert capsys.readouterr().err.startswith("There is no database. Name it with --url or $XROUTER_KEYS_URL")
