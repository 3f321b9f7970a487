"""A folder to work in, a home of its own, and a gateway: an agent that runs here reaches nothing but 127.0.0.1."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.gateway import PROGRAM, Gateway, serving
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.http import FakeExchange, FakeServer

from .claude import Claude
from .model import WORD, Model

BIN = Path(__file__).with_name("node_modules") / ".bin"
TOLERATED = {"registry.npmjs.org:443"}
"""OpenCode wants a package for plugins, and does without."""

_LONGEST = 300.0  # seconds that a run may take
_SETTINGS = """\
[server]
port = 0

[providers.openai]
kind = "openai"
base_url = "{openai}/v1"

[providers.failing]
kind = "openai"
base_url = "{failing}/v1"

[providers.claude]
kind = "anthropic"
base_url = "{claude.base_url}"

[providers.gigachat]
kind = "gigachat"
base_url = "{gigachat.base_url}"
auth_url = "{gigachat.auth_url}"
credentials = "env:GIGACHAT_CREDENTIALS"

[models."*"]
targets = {targets}

[models.small]
targets = [{{ provider = "openai", model = "m", capabilities = {{ context = 100000 }} }}]
"""
ROUTES = {
    "openai": '["openai/m"]',
    "gigachat": '["gigachat/GigaChat-2-Max"]',
    "fallback": '["failing/m", "gigachat/GigaChat-2-Max"]',
}
CLAUDE_ROUTE = '["claude/*", "gigachat/GigaChat-2-Max"]'
"""The targets behind every name of a model. In `fallback`, the first is away once a tool has a result."""


@dataclass
class Workplace:
    """Where an agent runs.

    Attributes:
        folder: Its working directory, with `note.txt`, which holds the word.
        claude: The upstream of `CLAUDE_ROUTE`.
        foreign: The hosts that it asked for. None was reached.
    """

    folder: Path
    gateway: Gateway
    claude: Claude
    foreign: list[str] = field(default_factory=list)
    proxy: str = ""

    async def run(self, *command: str, env: Mapping[str, str]) -> str:
        """Run a program until it ends well. Returns its standard output."""
        proxies = {name: self.proxy for each in ("http_proxy", "https_proxy") for name in (each, each.upper())}
        environment = {
            "HOME": str(self.folder.parent / "home"),
            "PATH": f"{BIN}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            **proxies,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            **env,
        }
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self.folder, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
        )
        try:
            async with asyncio.timeout(_LONGEST):
                out, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, f"{out.decode()}\n{errors.decode()}"
        return out.decode()

    async def agent(self, model: str, *words: str, env: Mapping[str, str], url: str | None = None) -> str:
        """`xrouter run` with the name of an agent, and arguments of its own."""
        url = url or self.gateway.url
        return await self.run(str(PROGRAM), "run", "--url", url, "--model", model, "--", *words, env=env)

    async def note(self, exchange: FakeExchange) -> None:
        self.foreign.append(exchange.path)
        await exchange.answer(502)


@asynccontextmanager
async def workplace(folder: Path, model: Model, route: str) -> AsyncIterator[Workplace]:
    """A gateway that has the model behind one of `ROUTES`."""
    assert BIN.exists(), "Run `npm install --no-save --prefix tests/clients/agents`, or `tox -e agents`, which does."
    work = folder / "work"
    for each in (work, folder / "home"):
        each.mkdir()
    (work / "note.txt").write_text(f"The word is {WORD}.\n")
    async with (
        FakeServer(model.openai) as openai,
        FakeServer(model.openai_without_results) as failing,
        FakeGigaChat() as gigachat,
        Claude(model) as claude,
    ):
        gigachat.complete = model.gigachat
        config = folder / "xrouter.toml"
        config.write_text(
            _SETTINGS.format(
                openai=openai.url,
                failing=failing.url,
                gigachat=gigachat,
                claude=claude,
                targets=ROUTES.get(route, CLAUDE_ROUTE),
            )
        )
        async with serving(config, {"GIGACHAT_CREDENTIALS": gigachat.key}) as gateway:
            place = Workplace(work, gateway, claude)
            async with FakeServer(place.note) as proxy:
                place.proxy = proxy.url
                yield place
            assert set(place.foreign) <= TOLERATED
