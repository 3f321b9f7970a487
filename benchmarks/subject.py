"""`xrouter serve` of any checkout in its own process, with its only client and its upstream in this one.

Client and upstream take turns with the server. The client sends a request after it has the whole answer to the one
before. The upstream sends an event of a stream after the client has the event before. So the server does the same work
in every run, however fast the machine is.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from . import load
from .upstream import LENGTH, Upstream

HERE = Path(__file__).resolve().parent.parent
"""This checkout."""

_ADDRESS = re.compile(r" serves at http://127\.0\.0\.1:(\d+)/v1")
_START = 180.0  # seconds that a server has until it listens

BARE = """\
[providers.bench]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
[models.bench]
targets = ["bench/bench"]
"""
_LATE = "[admission]\nlag = 1e-9\n"  # so the event loop is nearly always late, and few requests pass
_IN_TIME = "[admission]\nlag = inf\n"  # under callgrind the event loop is late, and what is refused costs less
_TRACING = '[tracing]\nendpoint = "http://127.0.0.1:{port}"\nsampling = '
_NATIVE = """\
[providers.claude]
kind = "anthropic"
base_url = "http://127.0.0.1:{port}/v1"
[providers.gpt]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
speaks = ["responses"]
[models.claude]
targets = ["claude/bench"]
[models.gpt]
targets = ["gpt/bench"]
[models.cached]
targets = ["bench/bench"]
cache = {{ ttl = 3600, any_temperature = true }}
"""
_MONEY = """\
[spend]
limit = "1000000 USD/calendar month per all"
[[prices]]
target = "bench/bench"
input = "0.15"
output = "0.60"
cached = "0.075"
"""

PARTS = {
    "keys": '[keys]\nurl = "sqlite:///keys.db"\npepper = "file:secret"\n',
    "limits": '[rate_limit]\nlimit = "1000000/minute; 1000000000 tokens/minute; 10000 parallel"\n',
    "native": _NATIVE,
    "metrics": '[metrics]\ntoken = "file:secret"\n',
    "money": _MONEY,
    "admin": '[admin]\npath = "/admin"\n',
    "tracing-0": f"{_TRACING}0.0\n",
    "tracing-0.1": f"{_TRACING}0.1\n",
    "tracing": f"{_TRACING}1.0\n",
}
"""Tables of the settings. The upstream is the collector of spans, too."""

SKINS = ("keys", "limits", "metrics")
SETTLE = 1.5
"""Seconds after which all spans have come to the collector."""


def command(tree: Path) -> list[str]:
    """Arguments for Python that run the command `xrouter` of a checkout, if `PYTHONPATH` leads there."""
    return ["-P", "-c", "import pkgutil, sys; sys.exit(pkgutil.resolve_name(sys.argv.pop(1))())", entry_point(tree)]


def entry_point(tree: Path) -> str:
    """The function behind the command `xrouter` of a checkout, as `module:function`."""
    project = tomllib.loads((tree / "pyproject.toml").read_text())
    point: str = project["project"]["scripts"]["xrouter"]
    return point


class Subject:
    """The server, and its only client, which keeps one connection.

    Attributes:
        pid: The process that serves.
        began: When it was started, in seconds of `time.perf_counter()`.
    """

    def __init__(self, pid: int, port: int, secret: str, turns: _Turns, *, began: float) -> None:
        self.pid = pid
        self.began = began
        self._port = port
        self._secret = secret
        self._turns = turns
        self._streams: list[asyncio.StreamWriter] = []

    async def connect(self) -> None:
        """Open the connection."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self, *, words: int | None = None, dialect: str = "chat") -> bool:
        """Send one request, and read the answer. Returns whether it was accepted.

        Args:
            words: Ask for a stream of so many events; None for a whole answer.
            dialect: One of `load.DIALECTS` or, with the part `native`, of `load.NATIVE`.

        Raises:
            RuntimeError: The answer is neither a 200 nor a 503.
        """
        self._turns.words = words or 0
        self._writer.write(self._request(stream=words is not None, dialect=dialect))
        head = await self._reader.readuntil(b"\r\n\r\n")
        accepted = head.startswith(b"HTTP/1.1 200")
        if not accepted and not head.startswith(b"HTTP/1.1 503"):
            raise RuntimeError(head.decode("latin-1"))
        if length := LENGTH.search(head):
            await self._reader.readexactly(int(length[1]))
            return accepted
        while size := int(await self._reader.readline(), 16):
            await self._reader.readexactly(size + 2)
            self._turns.step()
        await self._reader.readexactly(2)
        return accepted

    async def open_streams(self, number: int) -> None:
        """Open so many streams, each on a connection of its own, and leave them after their first event."""
        self._turns.words = 2
        for _ in range(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._streams.append(writer)
            writer.write(self._request(stream=True))
            await reader.readuntil(b"\n\n")

    def close(self) -> None:
        """Close all connections."""
        for writer in (self._writer, *self._streams):
            writer.close()

    def _request(self, *, stream: bool, dialect: str = "chat") -> bytes:
        return load.request(self._port, stream=stream, dialect=dialect, key=self._secret)


@asynccontextmanager
async def served(
    tree: Path, *, launcher: Sequence[str], parts: Sequence[str] = (), late: bool = False, pass_fds: Sequence[int] = ()
) -> AsyncIterator[Subject]:
    """Run the package in the folder `tree` in front of one OpenAI-compatible upstream.

    Args:
        launcher: The command that runs `xrouter`.
        parts: Which of `PARTS` to add. The access log is always on.
        late: Take the event loop for late nearly all the time, so that up to 19 of 20 requests are refused.
        pass_fds: Descriptors that the process inherits.
    """
    turns = _Turns()
    upstream = await asyncio.get_running_loop().create_server(turns.upstream, "127.0.0.1", 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "xrouter.toml"
        tables = (BARE, *(PARTS[part] for part in parts), _LATE if late else _IN_TIME)
        config.write_text("".join(tables).format(port=upstream.sockets[0].getsockname()[1]))
        (folder / "secret").write_text(token_hex())
        # The fixed seed gives sets of strings the same order in every run.
        environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
        environment["OTEL_BSP_SCHEDULE_DELAY"] = "500"  # of OpenTelemetry's SDK, in milliseconds
        secret = key(tree, config, environment) if "keys" in parts else "x"
        serve = [*launcher, "serve", "--config", str(config), "--port", "0"]
        log = folder / "log"
        with log.open("wb") as errors, (folder / "lines").open("wb") as lines:
            began = time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                *serve, env=environment, stdout=lines, stderr=errors, pass_fds=pass_fds
            )
        try:
            subject = Subject(process.pid, await _listening(process, log), secret, turns, began=began)
            await subject.connect()
            yield subject
            subject.close()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
            upstream.close()


def key(tree: Path, config: Path, environment: dict[str, Any]) -> str:
    """The secret of a new key for these settings."""
    create = [sys.executable, *command(tree), "keys", "create", "--config", str(config), "--json"]
    printed = subprocess.run(create, env=environment, check=True, capture_output=True).stdout
    secret: str = json.loads(printed)["secret"]
    return secret


async def _listening(process: asyncio.subprocess.Process, log: Path) -> int:
    async with asyncio.timeout(_START):
        while (port := _port(log)) is None:
            if process.returncode is not None:
                raise RuntimeError(f"xrouter serve has ended before it listened.\n{_text(log)}")
            await asyncio.sleep(0.01)
    return port


def _port(log: Path) -> int | None:
    found = _ADDRESS.search(_text(log))
    return None if found is None else int(found[1])


def _text(log: Path) -> str:
    return log.read_text()


class _Turns:
    """The next step of the upstream, which waits until the client has what came before."""

    def __init__(self) -> None:
        self.words = 0
        self._next: Callable[[], None] | None = None

    def upstream(self) -> Upstream:
        return _UpstreamInTurns(self)

    def later(self, step: Callable[[], None]) -> None:
        self._next = step

    def step(self) -> None:
        if self._next is not None:
            step, self._next = self._next, None
            step()


class _UpstreamInTurns(Upstream):
    def __init__(self, turns: _Turns) -> None:
        self._turns = turns

    @property
    def words(self) -> int:  # type: ignore[override]  # a constant there
        return self._turns.words

    def later(self, step: Callable[[], None]) -> None:
        self._turns.later(step)
