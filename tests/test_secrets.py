"""No output shows a secret: a canary stands in every secret of every setting, and all output is searched for it."""

from __future__ import annotations

import base64
import io
import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr

from tests.cli.served import serve
from tests.settings.reading import holds_tables, settings_below
from xrouter_asgi.asgi.lifespan import ClosingAtShutdown
from xrouter_asgi.cli.main import main
from xrouter_asgi.inspection import describe_layers, describe_models
from xrouter_asgi.reloading import Reload
from xrouter_asgi.settings import Settings, SettingsError
from xrouter_asgi.settings.base import Table
from xrouter_asgi.settings.errors import fields_of
from xrouter_asgi.standalone import assemble, build_providers
from xrouter_asgi.testing.openai import FakeOpenAI, refuse

CANARY = "k4n4ry"
PORT = "48613"  # a canary that may be taken for a port
SHAPES = {
    "slash": f"{CANARY}/{CANARY}",
    "at": f"{CANARY}@{CANARY}",
    "hash": f"{CANARY}#{CANARY}",
    "question": f"{CANARY}?{CANARY}",
    "percent": f"{CANARY}%{CANARY}",
    "escape": f"{CANARY}%2F{CANARY}",
    "space": f"{CANARY} {CANARY}",
    "quote": f"{CANARY}\"{CANARY}'",
    "newline": f"{CANARY}\n{CANARY}",
    "colon": f"{CANARY}:{CANARY}",
    "bracket": f"{CANARY}[{CANARY}",
    "normalized": f"{CANARY}\u2100{CANARY}",  # which urllib refuses, and quotes
    "port": f"{PORT}/{CANARY}",
    "port, then a query": f"{PORT}?{CANARY}@{CANARY}",
    "alone": CANARY,
}
ALL = "".join(SHAPES[name] for name in ("slash", "at", "hash", "question", "percent", "space", "quote"))

ECHO: dict[str, Any] = {"providers": {"echo": {"kind": "echo"}}}
OPENAI = {"kind": "openai", "base_url": "https://up.example/v1"}
CREDENTIALS = {"kind": "gigachat", "credentials": "env:SECRET"}
PLAIN = ("{}",)
PROXY = ("{}", "http://user:{}@proxy.example:3128", "http://{}:word@proxy.example:3128")
STORE = ("{}", "redis://:{}@r.example:6379/0", "redis://{}:word@r.example/0", "redis://r.example/0?password={}")
DATABASE = (
    "{}",
    "postgresql://u:{}@db.example/xr",
    "postgresql://{}:word@db.example/xr",
    "postgresql://h/x?password={}",
)
HOOK = ("{}", "https://hooks.example/{}", "https://user:{}@hooks.example/x")

Document = dict[str, Any]


def provider(**table: Any) -> Document:
    return {"providers": {"one": table}}


def channel(kind: str, **table: Any) -> Document:
    return {**ECHO, "alerts": {kind: table}}


REF = "env:SECRET"
TELEGRAM = {"token": "env:GOOD", "chat": "1"}
SETTINGS: Mapping[str, tuple[Document, tuple[str, ...]]] = {
    "GigaChatSettings.credentials": (provider(kind="gigachat", credentials=REF), PLAIN),
    "GigaChatSettings.user": (provider(kind="gigachat", user=REF, password="env:GOOD"), PLAIN),
    "GigaChatSettings.password": (provider(kind="gigachat", user="ann", password=REF), PLAIN),
    "GigaChatSettings.access_token": (provider(kind="gigachat", access_token=REF), PLAIN),
    "GigaChatSettings.key_password": (provider(kind="gigachat", cert="none.pem", key_password=REF), PLAIN),
    "GigaChatSettings.proxy": (provider(kind="gigachat", credentials="env:GOOD", proxy=REF), PROXY),
    "OpenAISettings.api_key": (provider(**OPENAI, api_key=REF), PLAIN),
    "OpenAISettings.folder": (provider(kind="yandex", api_key="env:GOOD", folder=REF), PLAIN),
    "OpenAISettings.headers": (provider(**OPENAI, headers={"x-token": REF}), PLAIN),
    "OpenAISettings.key_password": (provider(**OPENAI, key_password=REF), PLAIN),
    "OpenAISettings.proxy": (provider(**OPENAI, proxy=REF), PROXY),
    "AnthropicSettings.api_key": (provider(kind="anthropic", api_key=REF), PLAIN),
    "AnthropicSettings.headers": (provider(kind="anthropic", headers={"x-token": REF}), PLAIN),
    "AnthropicSettings.key_password": (
        provider(kind="anthropic", api_key="env:GOOD", cert="none.pem", key_password=REF),
        PLAIN,
    ),
    "AnthropicSettings.proxy": (provider(kind="anthropic", api_key="env:GOOD", proxy=REF), PROXY),
    "KeysSettings.url": ({**ECHO, "keys": {"url": REF}}, DATABASE),
    "KeysSettings.pepper": ({**ECHO, "keys": {"url": "sqlite:///k.db", "pepper": REF}}, ("{}", "2:{},1:{}")),
    "SpendSettings.url": ({**ECHO, "spend": {"url": REF}}, DATABASE),
    "RateLimitSettings.storage": ({**ECHO, "rate_limit": {"storage": REF}}, STORE),
    "ResponsesSettings.store": ({**ECHO, "responses": {"store": REF}}, STORE),
    "CacheSettings.store": ({**ECHO, "cache": {"store": REF}}, STORE),
    "TracingSettings.headers": ({**ECHO, "tracing": {"headers": {"x-token": REF}}}, PLAIN),
    "TracingSettings.proxy": ({**ECHO, "tracing": {"proxy": REF}}, PROXY),
    "MetricsPushSettings.headers": ({**ECHO, "metrics": {"otlp": {"headers": {"x-token": REF}}}}, PLAIN),
    "MetricsPushSettings.proxy": ({**ECHO, "metrics": {"otlp": {"proxy": REF}}}, PROXY),
    "MetricsSettings.token": ({**ECHO, "metrics": {"token": REF}}, PLAIN),
    "WebhookSettings.url": (channel("webhook", url=REF), HOOK),
    "WebhookSettings.headers": (channel("webhook", url="https://h.example", headers={"x-token": REF}), PLAIN),
    "WebhookSettings.proxy": (channel("webhook", url="https://h.example", proxy=REF), PROXY),
    "SlackSettings.url": (channel("slack", url=REF), HOOK),
    "SlackSettings.proxy": (channel("slack", url="env:HOOK", proxy=REF), PROXY),
    "TelegramSettings.token": (channel("telegram", token=REF, chat="1"), PLAIN),
    "TelegramSettings.proxy": (channel("telegram", **TELEGRAM, proxy=REF), PROXY),
}
"""A document for every setting that is a secret, and what the secret may be a part of."""

CASES = [
    pytest.param(document, form.replace("{}", shape), id=f"{name} {form} {kind}")
    for name, (document, forms) in SETTINGS.items()
    for form in forms
    for kind, shape in SHAPES.items()
]


def holds_secrets(schema: object) -> bool:
    return schema is SecretStr or any(map(holds_secrets, get_args(schema)))


def tables(table: type[Table] = Table) -> Iterator[type[Table]]:
    for each in table.__subclasses__():
        yield each
        yield from tables(each)


def test_every_setting_that_is_a_secret_stands_here() -> None:
    by_name = {table.__name__: table for table in tables()}
    secret = set()
    for setting in settings_below():
        table, _, key = setting.partition(".")
        if table in by_name and holds_secrets(fields_of(by_name[table])[key]):
            secret.add(setting)
    assert secret == set(SETTINGS)
    assert not holds_tables(SecretStr)


def shows(text: str) -> list[str]:
    """The lines that a canary, or a piece of one, stands in."""
    return [line for line in text.splitlines() if CANARY in line or PORT in line]


@pytest.mark.parametrize(("document", "secret"), CASES)
def test_settings_show_no_secret_whether_they_can_be_used_or_not(document: Document, secret: str) -> None:
    environment = {"SECRET": secret, "GOOD": "YTpi", "HOOK": "https://h.example/x"}
    try:
        settings = Settings.parse(document, environment=environment)
        said = "\n".join(
            (describe_models(settings), describe_layers(settings), repr(settings), settings.model_dump_json())
        )
    except SettingsError as error:
        said = "".join(traceback.format_exception(error))
    assert shows(said) == []


@pytest.fixture
def everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file with a canary in every secret that can hold all of the characters, in a URL as an escape."""
    monkeypatch.chdir(tmp_path)
    escaped = quote(ALL, safe="")
    environment = {
        "XR_SECRET": ALL,
        "XR_PEPPER": ALL * 2,
        "XR_KEY": base64.b64encode(f"{CANARY}:{ALL}".encode()).decode(),
        "XR_TOKEN": f"{CANARY}:{CANARY}",
        "XR_DATABASE": f"postgresql://u:{escaped}@127.0.0.1:1/xr",
        "XR_REDIS": f"redis://:{escaped}@127.0.0.1:1/0",
        "XR_PROXY": f"http://u:{escaped}@127.0.0.1:1",
        "XR_HOOK": f"http://127.0.0.1:1/{escaped}",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in ("XROUTER_KEYS_URL", "XROUTER_KEYS_PEPPER", "XROUTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "xrouter.toml"
    file.write_text(WHOLE.replace("UPSTREAM", "http://127.0.0.1:1/v1"))
    return file


WHOLE = """
[providers.up]
kind = "openai"
base_url = "UPSTREAM"
api_key = "env:XR_SECRET"
headers = { x-token = "env:XR_SECRET" }
[providers.behind]
kind = "openai"
base_url = "http://up.example/v1"
api_key = "env:XR_SECRET"
proxy = "env:XR_PROXY"
[providers.giga]
kind = "gigachat"
base_url = "UPSTREAM"
auth_url = "UPSTREAM"
credentials = "env:XR_KEY"
access_token = "env:XR_SECRET"
[providers.stand]
kind = "gigachat"
base_url = "UPSTREAM"
user = "env:XR_SECRET"
password = "env:XR_SECRET"
[models]
up = { targets = ["up/m"], patience.attempts = 1 }
behind = { targets = ["behind/m"], patience.attempts = 1 }
giga = { targets = ["giga/m"], patience.attempts = 1 }
stand = { targets = ["stand/m"], patience.attempts = 1 }
[server]
port = 0
explain = true
[rate_limit]
limit = "60/minute"
storage = "env:XR_REDIS"
[metrics]
token = "env:XR_SECRET"
[metrics.otlp]
endpoint = "http://127.0.0.1:1"
headers = { x-token = "env:XR_SECRET" }
[alerts]
error_share = 0.01
minimum = 1
[alerts.webhook]
url = "env:XR_HOOK"
headers = { x-token = "env:XR_SECRET" }
proxy = "env:XR_PROXY"
[alerts.slack]
url = "env:XR_HOOK"
[alerts.telegram]
token = "env:XR_TOKEN"
chat = "1"
base_url = "http://127.0.0.1:1"
"""
TRACING = '\n[tracing]\nendpoint = "http://127.0.0.1:1"\nheaders = { x-token = "env:XR_SECRET" }\n'
KEYS = '\n[keys]\nurl = "env:XR_DATABASE"\npepper = "env:XR_PEPPER"\n'


def run(*arguments: str) -> str:
    """All that a command says."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        main(arguments)
    return said.getvalue()


def test_commands_show_no_secret(everywhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    everywhere.write_text(everywhere.read_text() + TRACING + KEYS)
    said = [run("check"), run("check", "--live"), run("explain", "--model", "up"), run("keys", "list")]
    said += [run("keys", "create", "--json"), run("keys", "list", "--url", f"postgresql://u:{ALL}@127.0.0.1:1/xr")]
    said += [run("spend"), run("spend", "--url", f"postgresql://u:{ALL}@127.0.0.1:1/xr")]
    assert all(said)
    assert shows("".join(said) + caplog.text) == []


async def ask(client: httpx.AsyncClient) -> str:
    """All that a client is told: by upstreams that cannot be reached, and by the gateway itself."""
    said = ""
    messages = [{"role": "user", "content": "hi"}]
    for model in ("up", "up", "up", "behind", "giga", "stand", "none"):
        for stream in (True, False):
            answer = await client.post(
                "/v1/chat/completions",
                json={"model": model, "stream": stream, "messages": messages},
                headers={"x-xrouter-explain": "1"},
            )
            said += f"{answer.status_code} {answer.headers} {answer.text}\n"
    for path in ("/v1/models", "/openapi.json", "/metrics"):
        said += (await client.get(path)).text
    measured = await client.get("/metrics", headers={"authorization": f"Bearer {ALL}"})
    assert measured.status_code == 200
    return said + measured.text


def test_a_server_shows_no_secret(
    everywhere: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    everywhere.write_text(everywhere.read_text() + TRACING + '[log]\nformat = "text"\n')  # which also shows the layers
    told = []

    async def asking(said: str) -> None:
        address = said.partition("serves at ")[2].partition("/v1")[0]
        async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as client:
            told.append(await ask(client))

    out, err = serve(monkeypatch, "serve", ready="version  .*\n", ask=asking)
    assert "redis://127.0.0.1:1/0" in err
    assert out.count("\n") > 10
    assert shows("".join([out, err, caplog.text, *told])) == []


async def test_an_upstream_that_quotes_its_secrets_tells_them_to_nobody(
    everywhere: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeOpenAI() as fake:
        everywhere.write_text(WHOLE.replace("UPSTREAM", fake.base_url))  # noqa: ASYNC240 -- nothing else runs
        fake.next(*(refuse(status, f"Bad key {ALL}.", code=ALL) for status in (400, 401, 429, 500, 503) * 2))
        settings = Settings.load(everywhere)
        assembly = assemble(settings)
        assert isinstance(assembly.app, ClosingAtShutdown)
        transport = httpx.ASGITransport(assembly.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            told = await ask(client)
            await Reload(assembly.router, load=lambda: Settings.load(everywhere)).run()
            told += await ask(client)
        await assembly.router.aclose()
        await assembly.app.aclose()
    told += "".join(map(repr, (assembly.router, *assembly.router.models.values(), *build_providers(settings).values())))
    said = capsys.readouterr()
    assert shows(told + caplog.text + said.out + said.err) == []


async def test_a_database_that_is_away_shows_no_secret(everywhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    everywhere.write_text(WHOLE.replace("UPSTREAM", "http://127.0.0.1:1/v1") + KEYS)  # noqa: ASYNC240
    assembly = assemble(Settings.load(everywhere))
    assert isinstance(assembly.app, ClosingAtShutdown)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(assembly.app), base_url="http://x") as client:
        answer = await client.get("/v1/models", headers={"authorization": "Bearer xr_live_" + "0" * 32 + "000000"})
        assert shows(json.dumps(answer.json()) + caplog.text + repr(answer.headers)) == []
    await assembly.app.aclose()
