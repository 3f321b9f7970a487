"""Keys, limits, tracing, access log, metrics and CORS around the router: all of them, and all but one."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

from xrouter_asgi.inspection import describe_layers
from xrouter_asgi.keys import Issuer, KeySpec, SQLKeyStore, new_secret
from xrouter_asgi.settings import Settings, load_keys
from xrouter_asgi.standalone import create_app
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.http import FakeServer
from xrouter_asgi.testing.openai import FakeOpenAI, refuse

from .gateway import Collector, Gateway, new_key, serving
from .serving import uvicorn_here

BIRDS = """
[providers.echo]
kind = "echo"
[models.bird]
targets = ["echo/echo"]
[models.cat]
targets = ["echo/echo"]
[server]
port = 0
[keys]
url = "sqlite:///keys.db"
[metrics]
token = "env:METRICS_TOKEN"
[cors]
origins = ["https://chat.example"]
"""
HELLO = [{"role": "user", "content": "hello"}]
pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = {"origin": "https://chat.example"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("birds") / "xrouter.toml"
    file.write_text(BIRDS)
    return file


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(config: Path) -> AsyncIterator[Gateway]:
    async with serving(config, {"METRICS_TOKEN": "metrics-token-of-16"}) as running:
        yield running


@asynccontextmanager
async def issuer(config: Path, environment: Mapping[str, str] = os.environ) -> AsyncIterator[Issuer]:
    """Makes keys for the gateway of these settings, as the command line does."""
    table = load_keys(config, environment=environment)
    assert table is not None
    store = SQLKeyStore(table.url.get_secret_value())
    yield Issuer(store, by="test", hasher=table.hasher)
    await store.aclose()


async def issue(config: Path, grant: KeySpec = KeySpec()) -> str:  # noqa: B008 -- frozen
    """The secret of a new key."""
    async with issuer(config) as making:
        return (await making.create(grant)).secret


def sdk(gateway: Gateway, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)


async def ask(client: openai.AsyncOpenAI, model: str = "bird") -> str | None:
    answer = await client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])
    return answer.choices[0].message.content


class TestKeys:
    async def test_a_key_made_by_the_command_line_is_let_in_and_no_other(self, config: Path, gateway: Gateway) -> None:
        made = await new_key(config, {}, "--owner", "ann")
        async with sdk(gateway, made["secret"]) as client:
            assert await ask(client) == "hello"
        for wrong in (new_secret(), "sk-wrong", made["secret"][:-1]):
            async with sdk(gateway, wrong) as client:
                with pytest.raises(openai.AuthenticationError) as refused:
                    await ask(client)
            assert (refused.value.code, refused.value.type) == ("invalid_api_key", "invalid_request_error")

    async def test_a_key_is_held_to_its_models_and_limits(self, config: Path, gateway: Gateway) -> None:
        async with sdk(gateway, await issue(config, KeySpec(models=("bird",), limits=("2/minute",)))) as client:
            with pytest.raises(openai.PermissionDeniedError, match="may not use the model 'cat'"):
                await ask(client, "cat")
            answered = await client.chat.completions.with_raw_response.create(
                model="bird", messages=[{"role": "user", "content": "hello"}]
            )
            assert answered.headers["x-ratelimit-limit-requests"] == "2"
            assert answered.headers["x-ratelimit-remaining-requests"] == "0"
            with pytest.raises(openai.RateLimitError, match="Limit of 2 per 1 minute reached") as refused:
                await ask(client)
        assert refused.value.code == "rate_limit_exceeded"
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 61

    async def test_everything_but_probes_needs_one(self, gateway: Gateway) -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            statuses = {
                path: (await client.get(path)).status_code
                for path in (
                    "/health",
                    "/ready",
                    "/openapi.json",
                    "/v1/models",
                    "/",
                    "/nowhere",
                    "/metrics/",
                    "/Health",
                )
            }
        assert [path for path, status in statuses.items() if status == 200] == ["/health", "/ready", "/"]
        assert set(statuses.values()) == {200, 401}


class TestMetrics:
    async def test_they_are_shown_for_their_own_token_only(self, config: Path, gateway: Gateway) -> None:
        key = await issue(config)
        async with sdk(gateway, key) as client:
            await ask(client)
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            tokens = [{}, {"authorization": f"Bearer {key}"}, {"authorization": "Bearer metrics-token-of-16"}]
            answers = [await client.get("/metrics", headers=headers) for headers in tokens]
        assert [answer.status_code for answer in answers] == [401, 401, 200]
        counted = [line for line in answers[2].text.splitlines() if line.startswith("xrouter_requests_total")]
        assert 'gen_ai_request_model="bird",http_response_status_code="200"' in "".join(counted)
        assert 'service_name="xrouter"' in answers[2].text


async def test_a_page_of_another_origin_may_ask_and_may_read_a_refusal(gateway: Gateway) -> None:
    asking = {
        **PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type, x-stainless-os",
    }
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        preflight = await client.options("/v1/chat/completions", headers=asking)
        refused = await client.post("/v1/chat/completions", headers=PAGE)
        stranger = await client.post("/v1/chat/completions", headers={"origin": "https://evil.example"})
    assert preflight.status_code == 200
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-headers"] == "authorization, content-type, x-stainless-os"
    assert preflight.headers["access-control-max-age"] == "600"
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://chat.example"
    exposed = refused.headers["access-control-expose-headers"]
    assert {"x-request-id", "retry-after", "x-ratelimit-limit-tokens", "x-should-retry"} <= set(exposed.split(", "))
    assert "access-control-allow-origin" not in stranger.headers
    assert "access-control-allow-credentials" not in {*preflight.headers, *refused.headers}


WHOLE: dict[str, Any] = {
    "providers": {"echo": {"kind": "echo"}},
    "models": {"bird": {"targets": ["echo/echo"]}},
    "keys": {"url": "sqlite:///keys.db"},
    "rate_limit": {"limit": "60/minute", "models": {"bird": "100000 tokens/minute"}},
    "access_log": {"format": "json"},
    "metrics": {"token": "env:TOKEN"},
    "cors": {"origins": ["https://chat.example"]},
}


@pytest.mark.parametrize("absent", ["nothing", "keys", "rate_limit", "tracing", "access_log", "metrics", "cors"])
async def test_without_any_one_layer_the_others_work(
    absent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.toml").write_text('keys.url = "sqlite:///keys.db"')
    bearer = {"authorization": f"Bearer {await issue(tmp_path / 'x.toml')}"}
    collector = Collector()
    async with FakeServer(collector) as collecting:
        document = {**WHOLE, "tracing": {"endpoint": collecting.url}}
        document.pop(absent, None)
        if absent == "access_log":
            document["access_log"] = {"format": "off"}
        app = create_app(Settings.parse(document, environment={"TOKEN": "metrics-token-of-16"}, folder=tmp_path))
        async with uvicorn_here(app) as url, httpx.AsyncClient(base_url=url, trust_env=False, headers=PAGE) as client:
            stranger = await client.get("/v1/models")
            answer = await client.post(
                "/v1/chat/completions", headers=bearer, json={"model": "bird", "messages": HELLO}
            )
            shown = await client.get("/metrics", headers={"authorization": "Bearer metrics-token-of-16"})
    lines = capsys.readouterr().out.splitlines()
    found = {
        "keys": stranger.status_code == 401,
        "rate_limit": answer.headers.get("x-ratelimit-limit-tokens") == "100000",
        "tracing": "POST chat" in collector.spans,
        "access_log": [json.loads(line)["status"] for line in lines][1:2] == [200],
        "metrics": "xrouter_requests_total" in shown.text,
        "cors": answer.headers.get("access-control-allow-origin") == "https://chat.example",
    }
    assert [name for name, works in found.items() if not works] == [absent] * (absent != "nothing")
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    assert [each.headers["x-request-id"][:4] for each in (answer, stranger)] == ["req_"] * 2


MARK = "marked"
EVERYTHING = """
[providers.up]
kind = "openai"
base_url = "{up.base_url}"
api_key = "env:UP_KEY"
own_key = true
[providers.giga]
kind = "gigachat"
base_url = "{giga.base_url}"
auth_url = "{giga.auth_url}"
credentials = "env:GIGA_KEY"
[models.gpt]
targets = ["up/gpt-4o"]
[models.giga]
targets = ["giga/GigaChat-2"]
[server]
port = 0
[keys]
url = "sqlite:///keys.db"
pepper = "env:PEPPER"
[rate_limit]
limit = "60/minute"
storage = "redis://:marked-redis@127.0.0.1:9/0"
[tracing]
endpoint = "{collector.url}"
headers = {{ x-token = "env:COLLECTOR_TOKEN" }}
protocol = "protobuf"
http_spans = true
[metrics]
port = 0
"""


async def test_nothing_secret_is_told_and_all_the_rest_is_at_sigterm(tmp_path: Path) -> None:
    """Keys, credentials, tokens, passwords, prompts, queries: in no line, span, metric, error of a whole run."""
    config = tmp_path / "x.toml"
    collector = Collector()
    environment = {name: f"{MARK}-{name}-{'x' * 32}" for name in ("UP_KEY", "PEPPER", "COLLECTOR_TOKEN")}
    async with FakeOpenAI() as up, FakeGigaChat() as giga, FakeServer(collector) as collecting:
        giga.key = environment["GIGA_KEY"] = base64.b64encode(f"{MARK}:giga".encode()).decode()
        config.write_text(EVERYTHING.format(up=up, giga=giga, collector=collecting))
        async with issuer(config, environment) as making:
            made = await making.create(KeySpec())
        async with serving(config, environment) as gateway:
            told = await a_day(gateway, made.secret, up)
            await gateway.end()  # with lines, spans and uses still in memory
        tokens = {request.headers["authorization"] for request in giga.asked("/chat/completions")}
    assert gateway.process.returncode == 0
    store = SQLKeyStore(f"sqlite:///{tmp_path}/keys.db")
    assert (await store.get(made.key.id)).last_used_at is not None
    await store.aclose()
    assert [line["status"] for line in gateway.lines] == [200, 200, 200, 502, 401, 401, 401]
    assert collector.spans.count("POST chat") == 7 - 2
    assert "POST" in collector.spans  # of HTTP, such as that for a token
    told += [gateway.out, gateway.errors, *(body.decode("latin-1") for body in collector.bodies)]
    hidden = [MARK, giga.key, made.secret, *(token.removeprefix("Bearer ") for token in tokens)]
    assert [(secret, text) for secret in hidden for text in told if secret in text] == []


async def a_day(gateway: Gateway, key: str, up: FakeOpenAI) -> list[str]:
    """Requests of every kind, with what must not be told in each of their parts. What clients and Prometheus read."""
    prompt = [{"role": "user", "content": f"a {MARK} prompt"}]
    bearer = {"authorization": f"Bearer {key}"}
    wrong = [f"Incorrect API key provided: {key}." for key in (f"{MARK}-UP_KEY-{'x' * 32}", f"{MARK}-own")]
    assert gateway.metrics is not None
    async with httpx.AsyncClient(base_url=f"{gateway.url}/v1/chat", trust_env=False) as client:

        async def post(model: str, headers: dict[str, str], **more: Any) -> httpx.Response:
            body = {"model": model, "messages": prompt, **more}
            return await client.post(f"/completions?{MARK}={MARK}", headers=headers, json=body)

        for answer in [await post("gpt", bearer), await post("gpt", bearer, stream=True), await post("giga", bearer)]:
            assert (answer.status_code, MARK in answer.text) == (200, True)  # a fake says what it was told
        up.next(*(refuse(401, text) for text in wrong))
        refusals = [
            await post("gpt", bearer),
            await post("gpt", {**bearer, "x-provider-key": f"{MARK}-own"}),
            await post("gpt", {"authorization": f"Bearer {MARK}-guess"}),
            await post("gpt", {"x-api-key": new_secret() + MARK}),
        ]
        metrics = await client.get(gateway.metrics)
    return [*(answer.text + str(answer.headers) for answer in refusals), metrics.text]


async def test_passwords_of_stores_that_are_away_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    environment = {"URL": f"postgresql://me:{MARK}@127.0.0.1:9/keys?password={MARK}", "KEY": MARK}
    settings = Settings.parse(
        {
            "providers": {
                "echo": {"kind": "echo"},
                "up": {"kind": "openai", "base_url": "http://x", "api_key": "env:KEY"},
            },
            "models": {"bird": {"targets": ["echo/echo"]}},
            "keys": {"url": "env:URL", "pepper": "env:PEPPER"},
            "rate_limit": {"limit": "1/day", "storage": f"redis://:{MARK}@127.0.0.1:9"},
            "access_log": {"format": "off"},
        },
        environment={**environment, "PEPPER": MARK * 9},
    )
    app = create_app(settings)
    async with uvicorn_here(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.get("/v1/models", headers={"authorization": f"Bearer {new_secret()}"})
    assert answer.json()["error"]["code"] == "store_unavailable"
    assert caplog.messages[-1:] != []
    told = [answer.text, caplog.text, repr(settings), repr(app), repr(settings.keys), describe_layers(settings)]
    assert [text for text in told if MARK in text] == []
