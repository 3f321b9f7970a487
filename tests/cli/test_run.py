"""`xrouter run`, with programs in place of the agents."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.gateway import PROGRAM
from tests.serving import uvicorn_here
from xrouter_asgi import Candidate, Capabilities, stack
from xrouter_asgi.keys import Issuer, KeySpec, MemoryKeyStore
from xrouter_asgi.middleware import APIKeyMiddleware
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.router.router import LLMRouter

KEY = "XROUTER_API_KEY"
AGENT = """\
#!/bin/sh
{python} -c 'import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))' "$@"
exit 7
"""


@pytest.fixture
async def gateway() -> AsyncIterator[str]:
    async with uvicorn_here(LLMRouter({"first": EchoProvider(), "second": EchoProvider()})) as url:
        yield url


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """A folder of programs with the names of agents, which tell what they were started with."""
    for name in ("claude", "codex", "opencode"):
        file = tmp_path / name
        file.write_text(AGENT.format(python=sys.executable))
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return tmp_path


async def run(*arguments: str, path: Path | None = None, **environment: str) -> tuple[int, str, str]:
    """`xrouter run …`: its exit code, and what it said."""
    path = path or Path("/nowhere")
    env = {"PATH": f"{path}:/usr/bin:/bin", "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **environment}
    process = await asyncio.create_subprocess_exec(PROGRAM, "run", *arguments, stdout=PIPE, stderr=PIPE, env=env)
    out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()


async def started(agents: Path, *arguments: str, **environment: str) -> tuple[list[str], dict[str, str]]:
    """The arguments and the environment that an agent was started with."""
    code, out, errors = await run(*arguments, path=agents, **environment)
    assert code == 7, errors
    told: Sequence[Any] = json.loads(out)
    return told[0], told[1]


async def test_claude_is_told_where_the_gateway_is_and_what_to_ask_for(gateway: str, agents: Path) -> None:
    arguments, env = await started(agents, "--url", gateway, "--", "claude", "-p", "Hello", ANTHROPIC_API_KEY="theirs")
    assert arguments == ["-p", "Hello"]
    assert env["ANTHROPIC_BASE_URL"] == gateway
    assert env["ANTHROPIC_MODEL"] == env["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "first"
    assert env["ANTHROPIC_AUTH_TOKEN"]
    assert "ANTHROPIC_API_KEY" not in env


async def test_codex_is_told_of_a_provider_that_speaks_responses(gateway: str, agents: Path) -> None:
    arguments, env = await started(agents, "--url", f"{gateway}/v1/", "--model", "second", "codex", "exec", "--json")
    assert arguments[-2:] == ["exec", "--json"]
    assert arguments[0:6:2] == ["-c", "-c", "-c"]
    assert arguments[1] == (
        f'model_providers.xrouter={{name="xrouter",base_url="{gateway}/v1",env_key="{KEY}",wire_api="responses"}}'
    )
    assert arguments[3:6:2] == ['model_provider="xrouter"', 'model="second"']
    assert env[KEY]


async def test_opencode_is_told_by_a_configuration_in_its_environment(gateway: str, agents: Path) -> None:
    arguments, env = await started(agents, "--url", gateway, "opencode", **{KEY: "sk-1"})
    config = json.loads(env["OPENCODE_CONFIG_CONTENT"])
    assert config["model"] == "xrouter/first"
    assert config["provider"]["xrouter"]["options"]["baseURL"] == f"{gateway}/v1"
    assert "sk-1" not in env["OPENCODE_CONFIG_CONTENT"]
    assert (arguments, env[KEY]) == ([], "sk-1")


async def test_every_agent_is_told_how_much_the_model_can_hold(agents: Path) -> None:
    provider = stack([Candidate(EchoProvider(), "echo", capabilities=Capabilities(context=100_000))])
    async with uvicorn_here(LLMRouter({"m": provider})) as url:
        _, claude = await started(agents, "--url", url, "claude")
        codex, _ = await started(agents, "--url", url, "codex")
        _, opencode = await started(agents, "--url", url, "opencode")
    assert claude["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "100000"
    assert "model_context_window=100000" in codex
    config = json.loads(opencode["OPENCODE_CONFIG_CONTENT"])
    assert config["provider"]["xrouter"]["models"]["m"]["limit"] == {"context": 100_000, "output": 32_000}


async def test_printed_lines_do_the_same_in_a_shell(gateway: str, agents: Path) -> None:
    code, lines, _ = await run("--url", gateway, "--print", "claude", "-p", "It's me")
    assert code == 0
    env = {**os.environ, "PATH": f"{agents}:/usr/bin:/bin", "ANTHROPIC_API_KEY": "theirs"}
    shell = await asyncio.create_subprocess_exec("sh", "-c", lines, stdout=PIPE, env=env)
    out, _ = await shell.communicate()
    arguments, told = json.loads(out)
    assert arguments == ["-p", "It's me"]
    assert told["ANTHROPIC_BASE_URL"] == gateway
    assert "ANTHROPIC_API_KEY" not in told


async def test_a_gateway_with_keys_is_asked_with_the_one_in_the_environment(agents: Path) -> None:
    store = MemoryKeyStore()
    key = (await Issuer(store, by="test").create(KeySpec())).secret
    app = APIKeyMiddleware(LLMRouter({"m": EchoProvider()}), store=store)
    async with uvicorn_here(app) as url:
        _, env = await started(agents, "--url", url, "claude", **{KEY: key})
        assert env["ANTHROPIC_AUTH_TOKEN"] == key
        code, _, errors = await run("--url", url, "claude", path=agents)
    assert code == 1
    assert f"wants a key. Set {KEY}" in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name one of the agents that can be started here: claude, codex, opencode."),
        (["--"], "Name one of the agents"),
        (["gemini"], "Name one of the agents"),
        (["--url", "http://127.0.0.1:9", "claude"], "There is no gateway at http://127.0.0.1:9. Start one with"),
        (["--url", "no url", "claude"], "There is no gateway at no url."),
    ],
)
async def test_what_cannot_be_started_says_why(arguments: list[str], said: str) -> None:
    code, _, errors = await run(*arguments)
    assert code == 1
    assert said in errors


async def test_an_agent_that_is_not_installed_is_named(gateway: str) -> None:
    code, _, errors = await run("--url", gateway, "codex")
    assert code == 1
    assert "There is no program 'codex' here." in errors


async def test_a_gateway_that_lists_nothing_wants_a_name() -> None:
    async with uvicorn_here(LLMRouter({})) as url:
        code, _, errors = await run("--url", url, "claude")
    assert code == 1
    assert "lists no model. Name one with --model." in errors
