"""`/docs`: what a browser is shown, and what it fetches for that."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import urljoin

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.asgi_client import get, post
from xrouter_asgi import EchoProvider, LLMRouter
from xrouter_asgi.middleware import DocsMiddleware
from xrouter_asgi.settings import Settings
from xrouter_asgi.standalone import create_app

APP = DocsMiddleware(LLMRouter({"echo": EchoProvider()}))


@pytest.mark.parametrize("address", ["/docs", "/docs/", "/llm/docs", "/llm/docs/"])
async def test_whatever_the_page_fetches_is_served_beside_it(address: str) -> None:
    mount = "/llm" if address.startswith("/llm") else ""
    host = Starlette(routes=[Mount("/llm", app=APP)]) if mount else APP
    answer = await get(host, address)
    assert (answer.status, answer.header("content-type")) == (200, "text/html; charset=utf-8")
    named = re.findall(r'(?:src|href)="([^"]+)"', answer.body.decode())
    fetched = [urljoin(address, name) for name in named if not name.startswith("data:")]
    assert len(fetched) == 3
    for path in fetched:
        assert path.startswith(f"{mount}/docs/")
        assert (await get(host, path)).status == 200
    (script,) = [path for path in fetched if path.endswith("start.js")]
    asked = urljoin(script, "../openapi.json")
    assert '"../openapi.json"' in (await get(host, script)).body.decode()
    assert (await get(host, asked)).json["openapi"] == "3.1.0"


async def test_a_browser_is_told_to_ask_no_other_host_and_to_run_no_script_inside_the_page() -> None:
    answer = await get(APP, "/docs")
    policy = dict(part.strip().split(" ", 1) for part in (answer.header("content-security-policy") or "").split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "//" not in answer.body.decode()
    assert re.findall(r"<script>|<style", answer.body.decode()) == []


async def test_everything_else_passes() -> None:
    assert (await get(APP, "/v1/models")).status == 200
    assert (await get(APP, "/docsy")).error["message"].startswith("Unknown request URL")


async def test_there_is_no_other_file_and_no_other_method() -> None:
    assert (await get(APP, "/docs/docs.py")).status == 404
    assert (await get(APP, "/docs/LICENSE")).status == 404
    answer = await post(APP, "/docs", {})
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


def test_the_files_of_others_are_theirs_and_their_licence_is_beside_them() -> None:
    folder = files("xrouter_asgi.middleware.docs").joinpath("files")
    assert {name: hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() for name in PINNED} == PINNED
    assert "Apache License" in folder.joinpath("LICENSE").read_text("utf-8")


PINNED = {
    "swagger-ui.css": "a6a4cf68f069eb89984d5d43644e6a812e749df08d2b1320c6e06e6973847d10",
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
}
"""Of swagger-ui-dist 5.35.0, without the last line, which names a source map."""


@pytest.mark.parametrize(("docs", "statuses"), [(True, [200, 200, 401]), (False, [401, 401, 401])])
async def test_the_settings_say_whether_everybody_is_shown_the_page(
    docs: bool, statuses: list[int], tmp_path: Path
) -> None:
    document = {
        "providers": {"echo": {"kind": "echo"}},
        "keys": {"url": f"sqlite:///{tmp_path}/keys.db", "pepper": "env:PEPPER"},
        "rate_limit": {"limit": "1/minute"},
        "server": {"docs": docs},
    }
    app = create_app(Settings.parse(document, environment={"PEPPER": "p" * 32}))
    for _ in range(2):  # no limit counts them
        paths = ("/docs", "/openapi.json", "/v1/models")
        assert [(await get(app, path)).status for path in paths] == statuses
