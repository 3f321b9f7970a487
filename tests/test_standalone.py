from __future__ import annotations

import asyncio
import json
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE
from math import inf
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from starlette.types import ASGIApp

from xrouter_asgi.settings import Settings
from xrouter_asgi.standalone import assemble, build_providers, build_router, create_app

from .asgi_client import get, post
from .fakes.http import Server
from .fakes.openai import FakeOpenAI, refuse
from .gateway import Collector
from .policies.virtual import virtual
from .serving import uvicorn_here


def settings(fake: FakeOpenAI, **more: Any) -> Settings:
    providers = {
        "echo": {"kind": "echo", "models": ["parrot"]},
        "local": {"kind": "openai", "base_url": fake.base_url, "api_key": "env:KEY", "headers": {"x-team": "blue"}},
    }
    models = {
        "assistant": {"targets": ["local/gpt-4o", "echo/parrot"]},
        "local-*": {"targets": ["local/org/*:free"]},
        "bird": {"targets": ["echo/parrot"]},
    }
    document = {"providers": providers, "models": models, **more}
    return Settings.parse(document, environment={"KEY": "the-key"})


async def ask(app: ASGIApp, model: str, text: str = "hi") -> str | None:
    async with uvicorn_here(app) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any") as client:
        answer = await client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])
    return answer.choices[0].message.content


async def test_a_name_leads_to_its_first_target() -> None:
    async with FakeOpenAI() as fake:
        assert await ask(create_app(settings(fake)), "assistant") == "hi"
        assert fake.last["model"] == "gpt-4o"
        assert fake.requests[0].headers["authorization"] == "Bearer the-key"
        assert fake.requests[0].headers["x-team"] == "blue"


async def test_a_target_that_fails_is_made_good_by_the_next() -> None:
    async with FakeOpenAI() as fake:
        fake.next(refuse(401))
        assert await ask(create_app(settings(fake)), "assistant", "squawk") == "squawk"


async def test_a_pattern_hands_on_what_its_star_matched() -> None:
    async with FakeOpenAI() as fake:
        await ask(create_app(settings(fake)), "local-llama")
        assert fake.last["model"] == "org/llama:free"


async def test_providers_of_every_kind_answer() -> None:
    async with FakeOpenAI() as fake:
        assert await ask(create_app(settings(fake)), "bird", "squawk") == "squawk"
        assert fake.requests == []


async def test_the_bound_of_the_body_is_that_of_the_settings() -> None:
    async with FakeOpenAI() as fake:
        with pytest.raises(openai.APIStatusError, match="larger than 100 bytes"):
            await ask(create_app(settings(fake, server={"max_body": 100})), "bird", "x" * 100)


@virtual
@pytest.mark.parametrize(("server", "comments"), [({}, 2), ({"commit_after": 30.0}, 1), ({"commit_after": inf}, 0)])
async def test_a_silent_stream_is_kept_awake_as_the_settings_say(server: dict[str, Any], comments: int) -> None:
    document = {"providers": {"one": {"kind": "echo", "delay": 40}}, "server": server}
    body = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": "word"}]}
    answer = await post(build_router(Settings.parse(document)), "/v1/chat/completions", body)
    assert answer.body.count(b": keep-alive\n\n") == comments
    assert answer.body.endswith(b"data: [DONE]\n\n")


def innermost(provider: Any) -> Any:
    while hasattr(provider, "inner"):
        provider = provider.inner
    return provider


def test_models_of_one_provider_share_it() -> None:
    document = {
        "providers": {"one": {"kind": "echo"}},
        "models": {name: {"targets": ["one/echo"]} for name in ("a", "b")},
    }
    router: Any = build_router(Settings.parse(document))
    a, b = (router.models[name].candidates[0].provider for name in ("a", "b"))
    assert innermost(a) is innermost(b)
    assert a.budget is b.budget


async def test_a_provider_of_gigachat_is_built_without_asking_anything() -> None:
    document = {"providers": {"giga": {"kind": "gigachat", "credentials": "env:KEY"}}}
    (provider,) = build_providers(Settings.parse(document, environment={"KEY": "a2V5"})).values()
    assert provider.name == "giga"
    await provider.aclose()


async def test_without_settings_the_found_ones_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "some.toml"
    file.write_text('providers.one.kind = "echo"\nmodels.found.targets = ["one/echo"]\n')
    monkeypatch.setenv("XROUTER_CONFIG", str(file))
    assert await ask(create_app(), "found", "squawk") == "squawk"


async def test_any_server_serves_the_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xrouter.toml").write_text('providers.one.kind = "echo"')
    monkeypatch.setenv("XROUTER_CONFIG", str(tmp_path / "xrouter.toml"))
    command = (sys.executable, "-m", "uvicorn", "--factory", "xrouter_asgi.standalone:create_app", "--port", "0")
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=PIPE)
    try:
        assert process.stderr is not None
        said = ""
        while not (found := re.search(r"running on (http://\S+)", said)):
            line = await process.stderr.readline()
            assert line, said
            said += line.decode()
        async with httpx.AsyncClient(base_url=found[1], trust_env=False) as client:
            listed = (await client.get("/v1/models")).json()
        assert [model["id"] for model in listed["data"]] == ["echo"]
    finally:
        process.terminate()
        await process.communicate()


def test_an_app_that_lets_everybody_in_says_so(caplog: pytest.LogCaptureFixture) -> None:
    create_app(Settings.parse({"providers": {"one": {"kind": "echo"}}}))
    assert caplog.messages == ["The settings have no [keys]: whoever reaches this app is let in."]


def test_an_app_cannot_open_a_port_for_metrics_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    document = {"providers": {"one": {"kind": "echo"}}, "keys": {"url": "sqlite://"}, "metrics": {"port": 9100}}
    create_app(Settings.parse(document))
    assert [message[:53] for message in caplog.messages] == ["Only 'xrouter serve' serves metrics on a port of thei"]


@pytest.mark.parametrize("wanted", [True, False])
async def test_http_requests_upstream_have_spans_when_they_are_wanted(wanted: bool) -> None:
    collector = Collector()
    async with FakeOpenAI() as fake, Server(collector) as collecting:
        tracing = {"endpoint": collecting.url, "protocol": "protobuf", "http_spans": wanted}
        await ask(create_app(settings(fake, tracing=tracing)), "assistant")
    assert sorted(collector.spans) == [*(["POST"] * wanted), "POST chat", "chat gpt-4o"]


async def test_spans_are_json_unless_protobuf_is_wanted() -> None:
    collector = Collector()
    async with FakeOpenAI() as fake, Server(collector) as collecting:
        await ask(create_app(settings(fake, tracing={"endpoint": collecting.url})), "assistant")
    assert sorted(collector.spans) == ["POST chat", "chat gpt-4o"]
    assert json.loads(collector.bodies[0]).keys() == {"resourceSpans"}


async def test_a_reload_forgets_no_response() -> None:
    settings = Settings.parse({"providers": {"echo": {"kind": "echo"}}})
    assembly = assemble(settings)
    kept = await post(assembly.app, "/v1/responses", {"model": "echo", "input": "hi"})
    await assembly.router.replace(settings)
    assert (await get(assembly.app, f"/v1/responses/{kept.json['id']}")).json == kept.json
    await assembly.router.aclose()
