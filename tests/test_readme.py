"""What README.md shows is true."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import sys
import tomllib
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from xrouter_asgi import EchoProvider, LLMRouter
from xrouter_asgi.keys import Hasher, Issuer, KeySpec, SQLKeyStore
from xrouter_asgi.settings import Settings

from .asgi_client import get
from .serving import uvicorn_here

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def block(language: str) -> str:
    """The first code block in that language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


async def test_the_first_program_serves_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIGACHAT_CREDENTIALS", "YTpi")
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102 -- the README's own
    async with uvicorn_here(names["app"]) as url, httpx.AsyncClient(trust_env=False) as client:
        listed = (await client.get(f"{url}/llm/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == ["GigaChat-2-Pro"]


def test_the_settings_are_in_order() -> None:
    settings = Settings.parse(tomllib.loads(block("toml")), environment={"GIGACHAT_CREDENTIALS": "YTpi"})
    assert list(settings.served) == ["assistant", "local-*"]


@pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("openssl") is None, reason="there is no curl or no openssl here"
)
async def test_the_commands_about_keys_work_as_pasted(tmp_path: Path) -> None:
    (start,) = re.findall(r"^```sh\n([^`]*xrouter serve &\n)```$", README, re.MULTILINE)
    (asking,) = re.findall(r"^```sh\n(curl [^`]*/metrics[^`]*)```$", README, re.MULTILINE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    _, start = start.split("\n", 1)  # what it needs is installed
    start = start.replace("\nEND", f"\n[server]\nport = {port}\nEND")
    wait = f"curl -s --retry 100 --retry-delay 1 --retry-connrefused http://127.0.0.1:{port}/health >/dev/null\n"
    script = f"set -e\ntrap 'kill $!; wait $!' EXIT\n{start}{wait}{asking.replace('8000', port)}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=tmp_path, env={**os.environ, "PATH": path}, stdout=PIPE, stderr=PIPE
    )
    out, errors = await shell.communicate()
    assert "HTTP/1.1 401" in out.decode(), errors.decode()
    assert "x-ratelimit-limit-requests: 5" in out.decode()
    assert 'xrouter_endpoint="models"' in out.decode()
    # curl ends its lines where the answer does, so that a line of the log may follow in the same.
    lines = map(json.loads, re.findall(r'\{"time":.*\}$', out.decode(), re.MULTILINE))
    assert {("/v1/models", 401), ("/v1/models", 200)} <= {(line["path"], line["status"]) for line in lines}


async def test_the_middlewares_of_an_app_let_in_who_has_a_key_that_was_made_with_the_pepper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = re.findall(r"^```python\n([^`]*APIKeyMiddleware[^`]*)```$", README, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XROUTER_KEYS_PEPPER", "p" * 32)
    app = Starlette()
    names: dict[str, Any] = {"app": app, "os": os, "router": LLMRouter({"echo": EchoProvider()})}
    exec(program, names)  # noqa: S102 -- the README's own
    store = SQLKeyStore("sqlite:///keys.db")
    issued = await Issuer(store, by="test", hasher=Hasher({1: "p" * 32})).create(KeySpec(owner="ann"))
    headers = [(b"authorization", f"Bearer {issued.secret}".encode())]
    assert (await get(app, "/llm/v1/models", headers=headers)).status == 200
    assert (await get(app, "/llm/v1/models")).status == 401
    await store.aclose()
    await names["keys"].aclose()


def test_every_link_is_absolute_for_who_reads_it_at_pypi_and_leads_somewhere() -> None:
    links = dict(re.findall(r"^\[(.+)\]: (\S+)$", README, re.MULTILINE))
    used = re.findall(r"\]\[([^\]]+)\]", README)
    assert set(used) == set(links)
    assert re.findall(r"\]\((?!https://)[^)]*\)", README) == []
    repository = "https://github.com/xrouter/xrouter-asgi/blob/main/"
    files = [ROOT / link.removeprefix(repository).partition("#")[0] for link in links.values()]
    assert [file for file in files if not file.is_file()] == []


def test_what_is_installed_first_is_the_package_at_pypi() -> None:
    assert re.findall(r"pip install (\S+)", block("sh")) == ['"xrouter-asgi[server]"']
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"Homepage", "Source", "Issues", "Documentation", "Changelog"} <= set(project["urls"])
