"""Every block of the documents is run by a test, or stands in `NOT_RUN` with the reason and is at least parsed."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from starlette.applications import Starlette
from starlette.types import Scope

import xrouter_asgi
from xrouter_asgi import EchoProvider, LLMRouter, Principal
from xrouter_asgi.cli.main import main as cli
from xrouter_asgi.keys import Issuer, KeySpec, MemoryKeyStore
from xrouter_asgi.providers.presets import PRESETS
from xrouter_asgi.settings import Settings
from xrouter_asgi.testing.gigachat import KEY

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

PICTURES = "a picture"
PRINTED = "what a command prints"
FOREIGN = "asks hosts of others"
ENDLESS = "serves until it is stopped; tests of the command line start the same"

NOT_RUN = {
    'README.md: python -m pip install "xrouter-asgi[server]"': FOREIGN,
    "admin.md: $ xrouter admin key": PRINTED,
    "admin.md: python -m pip install": FOREIGN,
    "agents.md: python -m pip install": FOREIGN,
    "agents.md: npm install": FOREIGN,
    "agents.md: export ANTHROPIC_BASE_URL": "starts an agent, as `tox -e agents` does",
    "agents.md: export XROUTER_API_KEY": "starts an agent, as `tox -e agents` does",
    "agents.md: name: xrouter": "the settings of another program",
    "agents.md: export OPENAI_API_BASE": "starts aider, which is not installed",
    "agents.md: from langchain_openai": "needs a package of others; `tox -e js` uses it",
    "agents.md: from llama_index": "needs a package of others",
    "architecture.md: client": PICTURES,
    "architecture.md: L5": PICTURES,
    "architecture.md: xrouter_asgi/": PICTURES,
    "deployment.md: xrouter serve": ENDLESS,
    "developing.md: python -m venv": "sets up what runs the tests",
    "developing.md: python -m pip install httpx-aiohttp": "takes minutes, and valgrind",
    "gigachat.md: curl": FOREIGN,
    "gpt2giga.md: python -m pip install": FOREIGN,
    'index.md: python -m pip install "xrouter-asgi[server]"': FOREIGN,
    "ledger.md: $ xrouter spend": PRINTED,
    "ledger.md: $ curl": PRINTED,
    "litellm.md: model_list:": "the settings of another program",
    "litellm.md: python -m pip install": FOREIGN,
    "limits.md: {": "a part of an answer",
    "money.md: {": "a part of an answer",
    "money.md: $ pip install": PRINTED,
    "performance.md: python -m benchmarks": "takes minutes, and valgrind",
    "telemetry.md: POST chat": PICTURES,
}
"""Blocks that no test runs, by page and beginning."""


READ: dict[str, Callable[[str], object]] = {
    "toml": tomllib.loads,
    "json": json.loads,
    "python": lambda text: compile(text, "a page", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT),
}


class Block(NamedTuple):
    page: str
    language: str
    title: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    found = re.findall(r"^```(\w*) ?(.*?)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(page.name, *each) for each in found]


BLOCKS = [block for page in PAGES if not page.name.endswith(".ru.md") for block in blocks_of(page)]


def reason(block: Block) -> str | None:
    """Why no test runs it."""
    return next((why for where, why in NOT_RUN.items() if f"{block.page}: {block.text}".startswith(where)), None)


def is_run(block: Block, tests: str) -> bool:
    """Whether a test runs it: one below, or one that names its title, or finds it on its page."""
    if block.page == "settings.md":
        return block.language == "toml"  # see test_settings_page.py
    if block.title:
        return f'"{block.title}"' in tests or f'"{block.language} {block.title}"' in tests
    return block.language in ("toml", "python") or (block.page, block.language) in (
        ("README.md", "sh"),  # see test_readme.py
        ("authentication.md", "sh"),
    )


def test_every_block_is_run_or_listed_with_a_reason() -> None:
    tests = "".join(file.read_text("utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    assert [block for block in BLOCKS if reason(block) is None and not is_run(block, tests)] == []


def test_every_reason_is_of_a_block_that_is_there() -> None:
    listed = {where for where in NOT_RUN if any(f"{each.page}: {each.text}".startswith(where) for each in BLOCKS)}
    assert listed == set(NOT_RUN)


def test_every_block_can_be_read_in_its_language() -> None:
    for block in BLOCKS:
        if block.language in READ:
            READ[block.language](block.text)
        else:
            assert block.language in {"", "console", "csv", "sh", "yaml"}, block


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_every_command_can_be_read_by_a_shell() -> None:
    commands = [block.text for block in BLOCKS if block.language == "sh"]
    script = "\n".join(f"f{number}() {{\n{text}\n}}" for number, text in enumerate(commands))
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.stderr, len(commands) > 20) == ("", True)


# Settings.

SETTINGS = [
    pytest.param(block.text, id=f"{block.page}-{number}")
    for number, block in enumerate(BLOCKS)
    if block.language == "toml" and block.title in ("", "settings") and block.page != "settings.md"
]
ENVIRONMENT = {
    **dict.fromkeys(re.findall(r'"env:(\w+)"', "".join(block.text for block in BLOCKS)), "x" * 32),
    **dict.fromkeys(["ANTHROPIC_API_KEY", *(row.key for row in PRESETS.values() if row.key is not None)], "x"),
    "GIGACHAT_CREDENTIALS": KEY,
}


@pytest.mark.parametrize("text", SETTINGS)
def test_settings_that_a_page_shows_can_be_used(text: str, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "russian_trusted_root_ca_pem.crt")
    document = tomllib.loads(text)
    models = document.setdefault("models", {"echo": {"targets": ["echo/echo"]}})
    targets = [target for model in models.values() for target in model["targets"]]
    named = [target.partition("/")[0] if isinstance(target, str) else target["provider"] for target in targets]
    others = {name: {"kind": "echo"} for name in named}
    document["providers"] = others | document.get("providers", {})
    Settings.parse(document, environment=ENVIRONMENT, folder=tmp_path)  # raises if they cannot


# Programs.


def principal_of(scope: Scope) -> Principal | None:
    return None


def names_for(page: str) -> dict[str, Any]:
    """What the programs of a page take for granted."""
    public = {name: getattr(xrouter_asgi, name) for name in xrouter_asgi.__all__}
    return {**public, "router": LLMRouter({"echo": EchoProvider()}), "app": Starlette(), "principal_of": principal_of}


async def _run(text: str, names: dict[str, Any]) -> None:
    code = compile(text, "a page", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    made = eval(code, names)  # noqa: S307 -- the page's own
    if inspect.iscoroutine(made):
        await made


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if block.language == "python"} - {"README.md"}))
async def test_programs_without_a_title_run_one_after_the_other(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLACK_WEBHOOK", "https://slack.example/hook")
    monkeypatch.setenv("METRICS_TOKEN", "t" * 32)
    names = names_for(page)
    store = MemoryKeyStore()
    issuer = Issuer(store, by="test")
    key = (await issuer.create(KeySpec())).key
    names |= {"Issuer": Issuer, "store": store}
    for block in BLOCKS:
        if block.page == page and block.language == "python" and not block.title:
            await _run(block.text.replace("key_4fJ2b9Qx", key.id), names)
    for made in ("push", "ledger"):
        if made in names:
            await names[made].aclose()


# Commands.


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_the_commands_about_keys_work_as_pasted(tmp_path: Path) -> None:
    (script,) = (block.text for block in BLOCKS if (block.page, block.language) == ("authentication.md", "sh"))
    (tmp_path / "xrouter.toml").write_text('providers.echo.kind = "echo"\n', "utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e"], input=script, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert re.search(r"^  xr_live_\w+$", done.stdout, re.MULTILINE), done.stderr


def test_the_keys_of_the_table_are_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (table,) = (block.text for block in BLOCKS if (block.language, block.title) == ("csv", "team"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XROUTER_KEYS_PEPPER", "p" * 32)
    (tmp_path / "team.csv").write_text(table, "utf-8")
    (command,) = re.findall(
        r"`xrouter (keys create --from [^`]+)`", (ROOT / "docs/authentication.md").read_text("utf-8")
    )[1:]
    assert cli([*command.split(), "--url", "sqlite:///keys.db"]) == 0
    assert len((tmp_path / "secrets.csv").read_text("utf-8").splitlines()) == 3
