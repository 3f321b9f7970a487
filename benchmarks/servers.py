"""Servers in front of one upstream that costs next to nothing, each in a process of its own, and what they take.

CPU time is what the kernel charged to the process and to those below it. Memory is the proportional set size (PSS):
pages that processes share count in parts. Linux only.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Self

from . import load
from .subject import BARE, HERE, PARTS, command, key

TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds: the least CPU time that the kernel tells."""
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
_START = 120.0  # seconds that a server has until its first answer
_END = 10.0  # seconds that it has after SIGTERM
_UVICORN = ("-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--no-proxy-headers", "--lifespan", "off")


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started, and how it is asked for a chat. `load.request` says what the rest is.

    Attributes:
        port: None if the server takes one that is free, and writes its address.
        environment: Variables beside those of this process.
        keys: The secrets that requests bring, one after the other.
    """

    command: Sequence[str]
    port: int | None
    environment: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    model: str = "bench"
    keys: Sequence[str] = ("x",)
    headers: Mapping[str, str] = field(default_factory=dict)


class DidNotStart(Exception):
    """A server has ended, or has not answered in time. The text has the end of what it wrote."""


class Server:
    """One that listens.

    Attributes:
        started: Seconds of CPU until the first answer.
    """

    def __init__(self, process: Process, port: int, launch: Launch) -> None:
        self.process = process
        self.port = port
        self.started = 0.0
        self._launch = launch

    def bringing(self, *keys: str) -> Server:
        """The same, asked with these keys."""
        return Server(self.process, self.port, replace(self._launch, keys=keys))

    def payloads(self, *, stream: bool = False, members: Mapping[str, object] = {}) -> Iterator[bytes]:
        """The same request again and again, each time with the next key."""
        launch = self._launch
        return cycle(
            load.request(
                self.port,
                stream=stream,
                model=launch.model,
                members=members,
                key=key,
                path=launch.path,
                headers=launch.headers,
            )
            for key in launch.keys
        )

    def cpu(self) -> float:
        """Seconds, user and system (proc(5), /proc/pid/stat, fields 14 and 15)."""
        return sum(cpu(pid) for pid in _family(self.process.pid))

    def memory(self) -> float:
        """MiB."""
        return sum(pss(pid) for pid in _family(self.process.pid)) / 1024


class Servers:
    """Starts them, and ends them when its block is left. Each has a folder of its own, which is removed then.

    Attributes:
        upstream: The port of the upstream, which is a collector of spans, too.
    """

    async def __aenter__(self) -> Self:
        self._temporary = tempfile.TemporaryDirectory()
        self._running: list[Process] = []
        try:
            self.upstream = free_port()
            launch = Launch([sys.executable, "-m", "benchmarks.upstream", str(self.upstream)], self.upstream)
            self.direct = await self.start("upstream", launch)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    def folder(self, name: str) -> Path:
        """A new folder for the files of a server."""
        made = Path(self._temporary.name) / name.replace(" ", "-")
        made.mkdir()
        return made

    async def start(self, name: str, launch: Launch) -> Server:
        """Start one, and wait for its first answer. Raises DidNotStart."""
        log = Path(self._temporary.name) / f"{name.replace(' ', '-')}.log"
        environment = {**os.environ, "BENCH_UPSTREAM": f"http://127.0.0.1:{self.upstream}", **launch.environment}
        with log.open("wb") as file:  # a file, as in operation: what is written there costs, too
            process = await asyncio.create_subprocess_exec(
                *launch.command, env=environment, stdout=file, stderr=file, start_new_session=True
            )
        self._running.append(process)
        try:
            server = Server(process, launch.port or await _written(process, log), launch)
            await _answering(server)
        except DidNotStart as error:
            last = "\n".join(_text(log).splitlines()[-15:])
            raise DidNotStart(f"{name} {error}\n{last}") from None
        server.started = server.cpu()
        return server

    async def asgi(self, name: str, app: str, environment: Mapping[str, str] = {}) -> Server:
        """Serve an app of `module:name` with uvicorn."""
        port = free_port()
        arguments = [sys.executable, *_UVICORN, app, "--port", str(port)]
        return await self.start(name, Launch(arguments, port, environment))

    async def gateway(
        self,
        name: str,
        parts: Sequence[str] = (),
        *,
        tree: Path = HERE,
        more: str = "",
        keys: Sequence[str] = (),
        secret: str | None = None,
    ) -> Server:
        """Run `xrouter serve` of a checkout with these `PARTS` of the settings.

        Args:
            more: More tables.
            keys: Secrets that it knows. Without any it is given one, if it wants one.
            secret: What the file `secret` holds, the pepper of keys.
        """
        folder, port = self.folder(name), free_port()
        config = folder / "xrouter.toml"
        text = "".join([BARE, *(PARTS[part] for part in parts)]).format(port=self.upstream)
        config.write_text(text + more)
        (folder / "secret").write_text(secret or token_hex())
        environment = {"PYTHONPATH": str(tree)}
        if "keys" in parts and not keys:
            keys = [key(tree, config, {**os.environ, **environment})]
        serve = [sys.executable, *command(tree), "serve", "--config", str(config), "--port", str(port)]
        return await self.start(name, Launch(serve, port, environment, keys=keys or ("x",)))

    async def _end(self) -> None:
        for process in self._running:
            if process.returncode is None:
                process.terminate()
        for process in self._running:
            try:
                await asyncio.wait_for(process.wait(), _END)
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)  # its session is its own
                await process.wait()
        self._temporary.cleanup()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu(pid: int) -> float:
    """Seconds that the kernel charged to one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def pss(pid: int) -> float:
    """KiB of one process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1])
    raise RuntimeError("The kernel does not tell the memory of a process.")


def _family(pid: int) -> Iterator[int]:
    """A process, and all below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


async def _written(process: Process, log: Path) -> int:
    """The port that a server has written. Raises DidNotStart."""
    end = time.monotonic() + _START
    while (found := _ADDRESS.search(_text(log))) is None:
        if process.returncode is not None or time.monotonic() > end:
            raise DidNotStart("has not told its address:")
        await asyncio.sleep(0.1)
    return int(found[1])


def _text(log: Path) -> str:
    return log.read_text(errors="replace")


async def _answering(server: Server) -> None:
    end = time.monotonic() + _START
    while True:
        if server.process.returncode is not None:
            raise DidNotStart("has ended before it answered:")
        try:
            async with asyncio.timeout(_START):
                await load.run(server.port, server.payloads(), connections=1, requests=1)
        except (OSError, RuntimeError, TimeoutError) as error:
            if time.monotonic() > end:
                raise DidNotStart(f"has not answered a chat within {_START:g} s ({error}):") from None
            await asyncio.sleep(0.1)
        else:
            return
