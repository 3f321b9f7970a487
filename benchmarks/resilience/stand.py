"""The processes of one measurement: `xrouter serve` in front of upstreams that do as they are told, on free ports."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from asyncio import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Self

_DELAY = 0.05  # seconds until an upstream answers
_ADDRESS = re.compile(r" serves at http://127\.0\.0\.1:(\d+)/v1")
_START = 30.0  # seconds that a process has until it listens
_END = 5.0  # seconds that it has after SIGTERM


class Upstream:
    """One upstream, and the way to order it about; see `chaos`."""

    def __init__(self, process: subprocess.Process) -> None:
        self._process = process

    async def listen(self) -> None:
        self.port = int(await self._line())

    async def fail(self, *faults: str, share: float = 1.0) -> None:
        """Let that share of the requests meet one of the faults. `closed` is a port that nobody listens at."""
        if faults == ("closed",):
            await self._order("close")
        else:
            await self._order(f"fail {share} {' '.join(faults)}")

    async def heal(self, fault: str) -> None:
        await self._order("open" if fault == "closed" else "fail 0")

    async def journal(self) -> list[float]:
        """When requests came, in seconds of the monotonic clock."""
        moments: list[float] = json.loads(await self._order("journal"))
        return moments

    async def _order(self, text: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")
        return await self._line()

    async def _line(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(_START):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("An upstream has ended. Its standard error says why.")
        return line.decode()


class Stand:
    """Starts processes, and ends them when its block is left. Their files are in a folder that is removed then."""

    async def __aenter__(self) -> Self:
        self._exit = AsyncExitStack()
        self.folder = Path(self._exit.enter_context(tempfile.TemporaryDirectory()))
        self._ids: dict[str, str] = {}  # of keys, by their secrets
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    async def upstreams(self, *names: str) -> dict[str, Upstream]:
        """Upstreams, each in a process of its own, by their names."""
        command = [sys.executable, "-m", "benchmarks.resilience.chaos", str(_DELAY)]
        made = {}
        for name in names:
            # An order's answer is one line, and that of `journal` is long.
            process = await subprocess.create_subprocess_exec(
                *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=64 << 20
            )
            self._exit.push_async_callback(_end, process)
            made[name] = Upstream(process)
        for upstream in made.values():
            await upstream.listen()
        return made

    async def listener(self, *module: str) -> int:
        """Run a module that prints the port at which it listens."""
        process = await subprocess.create_subprocess_exec(sys.executable, "-m", *module, stdout=subprocess.PIPE)
        self._exit.push_async_callback(_end, process)
        assert process.stdout is not None
        return int(await process.stdout.readline())

    async def serve(self, settings: str, *, launcher: Sequence[str] = (), pass_fds: Sequence[int] = ()) -> int:
        """Serve these settings at a port, which is returned; `pid` is then the process.

        Args:
            launcher: The command that runs `xrouter`, if it is not run by itself.
            pass_fds: Descriptors that the process inherits.
        """
        log = self.folder / "log"
        config = self._write(settings)
        with log.open("wb") as errors, (self.folder / "access").open("wb") as lines:
            command = [*(launcher or [_xrouter()]), "serve", "--config", str(config), "--port", "0"]
            process = await subprocess.create_subprocess_exec(*command, stdout=lines, stderr=errors, pass_fds=pass_fds)
        self.pid = process.pid
        self._exit.push_async_callback(_end, process)
        async with asyncio.timeout(_START):
            while (found := _ADDRESS.search(log.read_text())) is None:
                if process.returncode is not None:
                    raise RuntimeError(f"xrouter serve has ended:\n{log.read_text()}")
                await asyncio.sleep(0.05)
        return int(found[1])

    def keys(self) -> str:
        """The table of a database of keys in SQLite."""
        (self.folder / "pepper").write_text(token_hex())
        return '[keys]\nurl = "sqlite:///keys.db"\npepper = "file:pepper"\n'

    async def key(self, settings: str, *options: str) -> str:
        """The secret of a new key in the database of these settings, made with more options of the command."""
        made = await self._keys("create", "--config", str(self._write(settings)), "--json", *options)
        secret: str = made["secret"]
        self._ids[secret] = made["id"]
        return secret

    async def revoke(self, secret: str) -> None:
        """End a key that `key` has made."""
        await self._keys("revoke", self._ids.pop(secret), "--config", str(self.folder / "xrouter.toml"), "--json")

    async def _keys(self, *arguments: str) -> dict[str, str]:
        process = await subprocess.create_subprocess_exec(_xrouter(), "keys", *arguments, stdout=subprocess.PIPE)
        try:
            printed, _ = await process.communicate()
        except BaseException:
            await _end(process)
            raise
        if process.returncode:
            raise RuntimeError(f"xrouter keys {arguments[0]} has failed. Its standard error says why.")
        printed_as: dict[str, str] = json.loads(printed)
        return printed_as

    def _write(self, settings: str) -> Path:
        config = self.folder / "xrouter.toml"
        config.write_text(settings)
        return config


def settings(
    providers: Mapping[str, Upstream],
    models: Mapping[str, Sequence[str]],
    *,
    first: float | None = None,
    more: str = "",
) -> str:
    """Settings in TOML.

    Args:
        models: The targets of each, as `provider/model`.
        first: Seconds that providers have until their first byte; None for the default.
        more: Other tables.
    """
    timeouts = "" if first is None else f"timeouts = {{ first = {first} }}\n"
    tables = ["[server]\nexplain = true\ndrain = 0\n"]
    for name, upstream in providers.items():
        url = f"http://127.0.0.1:{upstream.port}/v1"
        tables.append(f'[providers.{name}]\nkind = "openai"\nbase_url = "{url}"\n{timeouts}')
    tables += [f"[models.{name}]\ntargets = {json.dumps(list(targets))}\n" for name, targets in models.items()]
    return "\n".join([*tables, more])


def _xrouter() -> str:
    return str(Path(sys.executable).with_name("xrouter"))


async def _end(process: subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _END)
        except TimeoutError:
            process.kill()
            await process.wait()
