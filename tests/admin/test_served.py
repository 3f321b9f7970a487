"""The standalone app with `[admin]`, on a real socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from tests.serving import uvicorn_here
from xrouter_asgi.cli.main import main
from xrouter_asgi.settings import Settings, SettingsError
from xrouter_asgi.standalone import assemble

ECHO = {"providers": {"echo": {"kind": "echo", "models": ["a"]}}, "models": {"m": {"targets": ["echo/a"]}}}


async def test_an_operator_makes_a_key_and_sees_its_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    for command in (["keys", "migrate"], ["admin", "key", "--name", "ann", "--json"]):
        assert await asyncio.to_thread(main, [*command, "--url", url]) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (made["kind"], made["scopes"]) == ("admin", ["admin"])
    settings = Settings.parse({**ECHO, "keys": {"url": url}, "admin": {"path": "/admin"}, "cors": {"origins": ["*"]}})
    async with uvicorn_here(assemble(settings).app) as base, httpx.AsyncClient(base_url=base) as client:
        operator = {"authorization": f"Bearer {made['secret']}"}
        secret = (await client.post("/admin/api/keys", json={"owner": "bob"}, headers=operator)).json()["secret"]
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        for key, status in ((secret, 200), (made["secret"], 403)):
            answer = await client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == status
        refused, seen = (await client.get("/admin/api/requests", headers=operator)).json()["requests"]
        assert (refused["status"], seen["owner"], seen["attempts"]) == (403, "bob", 1)
        shown = await client.get("/admin/api/overview", headers={**operator, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in shown.headers
        assert (await client.get("/admin")).status_code == 401
        assert (await client.get("/administration")).status_code == 401
        page = await client.get("/", headers={"accept": "text/html"})
        assert (page.status_code, "<h1>xrouter</h1>" in page.text) == (200, True)
        assert (await client.get("/")).json()["models"] == "v1/models"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"admin": {}}, "keys is missing"),
        ({"admin": {"path": "/a", "port": 1}, "keys": {"url": "sqlite:///a.db"}}, "a path and a port"),
        ({"admin": {"path": "a"}, "keys": {"url": "sqlite:///a.db"}}, "Write a path"),
        ({"admin": {"allow": ["x"]}, "keys": {"url": "sqlite:///a.db"}}, "Write an address or a network"),
        (
            {
                "admin": {"path": "/admin"},
                "keys": {"url": "sqlite:///a.db"},
                "server": {"workers": 2},
                "responses": {"store": "off"},
                "rate_limit": {"allow_per_process": True},
            },
            "whichever of 2 workers is asked",
        ),
    ],
)
def test_settings_that_would_show_the_wrong_things_are_refused(more: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Settings.parse({**ECHO, **more})
